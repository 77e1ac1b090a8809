"""Metrics that ship with ganforge."""
