"""From names to parts that fit: resolve, build, preflight."""

from ganforge.assembly.build import Assembly, build
from ganforge.assembly.preflight import preflight
from ganforge.assembly.reload import reload, reload_for_scoring
from ganforge.assembly.resolution import Resolution
from ganforge.assembly.resolve import resolve
from ganforge.assembly.scoring import Scoring, build_scoring

__all__ = [
    "Assembly",
    "Resolution",
    "Scoring",
    "build",
    "build_scoring",
    "preflight",
    "reload",
    "reload_for_scoring",
    "resolve",
]
