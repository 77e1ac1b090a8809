"""Generators and discriminators that ship with ganforge."""
