"""Helpers for tests of sweeps: small configurations, and trials that are trained and scored in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganforge.config import Layer, read_document
from ganforge.config.resolve import resolve
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import EvaluationRequest, evaluate_run
from ganforge.runs.launch import start_run
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.sweep.config import EvalSpec, SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.parse import parse_layers, parse_search
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Trial

METRIC = "sliced-wasserstein"
TINY = (
    *("gen=mlp", "disc=mlp", "gen.mlp.hidden=[8]", "disc.mlp.hidden=[8]", "data.source=sample"),
    *("precision=fp32", "device=cpu", "batch_size=16", "steps=4"),
)


def make_config(
    *settings: str,
    sweeps: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (0,),
    num_configs: int | None = None,
    spaces: tuple[str, ...] = (),
    storage: str | None = None,
    **more: Any,
) -> SweepConfig:
    """Return the configuration of these flags, with small networks by default."""
    axes, base = parse_layers([*TINY, *settings], sweeps, [])
    return SweepConfig(
        axes=axes,
        base=base,
        seeds=seeds,
        no_plugins=True,
        scoring=EvalSpec(metrics=(METRIC,), num_samples=32),
        search=parse_search(num_configs, spaces, METRIC if num_configs else None, storage),
        **more,
    )


def run_trial(directory: SweepDirectory, config: SweepConfig, trial: Trial, registry: Registry) -> TrialResult:
    """Train and score a trial as its processes do, in this one; an existing result is only read."""
    row = directory.scores(trial, config.scoring) if directory.state(trial) == "finished" else None
    if row is None:
        layer = Layer("file", read_document(directory.write_config(trial)))
        start_run(prepare(resolve([layer], registry), registry), out=directory.run(trial).path)
        evaluate_run(TrainedRun(directory.run(trial), registry), EvaluationRequest(metrics=[METRIC], num_samples=32))
        row = directory.scores(trial, config.scoring)
    assert row is not None
    return TrialResult(trial, "scored", row)


def without_times(document: Any) -> Any:
    """Return a leaderboard without times and paths."""
    if isinstance(document, dict):
        return {key: without_times(value) for key, value in document.items() if key not in {"elapsed_seconds", "sweep"}}
    return [without_times(item) for item in document] if isinstance(document, list) else document


def run_names(path: Path) -> list[str]:
    """Return the names of a sweep's runs."""
    return sorted(place.parent.name for place in path.glob("*/run.json"))
