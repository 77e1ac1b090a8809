"""Running experiments: from settings to a finished run directory."""
