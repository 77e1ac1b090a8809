"""Content of a run directory; damaged parts become lines of text, not errors."""

from __future__ import annotations

import json
import math
import sys
import tomllib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganforge.training.run_directory import RunDirectory

#: A row of metrics.jsonl has a few hundred characters; longer lines are damaged.
MAX_LINE_LENGTH = 1_000_000
MAX_COLUMNS = 60
MAX_TEXT_LENGTH, MAX_CONFIG_LENGTH = 4000, 200_000


@dataclass(slots=True)
class Record:
    """Content of a run directory.

    Attributes:
        run: The directory.
        manifest: Content of run.json.
        document: Content of run.toml.
        config: Text of run.toml.
        curves: Columns of metrics.jsonl: one value per row, NaN where a row has none.
        evaluations: Rows of evaluation.jsonl, by step.
        samples: PNG files in samples/, by name.
        pictures: PNG files in evaluation/, by name.
        missing: Lines about missing or damaged parts.
    """

    run: RunDirectory
    manifest: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    curves: dict[str, array[float]] = field(default_factory=dict)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Status of the run, or `damaged` if its manifest has none."""
        return text(self.manifest.get("status")) or "damaged"


def read_record(path: Path, *, curves: bool = True) -> Record:
    """Return the content of a run directory in any state.

    Args:
        path: The run directory.
        curves: Whether to read metrics.jsonl, which may be long.
    """
    record = Record(RunDirectory(path))
    _read_manifest(record)
    _read_config(record)
    if curves:
        _read_curves(record)
    rows = [row for _, row in _rows(record.run.evaluations, record.missing, needed=False)]
    record.evaluations = sorted(rows, key=lambda row: number_of(row.get("step")) or 0.0)
    record.samples = _pictures(record.run.samples, "step-*.png", record.missing)
    record.pictures = _pictures(record.run.evaluation_pictures, "*.png", record.missing)
    if not record.samples:
        record.missing.append("samples/ has no grid")
    return record


def _pictures(folder: Path, pattern: str, missing: list[str]) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        missing.append(f"{folder.name}/ cannot be read: {error.strerror}")
        return []


def table(content: object) -> dict[str, Any]:
    """Return a value if it is a JSON object, else an empty object."""
    return content if isinstance(content, dict) else {}


def rows(content: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list."""
    return [item for item in listed(content) if isinstance(item, dict)]


def listed(content: object) -> list[Any]:
    """Return a value if it is a JSON list, else an empty list."""
    return content if isinstance(content, list) else []


def text(content: object) -> str | None:
    """Return a value as text of limited length, or None if it is empty."""
    if content is None or content == "":
        return None
    value = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return value if len(value) <= MAX_TEXT_LENGTH else f"{value[:MAX_TEXT_LENGTH]} …"


def number_of(content: object) -> float | None:
    """Return a value if it is a finite number, else None."""
    if isinstance(content, bool) or not isinstance(content, int | float):
        return None
    if not -sys.float_info.max <= content <= sys.float_info.max:
        return None
    return float(content)


def _read_manifest(record: Record) -> None:
    try:
        content = json.loads(record.run.manifest.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004, TRY301 - reported like the errors of json
        record.manifest = content
    except FileNotFoundError:
        record.missing.append("run.json is missing: status, machine, versions and plugins are unknown")
    except (OSError, ValueError, RecursionError) as error:
        record.missing.append(f"run.json cannot be read ({error}): status, machine, versions and plugins are unknown")


def _read_config(record: Record) -> None:
    try:
        content = record.run.config.read_text(encoding="utf-8")
        record.config = content if len(content) <= MAX_CONFIG_LENGTH else ""
        record.document = tomllib.loads(content)
    except FileNotFoundError:
        record.missing.append("run.toml is missing: the configuration is unknown")
    except (OSError, ValueError, RecursionError) as error:
        record.missing.append(f"run.toml cannot be read ({error}): the configuration is unknown")


def _read_curves(record: Record) -> None:
    names: dict[str, array[float]] = record.curves
    count, omitted = 0, set[str]()
    for count, row in _rows(record.run.metrics, record.missing, needed=True):
        for name, value in row.items():
            column = names.get(name)
            if column is None:
                if len(names) >= MAX_COLUMNS:
                    omitted.add(name)
                    continue
                column = names[name] = array("d")
            if len(column) < count - 1:
                column.extend([math.nan] * (count - 1 - len(column)))
            if len(column) < count:
                number = number_of(value)
                column.append(math.nan if number is None else number)
    for column in names.values():
        column.extend([math.nan] * (count - len(column)))
    if omitted:
        record.missing.append(f"metrics.jsonl has more than {MAX_COLUMNS} columns; {len(omitted)} are not shown")


def _rows(path: Path, missing: list[str], *, needed: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file with their numbers from 1, and report damaged lines; one line is in memory."""
    bad = count = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_LENGTH):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if isinstance(row, dict):
                    count += 1
                    yield count, row
                elif line.strip():
                    bad += 1
    except FileNotFoundError:
        if needed:
            missing.append(f"{path.name} is missing: no curves")
        return
    except OSError as error:
        missing.append(f"{path.name} cannot be read: {error.strerror}")
        return
    if bad:
        missing.append(f"{path.name} has {bad:,} damaged line{'' if bad == 1 else 's'}; skipped")
    elif needed and not count:
        missing.append(f"{path.name} is empty: no curves")
