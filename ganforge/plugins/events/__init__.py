"""Events of a run, forwarded to listeners in a separate process."""
