"""Projects of new plugins, generated from templates."""

from ganforge.scaffold.project import Names, Project

__all__ = ["Names", "Project"]
