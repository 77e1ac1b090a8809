"""Page of `ganforge explore` and its server."""
