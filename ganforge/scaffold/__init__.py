"""Projects of new plugins, generated from templates."""

from ganforge.scaffold.names import Names
from ganforge.scaffold.project import Project

__all__ = ["Names", "Project"]
