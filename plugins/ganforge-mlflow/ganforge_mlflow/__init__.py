"""Tracking of runs in MLflow, which is imported when a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge_mlflow.tracker import Tracker

#: Trackers by run directory. A run without configuration, or whose start failed, has none; its events are ignored.
trackers: dict[Path, Tracker] = {}


@hookimpl
def ganforge_doctor() -> str | None:
    """Return a line if MLflow is not configured."""
    from ganforge_mlflow.environment import CONFIGURATION, is_configured  # noqa: PLC0415 - as below

    return None if is_configured() else f"not configured, so runs are not tracked: set {' or '.join(CONFIGURATION)}"


@hookimpl
def ganforge_started(run: RunInfo, step: int) -> None:
    """Start an MLflow run, or resume the one that the run directory names, if MLflow is configured."""
    from ganforge_mlflow.environment import is_configured, set_defaults  # noqa: PLC0415 - as below

    if not is_configured():
        return
    set_defaults()  # before MLflow is imported
    from ganforge_mlflow.tracker import Tracker  # noqa: PLC0415 - nearly every command imports this module

    trackers[run.path] = Tracker(run, step)


@hookimpl
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Log a row of metrics.jsonl as metrics."""
    if run.path in trackers:
        trackers[run.path].log_row(row)


@hookimpl
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Log a grid as an image."""
    if run.path in trackers:
        trackers[run.path].log_grid(step, path)


@hookimpl
def ganforge_checkpoint_saved(run: RunInfo, step: int, path: Path) -> None:
    """Send pending metrics, and upload the checkpoint if GANFORGE_MLFLOW_CHECKPOINTS is set."""
    if run.path in trackers:
        trackers[run.path].log_checkpoint(step, path)


@hookimpl
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """Log scores as metrics."""
    if run.path in trackers:
        trackers[run.path].log_scores(step, scores)


@hookimpl
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Send pending metrics and the last grid, and log the status."""
    if run.path in trackers:
        trackers.pop(run.path).finish(status, error)
