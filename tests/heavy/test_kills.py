"""`kill -9` again and again: the run ends with the bits of one that was left alone.

Each process is killed once it has trained up to a step chosen at random, a random part of a step later; one that is
there already when it starts is killed at any moment of its start. The environment variable GANFORGE_KILLS has the
number of kills, 50 by default.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ganforge.training import checkpoint as checkpoints
from ganforge.training.run_directory import RunDirectory
from tests.helpers.runs import ROOT, read_rows_without_times

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("GANFORGE_KILLS", "50"))
STEPS_PER_KILL = 20
#: Time to start a process on a busy machine, and a little more.
START_SECONDS = 6.0

RESIDENT = (
    *("--data", "mnist", "--data.source", "sample", "--evaluate-every", "23", "--num-samples", "20"),
    *("--max-eval-time-fraction", "1"),
)
STREAMED = ("--data", "streamed-digits")
STREAMED_PLUGIN = ("--plugin", str(ROOT / "tests" / "helpers" / "streamed_digits.py"))
MLP = ("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[32]", "--disc.hidden", "[32]", "--batch-size", "100")
DCGAN = (
    *("--gen", "dcgan", "--disc", "dcgan", "--gen.base_channels", "4", "--disc.base_channels", "4"),
    *("--batch-size", "40"),
)
#: Saves at every step, so that many kills fall into one; grids, scores and rows at steps of their own.
OFTEN = (
    *("--checkpoint-every", "1", "--sample-every", "17", "--set", "log_every=3"),
    *("--set", "ema_halflife_images=500", "--set", "keep_checkpoints=2", "--quiet"),
)


def ganforge(*words: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "ganforge", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def newest(run: RunDirectory) -> int:
    """Return the step of the newest checkpoint, or 0."""
    return next(iter(checkpoints.steps(run)), 0)


def wait_for_step(run: RunDirectory, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until a checkpoint of that step, or of a later one, lies there."""
    end = time.monotonic() + 240
    while newest(run) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"step {step} did not come"
        time.sleep(0.001)


def wait_a_while(run: RunDirectory, seconds: float) -> None:
    """Wait so long, or until it has trained some steps: a fast machine would reach the end of the training."""
    begun, end = newest(run), time.monotonic() + seconds
    while time.monotonic() < end and newest(run) < begun + STEPS_PER_KILL // 2:
        time.sleep(0.001)


def contents(run: RunDirectory) -> dict[str, str]:
    """Return the SHA-256 of every file of every checkpoint, and of every grid."""
    files = sorted([*run.checkpoints.rglob("*"), *run.samples.rglob("*")])
    return {
        str(file.relative_to(run.path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def killed_again_and_again(run: RunDirectory, start: Sequence[str], plugin: Sequence[str], steps: int) -> list[str]:
    """Kill a run KILLS times, resume it each time, and let it end; return what each kill fell into."""
    chance = random.Random(KILLS)  # noqa: S311 - moments, not secrets
    targets = sorted(chance.sample(range(1, steps - STEPS_PER_KILL), KILLS))
    fallen = []
    for target in targets:
        if not (run.config.is_file() and run.manifest.is_file()):
            shutil.rmtree(run.path, ignore_errors=True)  # killed before there was a run that could be resumed
            process = ganforge("run", *start, *plugin, "--out", run.path)
        else:
            process = ganforge("resume", run.path, *plugin, "--quiet")
        if newest(run) < target:
            wait_for_step(run, target, process)
            time.sleep(chance.uniform(0, 0.05))
        else:
            wait_a_while(run, chance.uniform(0, START_SECONDS))
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -9, f"it ended by itself before step {target}: {errors}"
        assert "Traceback" not in errors, errors
        halves = list(run.checkpoints.glob(".*.tmp"))
        fallen.append("saving" if halves else "other")
    process = ganforge("resume", run.path, *plugin, "--quiet")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return fallen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("models", [MLP, DCGAN], ids=["mlp", "dcgan"])
@pytest.mark.parametrize(
    ("data", "plugin"), [(RESIDENT, ()), (STREAMED, STREAMED_PLUGIN)], ids=["resident", "streamed"]
)
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    data: tuple[str, ...],
    plugin: tuple[str, ...],
    models: tuple[str, ...],
    precision: str,
    tmp_path: Path,
) -> None:
    """Weights, optimisers, average, state, grids, rows and scores are those of an uninterrupted run."""
    steps = STEPS_PER_KILL * (KILLS + 1)
    start = (*data, *models, *OFTEN, "--precision", precision, "--device", "cpu", "--steps", str(steps))
    straight, killed = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "killed")
    process = ganforge("run", *start, *plugin, "--out", straight.path)
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors
    fallen = killed_again_and_again(killed, start, plugin, steps)
    print(f"{len(fallen)} kills, {fallen.count('saving')} of them while a checkpoint was written or removed")  # noqa: T201 - pytest -s
    assert contents(killed) == contents(straight)
    for rows in ("metrics", "evaluations"):
        assert read_rows_without_times(getattr(killed, rows)) == read_rows_without_times(getattr(straight, rows))
    assert [path.name for path in killed.path.rglob(".*") if path.name != ".lock"] == []
