"""Run events, forwarded to listeners in a process of their own."""
