"""Runs: start, resume, list, sample and evaluate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

#: Writer of a run directory's report; callers pass it in, since `report` is a layer above.
ReportWriter: TypeAlias = Callable[[Path], object]
