"""Losses that ship with ganforge."""
