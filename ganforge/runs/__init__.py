"""Runs: starting, resuming, listing, sampling and scoring them."""
