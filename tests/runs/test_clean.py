"""`ganforge clean`: old checkpoints are removed, the best and the newest valid one never."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.clean import clean_runs
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, RunLock
from tests.helpers.plugins import command
from tests.helpers.runs import tiny

SETTINGS = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "steps=4", "checkpoint_every=1")


def train(out: Path, registry: Registry, *settings: str) -> RunDirectory:
    """Train four steps with a checkpoint of each."""
    prepared = prepare(tiny(registry, *SETTINGS, "keep_checkpoints=100", *settings), registry)
    launch.start_run(prepared, out=out, callback=Callback())
    return RunDirectory(out)


def test_the_newest_checkpoints_and_the_best_one_are_kept(registry: Registry, tmp_path: Path) -> None:
    """`keep` newest ones and the best one stay; a dry run names the others and removes nothing."""
    run = train(tmp_path / "run", registry, "evaluate_every=1", "num_samples=100")
    newest = checkpoints.load_newest(run, pytest.fail)
    assert newest is not None
    best = newest.state["best"]["step"]
    expected = [step for step in (4, 3, 2, 1) if step >= 3 or step == best]
    for dry_run in (True, False):
        (cleaning,) = clean_runs(tmp_path, keep=2, dry_run=dry_run, notice=pytest.fail)
        assert cleaning.kept == expected
        assert cleaning.bytes > 0
        assert checkpoints.steps(run) == ([4, 3, 2, 1] if dry_run else expected)


def test_a_damaged_newest_checkpoint_is_not_the_one_that_stays(registry: Registry, tmp_path: Path) -> None:
    """The newest valid checkpoint is kept if a later one is damaged, so that the run can be resumed."""
    run = train(tmp_path / "run", registry)
    (run.checkpoint_path(4) / "checksums.json").unlink()
    notices: list[str] = []
    (cleaning,) = clean_runs(run.path, keep=1, dry_run=False, notice=notices.append)
    assert 3 in cleaning.kept
    assert len(notices) == 1
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=5), callback=lambda _: Callback())


def test_a_run_without_checkpoints_has_nothing_to_remove(registry: Registry, tmp_path: Path) -> None:
    """Before the first checkpoint nothing is removed, kept or freed."""
    run = train(tmp_path / "run", registry)
    for step in checkpoints.steps(run):
        shutil.rmtree(run.checkpoint_path(step))
    (cleaning,) = clean_runs(run.path, keep=1, dry_run=False, notice=pytest.fail)
    assert (cleaning.removed, cleaning.kept, cleaning.bytes) == ([], [], 0)


def test_a_link_is_removed_and_not_its_target(registry: Registry, tmp_path: Path) -> None:
    """A checkpoint that is a link frees nothing, wherever it leads, and its target stays."""
    run = train(tmp_path / "run", registry)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    shutil.rmtree(run.checkpoint_path(1))
    run.checkpoint_path(1).symlink_to(tmp_path / "precious")
    (cleaning,) = clean_runs(run.path, keep=3, dry_run=False, notice=pytest.fail)
    assert (cleaning.removed, cleaning.bytes) == ([1], 0)
    assert not run.checkpoint_path(1).is_symlink()
    assert (tmp_path / "precious" / "file").read_text() == "mine"
    assert list(run.checkpoints.glob(".*")) == []


def test_a_run_that_trains_is_skipped(registry: Registry, tmp_path: Path) -> None:
    """The holder of a run's lock decides on its checkpoints."""
    run = train(tmp_path / "run", registry)
    notices: list[str] = []
    with RunLock(run):
        assert clean_runs(tmp_path, keep=1, dry_run=False, notice=notices.append) == []
    assert "is in use by another process" in notices[0]
    assert checkpoints.steps(run) == [4, 3, 2, 1]
    with pytest.raises(RunDirectoryError, match="has no runs"):
        clean_runs(tmp_path / "nowhere", keep=1, dry_run=True, notice=pytest.fail)


def test_the_command_reports_what_it_frees(registry: Registry, tmp_path: Path) -> None:
    """Steps and bytes are printed, also as JSON."""
    train(tmp_path / "run", registry)
    listed = command("clean", tmp_path, "--dry-run")
    assert "3 checkpoints" in listed.stdout
    assert "would be freed in 1 run\n" in listed.stdout
    done = command("clean", tmp_path, "--json")
    (document,) = json.loads(done.stdout)
    assert (document["removed"], document["kept"]) == ([3, 2, 1], [4])
    assert command("clean", tmp_path / "nowhere").returncode == 2
