"""The project that a new plugin starts as, from templates that ship with ganforge."""

from ganforge.scaffold.names import Names
from ganforge.scaffold.project import Project

__all__ = ["Names", "Project"]
