"""Discovery of plugins; a broken plugin is skipped and affects nothing else."""

from ganforge.plugins.discovery import Plugins, discover
from ganforge.plugins.policy import Policy
from ganforge.plugins.sources import Problem, Source

__all__ = ["Plugins", "Policy", "Problem", "Source", "discover"]
