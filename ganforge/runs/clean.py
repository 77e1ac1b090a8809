"""Removal of old checkpoints of finished or interrupted runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.runs.index import find_runs, folder_bytes
from ganforge.training import checkpoint as checkpoints
from ganforge.training.run_directory import RunDirectory, RunLock


@dataclass(frozen=True, slots=True)
class Cleaning:
    """Steps of the checkpoints to remove from a run, with their size, and of those to keep, the newest first."""

    run: RunDirectory
    removed: list[int]
    kept: list[int]
    bytes: int


def clean_runs(path: Path, *, keep: int, dry_run: bool, notice: Callable[[str], None]) -> list[Cleaning]:
    """Remove old checkpoints of a run, or of all runs below a folder; with `dry_run` nothing is removed.

    The `keep` newest, the newest valid one and the best one are kept. `notice` gets a line for each run that is
    skipped, such as one that is training. Raises RunDirectoryError if the path holds no run.
    """
    is_run = (path / "run.toml").is_file()
    runs = [path] if is_run else [Path(summary.path) for summary in find_runs(path)]
    if not runs:
        raise RunDirectoryError(f"{path} has no runs", fix="name a run directory, or a folder of runs")
    result: list[Cleaning] = []
    for folder in runs:
        run = RunDirectory(folder)
        try:
            with RunLock(run):
                run.check_no_links()
                cleaning = _plan(run, keep, notice)
                if not dry_run:
                    for step in cleaning.removed:
                        checkpoints.remove(run, step)
                result.append(cleaning)
        except (GanforgeError, OSError) as error:
            reason = error.message if isinstance(error, GanforgeError) else error
            notice(f"{folder} is skipped: {reason}")
    return result


def _plan(run: RunDirectory, keep: int, notice: Callable[[str], None]) -> Cleaning:
    """Return what to remove. Raises CheckpointError if all checkpoints are damaged."""
    newest_first = checkpoints.steps(run)
    valid = checkpoints.load_newest(run, notice)
    if valid is None:
        return Cleaning(run, [], [], 0)
    best = valid.state.get("best")
    kept = {valid.step, *([] if best is None else [int(best["step"])])}
    kept |= set([step for step in newest_first if step <= valid.step][:keep])
    removed = [step for step in newest_first if step not in kept]
    folders = [run.checkpoint_path(step) for step in removed]
    size = sum(folder_bytes(folder) for folder in folders if not folder.is_symlink())
    return Cleaning(run, removed, [step for step in newest_first if step in kept], size)
