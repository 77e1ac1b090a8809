"""Log every run to MLflow. It imports nothing heavy: MLflow is imported when a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge_mlflow.tracker import Tracker

#: By run directory. A run whose start failed has none, and what follows is not for it.
trackers: dict[Path, Tracker] = {}


@hookimpl
def ganforge_started(run: RunInfo, step: int) -> None:
    """Begin a run in MLflow, or go on with the one that the run directory names."""
    from ganforge_mlflow.environment import set_defaults  # noqa: PLC0415 - nearly every command imports this module

    set_defaults()  # before MLflow is imported
    from ganforge_mlflow.tracker import Tracker  # noqa: PLC0415

    trackers[run.path] = Tracker(run, step)


@hookimpl
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Log a row's numbers as metrics."""
    if run.path in trackers:
        trackers[run.path].row(row)


@hookimpl
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Log the grid as an image."""
    if run.path in trackers:
        trackers[run.path].grid(step, path)


@hookimpl
def ganforge_checkpoint_saved(run: RunInfo, step: int, path: Path) -> None:
    """Send what waits, and the checkpoint itself where that was asked for."""
    if run.path in trackers:
        trackers[run.path].checkpoint(step, path)


@hookimpl
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """Log the scores as metrics."""
    if run.path in trackers:
        trackers[run.path].scores(step, scores)


@hookimpl
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Send what waits and the last grid, and say how the run ended."""
    if run.path in trackers:
        trackers.pop(run.path).finish(status, error)
