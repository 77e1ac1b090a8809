"""Finding plugins, and keeping what is broken in them away from everything else."""

from ganforge.plugins.discovery import Plugins, discover
from ganforge.plugins.filter import Policy
from ganforge.plugins.sources import Problem, Source

__all__ = ["Plugins", "Policy", "Problem", "Source", "discover"]
