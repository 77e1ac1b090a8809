"""Utilities without knowledge of GANs."""
