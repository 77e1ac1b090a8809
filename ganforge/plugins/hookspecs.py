"""The whole surface that plugins implement: one hook that provides components, six that listen to a run.

Components come from `ganforge_components`. The other hooks are listeners: they run in a process of their own beside the
training, receive plain data and paths, and can neither slow down, change nor break the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from ganforge.components.spec import Component

PROJECT = "ganforge"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Tell a listener which run it hears about.

    path: the run directory. experiment: the resolved configuration, as run.toml holds it. manifest: run.json as it was
    when the run started.
    """

    path: Path
    experiment: Mapping[str, Any]
    manifest: Mapping[str, Any]


@hookspec
def ganforge_components() -> Iterable[Component]:  # type: ignore[empty-body]
    """Provide components. Called once, in a module that must import nothing heavy."""


@hookspec
def ganforge_started(run: RunInfo, step: int) -> None:
    """Hear that a run starts, or goes on after `step` steps."""


@hookspec
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Hear of a row of metrics.jsonl."""


@hookspec
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Hear that a grid of the fixed samples was written to `path`."""


@hookspec
def ganforge_checkpoint_saved(run: RunInfo, step: int, path: Path) -> None:
    """Hear that a whole checkpoint now lies in the folder `path`."""


@hookspec
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float], protocol: Mapping[str, Any]) -> None:
    """Hear of a row of evaluation.jsonl."""


@hookspec
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Hear how a run ended: finished, interrupted, diverged or failed, and why where it did not finish."""
