"""Hooks of plugins: three that provide components, commands and presets, one for `doctor`, and six run events.

Listeners of run events run in a separate process. They receive plain data and paths, and cannot slow down, change or
break the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from ganforge.components.spec import Component
from ganforge.plugins.commands import CommandGroup
from ganforge.plugins.presets import Preset

PROJECT = "ganforge"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Run of an event.

    Attributes:
        path: The run directory.
        experiment: The resolved configuration, as in run.toml.
        manifest: Content of run.json at the start of the run.
    """

    path: Path
    experiment: Mapping[str, Any]
    manifest: Mapping[str, Any]


@hookspec
def ganforge_components() -> Iterable[Component]:  # type: ignore[empty-body]
    """Return components. Called once per process, in a module that must import nothing heavy."""


@hookspec
def ganforge_commands(app: CommandGroup) -> None:
    """Add commands to `ganforge`. Called before the commands are imported, by every process that loads plugins.

    Args:
        app: The group of commands; `app.add_command` adds one.
    """


@hookspec
def ganforge_doctor() -> str | None:
    """Return a line for `ganforge doctor`, such as what a tracker lacks, or None. It must import nothing heavy."""


@hookspec
def ganforge_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """Return presets for `--preset`. Their settings are validated when they are used."""


@hookspec
def ganforge_started(run: RunInfo, step: int) -> None:
    """Called when a run starts.

    Args:
        run: The run.
        step: Steps already done; above 0 in a resumed run.
    """


@hookspec
def ganforge_step_logged(run: RunInfo, row: Mapping[str, float]) -> None:
    """Called with each row of metrics.jsonl.

    Args:
        run: The run.
        row: Values by column, such as `loss/generator`.
    """


@hookspec
def ganforge_images_saved(run: RunInfo, step: int, path: Path) -> None:
    """Called when a grid of the fixed samples was written.

    Args:
        run: The run.
        step: Step of the generator.
        path: The PNG file.
    """


@hookspec
def ganforge_checkpoint_saved(run: RunInfo, step: int, path: Path) -> None:
    """Called when a whole checkpoint was written.

    Args:
        run: The run.
        step: Step of the checkpoint.
        path: Folder of the checkpoint.
    """


@hookspec
def ganforge_evaluated(run: RunInfo, step: int, scores: Mapping[str, float], protocol: Mapping[str, Any]) -> None:
    """Called after each evaluation.

    Args:
        run: The run.
        step: Step of the generator.
        scores: Scores by name.
        protocol: Everything that the scores depend on.
    """


@hookspec
def ganforge_finished(run: RunInfo, status: str, error: str | None) -> None:
    """Called at the end of a run.

    Args:
        run: The run.
        status: `finished`, `interrupted`, `diverged` or `failed`.
        error: Reason if the run did not finish, or None.
    """
