"""Content of a run directory; damaged parts become lines of text, not errors."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ganforge.config import read_document
from ganforge.errors import ConfigError, RunDirectoryError
from ganforge.runs.index import current_status
from ganforge.schemas.manifest import Manifest
from ganforge.schemas.rows import EVALUATIONS, METRICS, EvaluationRow, damaged_rows, iter_rows
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import error_reason, read_file

T = TypeVar("T")

MAX_COLUMNS = 60
MAX_CONFIG_LENGTH = 200_000


@dataclass(slots=True)
class Record:
    """Content of a run directory.

    Attributes:
        run: The directory.
        manifest: Content of run.json, None if it is missing or damaged.
        document: Content of run.toml.
        config: Text of run.toml.
        curves: Columns of metrics.jsonl: one value per row, NaN where a row has none.
        evaluations: Rows of evaluation.jsonl, by step.
        samples: PNG files in samples/, by name.
        pictures: PNG files in evaluation/, by name.
        missing: Lines about missing or damaged parts.
    """

    run: RunDirectory
    manifest: Manifest | None = None
    document: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    curves: dict[str, array[float]] = field(default_factory=dict)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    samples: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Status of the run, or `damaged` without a manifest."""
        return "damaged" if self.manifest is None else current_status(self.run.path, self.manifest.status)


def read_record(path: Path, *, curves: bool = True) -> Record:
    """Return the content of a run directory in any state, with `curves` of metrics.jsonl, which may be long."""
    record = Record(RunDirectory(path))
    _read_manifest(record)
    _read_config(record)
    if curves:
        _read_curves(record)
    rows = _rows(record.run.evaluations, EVALUATIONS, record.missing, needed=False)
    record.evaluations = sorted(rows, key=lambda row: row.step)
    record.samples = _pictures(record.run.samples, "step-*.png", record.missing)
    record.pictures = _pictures(record.run.evaluation_pictures, "*.png", record.missing)
    if not record.samples:
        record.missing.append("samples/ has no grid")
    return record


def _pictures(folder: Path, pattern: str, missing: list[str]) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        missing.append(f"{folder.name}/ cannot be read: {error_reason(error)}")
        return []


def _read_manifest(record: Record) -> None:
    unknown = "status, machine, versions and plugins are unknown"
    if not record.run.manifest.exists():
        record.missing.append(f"run.json is missing: {unknown}")
        return
    try:
        record.manifest = record.run.read_manifest()
    except RunDirectoryError as error:
        record.missing.append(f"{error.message}: {unknown}")


def _read_config(record: Record) -> None:
    try:
        content = read_file(record.run.config).decode(errors="surrogateescape")
        record.config = content if len(content) <= MAX_CONFIG_LENGTH else ""
        record.document = read_document(record.run.config)
    except FileNotFoundError:
        record.missing.append("run.toml is missing: the configuration is unknown")
    except (OSError, ConfigError) as error:
        record.missing.append(f"run.toml cannot be read ({error}): the configuration is unknown")


def _read_curves(record: Record) -> None:
    names: dict[str, array[float]] = record.curves
    count, omitted = 0, set[str]()
    for count, row in enumerate(_rows(record.run.metrics, METRICS, record.missing, needed=True), start=1):
        for name, value in row.items():
            column = names.get(name)
            if column is None:
                if len(names) >= MAX_COLUMNS:
                    omitted.add(name)
                    continue
                column = names[name] = array("d")
            column.extend([math.nan] * (count - 1 - len(column)))
            column.append(value)
    for column in names.values():
        column.extend([math.nan] * (count - len(column)))
    if omitted:
        record.missing.append(f"metrics.jsonl has more than {MAX_COLUMNS} columns; {len(omitted)} are not shown")


def _rows(path: Path, schema: TypeAdapter[T], missing: list[str], *, needed: bool) -> Iterator[T]:
    """Yield the rows of a file, and report damaged ones; one row is in memory."""
    count = damaged = 0
    try:
        for row in iter_rows(path, schema):
            if row is None:
                damaged += 1
            else:
                count += 1
                yield row
    except FileNotFoundError:
        if needed:
            missing.append(f"{path.name} is missing: no curves")
        return
    except OSError as error:
        missing.append(f"{path.name} cannot be read: {error_reason(error)}")
        return
    if damaged:
        missing.append(damaged_rows(path, damaged))
    elif needed and not count:
        missing.append(f"{path.name} is empty: no curves")
