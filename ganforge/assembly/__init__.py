"""From names to parts that fit: resolve, build, preflight."""

from ganforge.assembly.build import Assembly, build
from ganforge.assembly.preflight import preflight
from ganforge.assembly.resolve import Resolution, reload, resolve

__all__ = ["Assembly", "Resolution", "build", "preflight", "reload", "resolve"]
