"""`ganforge move` and `ganforge runs --du`: a run at another place, and the size of its files."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ganforge as package
from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.report import report_run
from ganforge.runs import launch, move
from ganforge.runs.index import disk_usage
from ganforge.runs.listing import list_runs
from ganforge.runs.move import move_run
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, RunLock
from ganforge.utils.files import filling
from tests.helpers.plugins import command
from tests.helpers.runs import tiny

SETTINGS = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "steps=2")


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> RunDirectory:
    """Train two steps in `runs/run`."""
    prepared = prepare(tiny(registry, *SETTINGS), registry)
    launch.start_run(prepared, out=tmp_path / "runs" / "run", callback=Callback())
    return RunDirectory(tmp_path / "runs" / "run")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run by name, without its lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def another_disk(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    """Let renames of a folder fail as between two file systems."""
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)


@pytest.mark.parametrize("across", [False, True])
def test_a_moved_run_is_whole(
    across: bool,  # noqa: FBT001 - pytest passes parameters by name
    run: RunDirectory,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every file is at the new place, nothing is at the old one, and the run can be sampled and resumed."""
    if across:
        another_disk(monkeypatch, run.path)
    (run.path / "notes").symlink_to("../notes.txt")
    (run.path.parent / "notes.txt").touch()
    before = contents(run.path)
    moved = move_run(run.path, tmp_path / "deep" / "er" / "new")
    assert not run.path.exists()
    assert contents(moved.path) == before
    assert (moved.path / "notes").readlink() == Path("../notes.txt")
    assert len(package.load(moved.path).sample(3)) == 3
    launch.resume_run(moved, registry, launch.ResumeOverrides(steps=3), callback=lambda _: Callback())
    assert moved.read_manifest().status == "finished"
    assert [path.name for path in moved.path.parent.iterdir()] == ["new"]


def test_a_copy_that_differs_leaves_the_run(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that writes other bytes costs nothing: the run stays, and there is no second one."""
    another_disk(monkeypatch, run.path)
    before = contents(run.path)

    @contextmanager
    def damaged(folder: Path) -> Iterator[Path]:
        with filling(folder) as temporary:
            (temporary / "metrics.jsonl.more").touch()
            yield temporary

    monkeypatch.setattr(move, "filling", damaged)
    with pytest.raises(RunDirectoryError, match=r"cannot be moved to .*: the copy of metrics\.jsonl\.more differs"):
        move_run(run.path, tmp_path / "new")
    assert contents(run.path) == before
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_one_reason(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run stays, and the message names the first file that could not be copied, not all of them."""
    another_disk(monkeypatch, run.path)
    before = contents(run.path)

    def full(source: str, target: str, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", source, None, target)

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(RunDirectoryError) as raised:
        move_run(run.path, tmp_path / "new")
    assert raised.value.message.count("No space left on device") == 1
    assert contents(run.path) == before
    assert not (tmp_path / "new").exists()


def test_the_command_renames_and_moves_into_folders(run: RunDirectory, tmp_path: Path) -> None:
    """A new name renames; an existing folder gets the run under its name; the report names the new place."""
    report_run(run.path)
    done = command("move", run.path, tmp_path / "runs" / "renamed", "--json")
    assert json.loads(done.stdout) == {"run": str(tmp_path / "runs" / "renamed")}
    (tmp_path / "archive").mkdir()
    done = command("move", tmp_path / "runs" / "renamed", tmp_path / "archive")
    assert done.returncode == 0, done.stderr
    moved = RunDirectory(tmp_path / "archive" / "renamed")
    assert moved.read_manifest().status == "finished"
    assert "archive/renamed" in moved.report.read_text()
    assert "runs/run" not in moved.report.read_text()


def test_runs_that_cannot_move_stay(run: RunDirectory, tmp_path: Path) -> None:
    """A run that trains, a trial of a sweep, a path that exists, and a path inside of the run are refused."""
    with RunLock(run), pytest.raises(RunDirectoryError, match="in use by another process"):
        move_run(run.path, tmp_path / "new")
    with pytest.raises(RunDirectoryError, match="is inside of"):
        move_run(run.path, run.path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file exists already"):
        move_run(run.path, tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="does not exist"):
        move_run(tmp_path / "none", tmp_path / "new")
    (tmp_path / "runs" / "sweep.toml").touch()
    with pytest.raises(RunDirectoryError, match="is a trial of the sweep"):
        move_run(run.path, tmp_path / "new")
    assert run.manifest.exists()


def test_disk_usage_counts_every_file_once(run: RunDirectory) -> None:
    """Checkpoints, samples and the others add up to the sizes of all files; links are not followed."""
    (run.path / "link").symlink_to(run.path.parent.parent)
    files = [path for path in run.path.rglob("*") if path.is_file() and not path.is_symlink()]
    usage = disk_usage(run.path)
    assert usage.total - (run.path / "link").lstat().st_size == sum(path.stat().st_size for path in files)
    assert usage.checkpoints == sum(path.stat().st_size for path in files if run.checkpoints in path.parents)
    assert usage.samples > 0
    assert usage.other > 0


def test_runs_are_listed_by_disk_usage(run: RunDirectory, tmp_path: Path) -> None:
    """`--du` begins with the largest run, shows the sum, and has numbers in --json; `bytes` is a key of filters."""
    large = move_run(run.path, tmp_path / "runs" / "large").path
    (tmp_path / "runs" / "small").mkdir()
    for name in ("run.toml", "run.json"):
        (tmp_path / "runs" / "small" / name).write_bytes((large / name).read_bytes())
    done = command("runs", tmp_path / "runs", "--du")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["run", "status", "total", "checkpoints", "samples", "other", "steps", "updated"]
    assert [line.split()[0].rpartition("/")[2] for line in lines[1:]] == ["large", "small", "all"]
    first, second = json.loads(command("runs", tmp_path / "runs", "--du", "--json").stdout)
    assert first["bytes"]["total"] == disk_usage(large).total
    assert second["bytes"]["checkpoints"] == 0
    between = (first["bytes"]["total"] + second["bytes"]["total"]) // 2
    listing = list_runs(tmp_path / "runs", where=[f"bytes>{between}"])
    assert [Path(each.summary.path).name for each in listing.runs] == ["large"]
