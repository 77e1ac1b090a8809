"""Short configurations of runs, and their rows without times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.plugins.registry import Registry
from ganforge.utils.files import read_rows

ROOT = Path(__file__).parents[2]
TIMES = ("images_per_second", "elapsed_seconds", "seconds")


def tiny(registry: Registry, *settings: str) -> ResolvedConfig:
    """Resolve settings as on the command line, on the sample that ships and in float32 by default."""
    return resolve([command_line_layer(["data.source=sample", "precision=fp32", "device=cpu", *settings])], registry)


def read_rows_without_times(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows without the times in them."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(path)]
