"""A disk that is really full: a small tmpfs, filled at the worst moment, and the bits that come of it later."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganforge.training import checkpoint as checkpoints
from ganforge.training.run_directory import RunDirectory
from tests.helpers.runs import read_rows_without_times

Ganforge = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]

PAGE = 4096
FLAGS = (
    *("--data", "mnist", "--data.source", "sample", "--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[16]"),
    *("--disc.hidden", "[16]", "--batch-size", "20", "--precision", "fp32", "--device", "cpu", "--quiet"),
    *("--set", "log_every=1", "--set", "ema_halflife_images=100", "--steps", "60"),
)
SELDOM = ("--sample-every", "1000")
#: The function that meets the full disk, the call of it that does, flags, and the checkpoints that are there by then.
WRITES = {
    "checkpoint": ("ganforge.training.checkpoint.save", 4, ("--checkpoint-every", "10", *SELDOM), [30, 20, 10]),
    "row": ("ganforge.training.writer.append_row", 28, ("--checkpoint-every", "25", *SELDOM), [25]),
    "grid": (
        "ganforge.training.writer.save_png",
        9,
        ("--checkpoint-every", "10", "--sample-every", "4"),
        [30, 20, 10],
    ),
}
#: File being written, and number of pages left by then: a checkpoint takes about 90, a grid about 10.
MOMENTS = [("checkpoint", 0), ("checkpoint", 1), ("checkpoint", 3), ("checkpoint", 20), ("checkpoint", 50)]
MOMENTS += [("checkpoint", 80), ("row", 0), ("grid", 0), ("grid", 3)]
#: The command line, which fills the disk to the last page, but for ROOM bytes, before the CALL-th call of a function.
FILLING = """
import errno, importlib, os, sys
place, module, name, call, room = sys.argv[1], *sys.argv[2].rsplit(".", 1), int(sys.argv[3]), int(sys.argv[4])
calls = 0
def fill():
    with open(place + "/filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        filler.truncate(max(0, filler.tell() - room))
def filling(*args, **keywords):
    global calls
    calls += 1
    if calls == call:
        fill()
    return original(*args, **keywords)
owner = importlib.import_module(module)
original = getattr(owner, name)
setattr(owner, name, filling)
from ganforge.cli import main
sys.argv = ["ganforge", *sys.argv[5:]]
main()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        done = subprocess.run(options, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here: run this on Linux")
    if done.returncode:
        pytest.skip(
            f"a tmpfs cannot be mounted here ({done.stderr.strip()}): run this as root, where mounting is allowed"
        )
    yield place
    subprocess.run(["umount", str(place)], check=True)


def contents(run: RunDirectory) -> dict[str, str]:
    """Return the SHA-256 of every file of every checkpoint, and of every grid."""
    files = [file for folder in (run.checkpoints, run.samples) for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(run.path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def filling(place: Path, what: str, call: int, room: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line on a disk that fills before a function's call, but for some bytes."""
    command = [sys.executable, "-c", FILLING, str(place), what, str(call), str(room), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.parametrize(("what", "room"), MOMENTS, ids=str)
def test_a_full_disk_costs_nothing_that_was_saved(
    what: str, room: int, disk: Path, ganforge: Ganforge, tmp_path: Path
) -> None:
    """Exit 1 and one message; the checkpoints before are untouched; with room again, it ends with the same bits."""
    function, call, flags, saved = WRITES[what]
    straight, run = RunDirectory(tmp_path / "straight"), RunDirectory(disk / "run")
    done = ganforge("run", *FLAGS, *flags, "--out", straight.path)
    assert done.returncode == 0, done.stderr
    full = filling(disk, function, call, room * PAGE, "run", *FLAGS, *flags, "--out", run.path)
    assert full.returncode == 1, full.stderr
    assert [line[:7] for line in full.stderr.splitlines() if line.startswith(("error", "note"))] == ["error: "]
    assert "could not be written" in full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert checkpoints.steps(run) == saved
    for step in saved:
        assert checkpoints.load(run.checkpoint_path(step)).step == step
    assert list(run.path.rglob(".*.tmp")) == []

    stuck = ganforge("resume", run.path, "--quiet")
    assert stuck.returncode == 1, stuck.stderr
    assert "Traceback" not in stuck.stderr
    assert "should not happen" not in stuck.stderr
    assert checkpoints.load_newest(run, pytest.fail).step >= saved[0]  # type: ignore[union-attr]

    (disk / "filler").unlink()
    again = ganforge("resume", run.path, "--quiet")
    assert again.returncode == 0, again.stderr
    assert contents(run) == contents(straight)
    assert read_rows_without_times(run.metrics) == read_rows_without_times(straight.metrics)


def test_run_on_a_full_disk_is_one_message(disk: Path, ganforge: Ganforge) -> None:
    """On a disk that is full from the start, `run` leaves no directory, and nothing but one message."""
    with (disk / "filler").open("wb") as filler:
        filler.truncate(0)
    done = filling(disk, "ganforge.runs.launch.RunLock", 1, 0, "run", *FLAGS, "--out", disk / "run")
    assert done.returncode != 0
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (disk / "run").exists()
    (disk / "filler").unlink()
    again = ganforge("run", *FLAGS, "--out", disk / "run")
    assert again.returncode == 0, again.stderr
