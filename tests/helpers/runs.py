"""Short configurations of runs, and their rows without times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.plugins.registry import Registry

ROOT = Path(__file__).parents[2]
TIMES = ("images_per_second", "elapsed_seconds", "seconds")


def tiny(registry: Registry, *settings: str) -> ResolvedConfig:
    """Resolve settings as on the command line, on the sample that ships and in float32 by default."""
    return resolve([command_line_layer(["data.source=sample", "precision=fp32", "device=cpu", *settings])], registry)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the whole rows of a file of JSON lines, without a schema; none if it does not exist."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def read_rows_without_times(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows without the times in them."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(path)]
