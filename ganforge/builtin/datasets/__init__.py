"""Datasets that ship with ganforge."""
