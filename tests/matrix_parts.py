"""What the tests of matrices share: small requests, and cells that are trained and scored within this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganforge.config import Layer, read_document
from ganforge.config.resolve import resolve
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.evaluate import Asked, evaluate_run
from ganforge.runs.setup import prepare
from ganforge.runs.trained import TrainedRun
from ganforge.sweep.config import Request, ToEvaluate
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.parse import read_layers, read_search
from ganforge.sweep.scheduler import Result
from ganforge.sweep.trials import Cell

METRIC = "sliced-wasserstein"
TINY = (
    *("gen=mlp", "disc=mlp", "gen.mlp.hidden=[8]", "disc.mlp.hidden=[8]", "data.source=sample"),
    *("precision=fp32", "device=cpu", "batch_size=16", "steps=4"),
)


def request(
    *settings: str,
    sweeps: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0,),
    trials: int | None = None,
    spaces: tuple[str, ...] = (),
    storage: str | None = None,
    **more: Any,
) -> Request:
    """Return what the command line would ask for with these flags, of small networks unless told otherwise."""
    axes, base = read_layers([*TINY, *settings], sweeps, None, [])
    return Request(
        axes=axes,
        base=base,
        seeds=seeds,
        no_plugins=True,
        scoring=ToEvaluate(metrics=METRIC, samples=32),
        search=read_search(trials, spaces, METRIC if trials else None, storage),
        **more,
    )


def finish(directory: MatrixDirectory, asked: Request, cell: Cell, registry: Registry) -> Result:
    """Train and score a cell as its processes would, in this one; what is there already is only read."""
    row = directory.scores(cell, asked.scoring) if directory.state(cell) == "finished" else None
    if row is None:
        layer = Layer("file", read_document(directory.write_config(cell)))
        launch.start(prepare(resolve([layer], registry), registry), out=directory.run(cell).path)
        evaluate_run(TrainedRun(directory.run(cell), registry), Asked(metrics=[METRIC], samples=32))
        row = directory.scores(cell, asked.scoring)
    assert row is not None
    return Result(cell, "scored", row)


def without_times(document: Any) -> Any:
    """Return a leaderboard without what the clock says."""
    if isinstance(document, dict):
        return {
            key: without_times(value) for key, value in document.items() if key not in {"elapsed_seconds", "matrix"}
        }
    return [without_times(item) for item in document] if isinstance(document, list) else document


def folder_of_runs(path: Path) -> list[str]:
    """Return the names of a matrix's runs."""
    return sorted(place.parent.name for place in path.glob("*/run.json"))
