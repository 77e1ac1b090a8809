"""Tracking of runs in Weights & Biases, which is imported when a run starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ganforge import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge_wandb.tracker import Tracker

#: Trackers by run directory. A run without a login, or whose start failed, has none; its further events are ignored.
trackers: dict[Path, Tracker] = {}


@hookimpl
def ganforge_doctor() -> str | None:
    """Return a line if there is no login and no mode, by the places that `wandb login` and W&B's docs name."""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_MODE")):
        return None
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "")).hostname or "api.wandb.ai"
    try:
        login = netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, NetrcParseError):
        login = None
    return None if login else "not logged in, so runs are not tracked: wandb login, or set WANDB_MODE=offline"


@hookimpl
def ganforge_started(run: RunInfo, step: int) -> None:
    """Start a W&B run, or resume the one that the run directory names."""
    from ganforge_wandb.tracker import start_tracker  # noqa: PLC0415 - nearly every command imports this module

    tracker = start_tracker(run, step)
    if tracker is not None:
        trackers[run.path] = tracker


@hookimpl
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Log a row of metrics.jsonl."""
    if run.path in trackers:
        trackers[run.path].log_row(row)


@hookimpl
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Log a grid as an image."""
    if run.path in trackers:
        trackers[run.path].log_grid(step, path)


@hookimpl
def ganforge_checkpoint_saved(run: RunInfo, step: int, path: Path) -> None:
    """Log a checkpoint as an artifact, if GANFORGE_WANDB_CHECKPOINTS is set."""
    if run.path in trackers:
        trackers[run.path].log_checkpoint(step, path)


@hookimpl
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float | None]) -> None:
    """Log scores."""
    if run.path in trackers:
        trackers[run.path].log_scores(step, scores)


@hookimpl
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Keep the last grid, log the status, and finish the W&B run."""
    if run.path in trackers:
        trackers.pop(run.path).finish(status, error)
