"""Tracking of runs in TensorBoard, which is imported when a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge_tensorboard.tracker import Tracker

#: Trackers by run directory. A run whose start failed has none; its further events are ignored.
trackers: dict[Path, Tracker] = {}


@hookimpl
def ganforge_started(run: RunInfo, step: int) -> None:
    """Open a new event file in RUN/tensorboard and write the settings."""
    from ganforge_tensorboard.tracker import Tracker  # noqa: PLC0415 - nearly every command imports this module

    trackers[run.path] = Tracker(run, step)


@hookimpl
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Write a row of metrics.jsonl as scalars."""
    if run.path in trackers:
        trackers[run.path].log_row(row)


@hookimpl
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Write a grid as an image."""
    if run.path in trackers:
        trackers[run.path].log_grid(step, path)


@hookimpl
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """Write scores as scalars."""
    if run.path in trackers:
        trackers[run.path].log_scores(step, scores)


@hookimpl
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Write the status and close the file."""
    if run.path in trackers:
        trackers.pop(run.path).finish(status, error)
