"""The command line. Importing it imports neither torch nor torchvision nor numpy; commands do, once they need to."""

from ganforge.cli.app import main

__all__ = ["main"]
