"""What a run directory says, read as far as it can be; what cannot be read is said in words, and stops nothing."""

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

#: A line of metrics.jsonl is a few hundred characters; a longer one is none.
LONGEST_LINE = 1_000_000
MOST_COLUMNS = 60
LONGEST_TEXT, LONGEST_CONFIG = 4000, 200_000


@dataclass(slots=True)
class Record:
    """Hold a run's files, read. missing: what is not there or damaged, in words.

    curves: column → a number for each row of metrics.jsonl, NaN where a row has none. evaluations: the rows of
    evaluation.jsonl, by step. samples, pictures: the PNG files of samples/ and of evaluation/, by name.
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
        """The run's status, or `damaged` where its manifest does not say."""
        return text(self.manifest.get("status")) or "damaged"


def read_record(path: Path, *, curves: bool = True) -> Record:
    """Read a run directory. It never raises for what lies there. curves: read metrics.jsonl too, which may be long."""
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
        record.missing.append("samples/ holds no grid")
    return record


def _pictures(folder: Path, pattern: str, missing: list[str]) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        missing.append(f"{folder.name}/ cannot be read: {error.strerror}")
        return []


def table(content: object) -> dict[str, Any]:
    """Return a JSON object, or an empty one where something else stands."""
    return content if isinstance(content, dict) else {}


def rows(content: object) -> list[dict[str, Any]]:
    """Return the objects of a JSON list."""
    return [item for item in listed(content) if isinstance(item, dict)]


def listed(content: object) -> list[Any]:
    """Return a JSON list, or an empty one where something else stands."""
    return content if isinstance(content, list) else []


def text(content: object) -> str | None:
    """Return a value as words, of a length that a page can show; None where there is none."""
    if content is None or content == "":
        return None
    words = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    return words if len(words) <= LONGEST_TEXT else f"{words[:LONGEST_TEXT]} …"


def number_of(content: object) -> float | None:
    """Return a finite number that a float can hold, else None."""
    if isinstance(content, bool) or not isinstance(content, int | float):
        return None
    if not -sys.float_info.max <= content <= sys.float_info.max:
        return None
    return float(content)


def _read_manifest(record: Record) -> None:
    try:
        content = json.loads(record.run.manifest.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no object")  # noqa: TRY004, TRY301 - said as what json itself finds wrong
        record.manifest = content
    except FileNotFoundError:
        record.missing.append("run.json is missing: status, machine, versions and plugins are not known")
    except (OSError, ValueError, RecursionError) as error:
        record.missing.append(f"run.json cannot be read ({error}): status, machine, versions and plugins are not known")


def _read_config(record: Record) -> None:
    try:
        content = record.run.config.read_text(encoding="utf-8")
        record.config = content if len(content) <= LONGEST_CONFIG else ""
        record.document = tomllib.loads(content)
    except FileNotFoundError:
        record.missing.append("run.toml is missing: the configuration is not known")
    except (OSError, ValueError, RecursionError) as error:
        record.missing.append(f"run.toml cannot be read ({error}): the configuration is not known")


def _read_curves(record: Record) -> None:
    names: dict[str, array[float]] = record.curves
    count, left_out = 0, set[str]()
    for count, row in _rows(record.run.metrics, record.missing, needed=True):
        for name, value in row.items():
            column = names.get(name)
            if column is None:
                if len(names) >= MOST_COLUMNS:
                    left_out.add(name)
                    continue
                column = names[name] = array("d")
            if len(column) < count - 1:
                column.extend([math.nan] * (count - 1 - len(column)))
            if len(column) < count:
                found = number_of(value)
                column.append(math.nan if found is None else found)
    for column in names.values():
        column.extend([math.nan] * (count - len(column)))
    if left_out:
        record.missing.append(f"metrics.jsonl has more than {MOST_COLUMNS} columns; {len(left_out)} are not shown")


def _rows(path: Path, missing: list[str], *, needed: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file, counted from 1, one line in memory at a time; say how many lines are none."""
    bad = count = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
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
            missing.append(f"{path.name} is missing: there are no curves")
        return
    except OSError as error:
        missing.append(f"{path.name} cannot be read: {error.strerror}")
        return
    if bad:
        missing.append(f"{path.name} has {bad:,} damaged line{'' if bad == 1 else 's'}; they are left out")
    elif needed and not count:
        missing.append(f"{path.name} is empty: there are no curves")
