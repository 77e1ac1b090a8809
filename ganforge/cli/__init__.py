"""Command line. Importing it imports neither torch nor torchvision nor numpy; commands do when they need them."""

from ganforge.cli.app import main

__all__ = ["main"]
