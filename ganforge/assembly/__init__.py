"""From names to parts that fit: resolve, build, preflight."""

from ganforge.assembly.build import Assembly, build
from ganforge.assembly.preflight import preflight
from ganforge.assembly.resolution import Resolution
from ganforge.assembly.resolve import reload, resolve

__all__ = ["Assembly", "Resolution", "build", "preflight", "reload", "resolve"]
