"""Signals to real training processes, and two of them on one run."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ganforge.training import checkpoint as checkpoints
from ganforge.training.run_directory import RunDirectory
from tests.helpers.runs import read_rows, read_rows_without_times

Ganforge = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]

#: Promised time to stop, if each step takes less.
SECONDS = 5.0
COMMON = (
    "--data",
    "mnist",
    "--data.source",
    "sample",
    "--precision",
    "fp32",
    "--device",
    "cpu",
    "--set",
    "log_every=1",
)
MLP = ("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[32]", "--disc.hidden", "[32]", "--checkpoint-every", "5")
#: Steps of half a second and more, and no checkpoint but that of a signal.
SLOW = ("--gen", "dcgan", "--disc", "dcgan", "--batch-size", "128", "--checkpoint-every", "100000")


def training(*words: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "ganforge", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Wait for something that a process does while it runs."""
    end = time.monotonic() + 240
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def saved(run: RunDirectory, target: int) -> bool:
    """Return whether a run has a checkpoint of a step or a later one."""
    return any(step >= target for step in checkpoints.steps(run))


def contents(run: RunDirectory) -> dict[str, str]:
    """Return the SHA-256 of every file of the newest checkpoint."""
    folder = run.checkpoint_path(checkpoints.steps(run)[0])
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("models", [MLP, SLOW], ids=["quick steps", "slow steps"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_is_answered_in_time(
    number: signal.Signals, code: int, models: tuple[str, ...], tmp_path: Path
) -> None:
    """The step that was under way is saved, and the process gone, within five seconds or a step, the longer of both."""
    run = RunDirectory(tmp_path / "run")
    process = training("run", *COMMON, *models, "--steps", "100000", "--out", run.path)
    # The grid of step 0 is written before the first step; some steps later a row would be there for quick ones.
    wait_until(process, lambda: run.sample_path(0).is_file())
    time.sleep(3.3)
    begun = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    seconds = time.monotonic() - begun
    assert process.returncode == code, errors
    rows = read_rows(run.metrics)
    step_seconds = rows[0]["images_seen"] / min(row["images_per_second"] for row in rows)
    print(f"{number.name}: gone after {seconds:.2f} s; a step took up to {step_seconds:.2f} s")  # noqa: T201 - pytest -s
    assert seconds < max(SECONDS, step_seconds)
    assert checkpoints.steps(run)[0] == rows[-1]["step"] == run.read_manifest().as_dict()["summary"]["steps"]
    assert checkpoints.load_newest(run, pytest.fail) is not None


def test_second_signals_at_once_do_no_harm(ganforge: Ganforge, tmp_path: Path) -> None:
    """Two or three signals within milliseconds, at random moments, many times: the run resumes to the same bits."""
    straight, run = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "run")
    flags = (*COMMON, *MLP, "--checkpoint-every", "1", "--steps", "300")
    done = ganforge("run", *flags, "--out", straight.path, "--quiet")
    assert done.returncode == 0, done.stderr
    chance = random.Random(1)  # noqa: S311 - moments, not secrets
    process = training("run", *flags, "--out", run.path, "--quiet")
    codes = []
    for target in range(20, 261, 24):
        wait_until(process, partial(saved, run, target))
        time.sleep(chance.uniform(0, 0.02))
        for _ in range(chance.choice([2, 2, 3])):
            process.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM]))
            time.sleep(chance.choice([0, 0, 0.001, 0.01]))
        _, errors = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert process.returncode not in {0, 1}, errors
        assert "error" not in errors, errors
        assert checkpoints.load_newest(run, pytest.fail) is not None
        process = training("resume", run.path, "--quiet")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    print(f"exit codes: {codes}")  # noqa: T201 - pytest -s
    assert contents(run) == contents(straight)
    assert read_rows_without_times(run.metrics) == read_rows_without_times(straight.metrics)
    assert list(run.path.rglob(".*.tmp")) == []


def test_of_two_processes_one_trains(ganforge: Ganforge, tmp_path: Path) -> None:
    """A second `resume` is refused while the first trains; the lock of a killed one, still there, does not matter."""
    run = RunDirectory(tmp_path / "run")
    first = training("run", *COMMON, *MLP, "--steps", "100000", "--out", run.path, "--quiet")
    wait_until(first, lambda: bool(checkpoints.steps(run)))
    second = ganforge("resume", run.path)
    assert second.returncode == 2
    assert "is in use by another process" in second.stderr
    assert first.poll() is None, "and the first does not notice"
    first.kill()
    first.communicate()
    assert (run.path / ".lock").exists()
    (run.path / ".lock").write_text("99999999\n")  # whatever a dead process left in it
    step = checkpoints.steps(run)[0]
    third = ganforge("resume", run.path, "--steps", step + 5, "--json")
    assert third.returncode == 0, third.stderr
    assert json.loads(third.stdout)["steps"] == step + 5
