"""Exports of a trained generator: files for others, each of which is run before it is called done."""
