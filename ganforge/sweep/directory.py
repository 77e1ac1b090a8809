"""A matrix's folder: what lies where, and what its runs have come to.

| in runs/matrix-3f2a9c81 | what it is |
| --- | --- |
| matrix.toml | what was asked |
| plan.json | the combinations as they were prepared on this machine, so that all their seeds agree |
| NAME-seed0/ | a run like any other |
| cells/ | for each run the configuration that it was started with, what it printed, its claim |
| leaderboard.json, .md | what it came to |
| search.journal | what a search has asked and heard |
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock

from ganforge.config import to_document, write_document
from ganforge.errors import GanforgeError, RunDirectoryError, UsageError
from ganforge.evaluation.comparability import is_whole
from ganforge.runs.evaluate import SAMPLES
from ganforge.runs.score_table import sound
from ganforge.sweep.config import FILE, Request, ToEvaluate
from ganforge.sweep.locks import Claim, claim
from ganforge.sweep.trials import Cell, Combination
from ganforge.training.run_directory import DEFAULT_FOLDER, RunDirectory
from ganforge.utils.files import newest_rows, number_in, write_atomically

#: What a cell's run directory says: none yet, to go on with, or trained to its end, whichever that was.
State = Literal["new", "begun", "finished", "diverged"]
#: What those keys of run.json hold that are read here.
HELD: Mapping[str, type] = {"status": str, "error": str, "summary": dict, "data": dict, "hardware": dict}


@dataclass(frozen=True, slots=True)
class MatrixDirectory:
    """Know the files of one matrix."""

    path: Path

    @classmethod
    def place(cls, out: Path | None, request: Request) -> Self:
        """Return where a request's cells are, or would be; nothing is made. Raises UsageError for another matrix."""
        path = DEFAULT_FOLDER / f"matrix-{request.digest}" if out is None else out
        placed = cls(path)
        if (path / FILE).is_file():
            hindrance = request.hindrance(Request.read(path))
            if hindrance is not None:
                raise UsageError(
                    f"{path} holds another matrix: {hindrance}",
                    fix="choose another --out; in the same one only seeds, values and trials can be added",
                )
        elif placed.cells.is_dir() and placed.plan.exists():
            pass  # a damaged matrix.toml was removed, as `Request.read` advises
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunDirectoryError(f"{path} exists already, and is no matrix", fix="choose another --out")
        else:
            RunDirectory.check_new(path if not path.is_dir() else path / FILE)
        return placed

    @property
    def cells(self) -> Path:
        """The folder of what is kept beside the runs."""
        return self.path / "cells"

    @property
    def plan(self) -> Path:
        """plan.json."""
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        """Where a search remembers its trials, unless it is told another place."""
        return self.path / "search.journal"

    def lock(self) -> FileLock:
        """Return the lock of what all processes at this matrix change together."""
        return FileLock(self.path / ".lock")

    def write(self, request: Request, planned: Iterable[Combination]) -> list[Combination]:
        """Make the folder, write down what was asked and planned, and return what holds.

        What another process has planned in the meantime holds: it may have measured this machine differently. Raises
        RunDirectoryError where the folder cannot be written.
        """
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            with self.lock():
                before = {_key(one.choices): one for one in self.read_plan()}
                holding = [before.get(_key(one.choices), one) for one in planned]
                for one in holding:
                    if one.experiment is not None:
                        before[_key(one.choices)] = one
                request.write(self.path)
                content = [one.as_dict() for one in before.values()]
                write_atomically(self.plan, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            named = Path(error.filename or self.path)
            place = named if named.exists() else self.path  # and not a temporary file in it
            raise RunDirectoryError(f"{place} cannot be written: {error.strerror or error}") from None
        return holding

    def read_plan(self) -> list[Combination]:
        """Return what is planned already. A damaged file holds nothing: it is only planned anew."""
        try:
            return [Combination.from_dict(content) for content in json.loads(self.plan.read_text(encoding="utf-8"))]
        except (OSError, ValueError, KeyError, TypeError, GanforgeError):
            return []

    def run(self, cell: Cell) -> RunDirectory:
        """Return a cell's run directory, which may not be there yet."""
        return RunDirectory(self.path / cell.name)

    def config(self, cell: Cell) -> Path:
        """Return where the configuration lies that a cell is started with."""
        return self.cells / f"{cell.name}.toml"

    def log(self, cell: Cell) -> Path:
        """Return where what a cell's processes print goes."""
        return self.cells / f"{cell.name}.log"

    def claim(self, cell: Cell) -> Claim | None:
        """Claim a cell, or return None where another process works at it."""
        return claim(self.cells / f"{cell.name}.lock")

    def write_config(self, cell: Cell) -> Path:
        """Write the configuration that a cell is started with. Raises OSError."""
        path = self.config(cell)
        write_atomically(path, write_document(to_document(cell.experiment)))
        return path

    def state(self, cell: Cell) -> State:
        """Say how far a cell is."""
        run = self.run(cell)
        if not run.manifest.is_file():
            return "new"
        status = self.manifest(cell).get("status")
        return status if status in {"finished", "diverged"} else "begun"

    def manifest(self, cell: Cell) -> dict[str, Any]:
        """Return a cell's run.json without what is damaged, such as a text where a table should be."""
        try:
            content = self.run(cell).read_manifest()
        except RunDirectoryError:
            return {}
        return {key: value for key, value in content.items() if isinstance(value, HELD.get(key, object))}

    def clear(self, cell: Cell) -> None:
        """Remove what was left by a run that never began; for whoever has claimed the cell."""
        run = self.run(cell)
        if run.path.is_dir() and not run.manifest.exists():
            shutil.rmtree(run.path)

    def scores(self, cell: Cell, wanted: ToEvaluate) -> dict[str, Any] | None:
        """Return the row of evaluation.jsonl that holds a finished cell's scores as they are wanted, or None."""
        manifest = self.manifest(cell)
        step = manifest.get("summary", {}).get("steps")
        rows = (row for row in sound(newest_rows(self.run(cell).evaluations)) if row["step"] == step)
        found = [row for row in rows if _is_wanted(row, cell, manifest, wanted)]
        names = set(wanted.names or ())  # somebody may have scored it by hand, with further metrics
        return min(found, key=lambda row: len(row["protocol"]["metrics"].keys() - names), default=None)


def _is_wanted(row: Mapping[str, Any], cell: Cell, manifest: Mapping[str, Any], wanted: ToEvaluate) -> bool:
    """Whether a row is what `ganforge evaluate` would write for a cell as it is told."""
    protocol, sizes = row["protocol"], manifest.get("data", {}).get("sizes") or {}
    if not (is_whole(protocol) and isinstance(sizes, dict)):
        return False
    split = "test" if "test" in sizes else "train"
    count = wanted.samples or min(SAMPLES, number_in(sizes, split) or SAMPLES)
    weights = "generator" if cell.experiment.ema_halflife_images is None else "generator_ema"
    expected = {"split": split, "fake_images": count, "real_images": count, "seed": cell.seed, "weights": weights}
    asked = row.get("asked", ()) is None if wanted.names is None else set(wanted.names) <= protocol["metrics"].keys()
    features = (protocol.get("features") or {}).get("name")
    return (
        asked
        and all(protocol.get(key) == value for key, value in expected.items())
        and features in {None, cell.experiment.features.name}
    )


def _key(choices: Mapping[str, Any]) -> str:
    """Return choices as a key of a table."""
    return json.dumps(choices, sort_keys=True)
