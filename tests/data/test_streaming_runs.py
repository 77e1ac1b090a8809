"""Laws of whole runs on streamed data: the same bits as in memory, through kills and signals."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.evaluation.evaluator import Evaluator
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import build
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import digests, wait_for_checkpoint
from tests.helpers.runs import read_rows_without_times
from tests.helpers.streaming import KINDS, SETTINGS, opened, write_plugin

__all__ = ["opened"]  # a fixture


def alive(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for a condition, and fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(registry: Registry, folder: Path, *settings: str) -> RunDirectory:
    """Train some steps, and return the run directory."""
    run = RunDirectory(folder)
    layer = command_line_layer([*SETTINGS, "steps=7", *settings])
    assert launch.start_run(prepare(resolve([layer], registry), registry), out=run.path).status == "finished"
    return run


def test_workers_change_no_bit_of_a_run(opened: Registry, tmp_path: Path) -> None:
    """Runs with 0, 1 and 3 workers, and one with the images in memory, end with the same checkpoints and rows."""
    evaluated = ("evaluate_every=3", "num_samples=20", "max_eval_time_fraction=1")
    settings = (*evaluated, "critic_steps=2", "optimizer.lr=0.001")
    whole = runs(opened, tmp_path / "whole", "data=whole", *settings)
    for workers in (0, 1, 3):
        run = runs(opened, tmp_path / str(workers), "data=streamed", f"workers={workers}", *settings)
        assert digests(run) == digests(whole)
        assert read_rows_without_times(run.metrics) == read_rows_without_times(whole.metrics)
        scores, expected = ([row["scores"] for row in read_rows_without_times(r.evaluations)] for r in (run, whole))
        assert scores == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "classes"])
def test_every_kind_of_data_trains(kind: str, opened: Registry, tmp_path: Path) -> None:
    """Floats, vectors, pictures as conditions and extras train with the same bits from workers and from memory."""
    data = (f"data.kind={kind}", "evaluate_every=3", "num_samples=10", "max_eval_time_fraction=1")
    whole = runs(opened, tmp_path / "whole", "data=whole", *data)
    streamed = runs(opened, tmp_path / "streamed", "data=streamed", "workers=2", *data)
    assert digests(streamed) == digests(whole)
    assert read_rows_without_times(streamed.metrics) == read_rows_without_times(whole.metrics)
    scores, expected = (
        [row["scores"] for row in read_rows_without_times(run.evaluations)] for run in (streamed, whole)
    )
    assert scores == expected
    assert scores


@pytest.mark.parametrize("how", ["good", "noise", "raises"])
def test_the_fingerprint_of_a_score_is_of_the_scored_split(how: str, opened: Registry) -> None:
    """The seed of the run does not matter, though items draw random numbers; the dataset's own is not used."""
    prints = []
    for seed in (0, 1):
        settings = ("data=streamed", f"data.how={how}", "workers=0", f"seed={seed}")
        gan = build(resolve([command_line_layer([*SETTINGS, *settings])], opened))
        evaluator = Evaluator(gan, num_samples=10, split="test", seed=1, weights="generator")
        protocol = evaluator.evaluate(gan.generator, gan.latent).protocol  # image 7 is not among these
        assert (protocol.split, protocol.real_images) == ("test", 10)
        prints.append(protocol.fingerprint)
    assert prints[0] == prints[1] != gan.info.fingerprint


# The command line


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a run whose workers record their ids; end the rest afterwards."""
    plugin = write_plugin(tmp_path)
    (tmp_path / "pids").mkdir()
    started: list[subprocess.Popen[str]] = []

    def run(out: Path, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "ganforge", "run", "--plugin", str(plugin), "--out", str(out)]
        for setting in SETTINGS:
            command += ["--set", setting]
        command += ["--data", "streamed", "--data.how", "pids", "--data.place", str(tmp_path / "pids"), *flags]
        command += ["--checkpoint-every", "1", "--sample-every", "1000"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def readers(tmp_path: Path, process: subprocess.Popen[str]) -> list[int]:
    """Return the workers that still run."""
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    return [pid for pid in pids if pid != process.pid and alive(pid)]


@pytest.mark.slow
def test_a_killed_worker_fails_the_run_which_resumes_to_the_same_bits(
    start: Callable[..., subprocess.Popen[str]], ganforge: Callable[..., Any], opened: Registry, tmp_path: Path
) -> None:
    """`kill -9` of a worker: exit code 1, one line, the checkpoint kept; the resumed run has the same bits."""
    killed = RunDirectory(tmp_path / "killed")
    process = start(killed.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(killed, process)
    os.kill(readers(tmp_path, process)[0], signal.SIGKILL)
    start_time = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start_time < 20
    assert process.returncode == 1, errors
    assert "killed by SIGKILL" in errors
    assert "--workers" in errors
    assert "Traceback" not in errors
    manifest = killed.read_manifest().as_dict()
    assert manifest["status"] == "failed"
    steps = manifest["summary"]["steps"] + 5
    resumed = ganforge("resume", killed.path, "--plugin", "opened.py", "--steps", steps, "--workers", "0", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    straight = runs(opened, tmp_path / "straight", "data=streamed", f"steps={steps}")
    assert digests(straight) == digests(killed)
    assert read_rows_without_times(straight.metrics) == read_rows_without_times(killed.metrics)


def test_no_worker_outlives_a_killed_run(
    start: Callable[..., subprocess.Popen[str]], opened: Registry, tmp_path: Path
) -> None:
    """`kill -9` of the training process ends its workers, so that the run can be resumed at once."""
    run = RunDirectory(tmp_path / "run")
    process = start(run.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(run, process)
    left = readers(tmp_path, process)
    assert len(left) == 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(alive, left)), seconds=3)
    steps = checkpoints.steps(run)[0] + 3
    assert launch.resume_run(run, opened, launch.ResumeOverrides(steps=steps)).status == "finished"
    assert digests(run) == digests(runs(opened, tmp_path / "straight", "data=streamed", f"steps={steps}"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small /dev/shm: run as root, with `unshare` (util-linux)")
@pytest.mark.parametrize(("size", "message"), [("4k", "(train) cannot start"), ("80k", "cannot send a batch")])
def test_a_full_shared_memory_fails_the_run(size: str, message: str, tmp_path: Path) -> None:
    """With a /dev/shm without room for locks or a batch, a run ends with exit code 1 and the fix; it does not wait."""
    run = [sys.executable, "-W", "error", "-m", "ganforge", "run", "--plugin", str(write_plugin(tmp_path))]
    further = ("data=streamed", "data.kind=latents", "batch_size=40", "workers=2", "steps=9")
    replaced = {setting.partition("=")[0] for setting in further}
    for setting in (*(each for each in SETTINGS if each.partition("=")[0] not in replaced), *further):
        run += ["--set", setting]
    script = (
        f"mount -t tmpfs -o size={size} tmpfs /dev/shm && exec {shlex.join([*run, '--out', str(tmp_path / 'run')])}"
    )
    command = ["unshare", "-m", "sh", "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert message in ended.stderr
    assert "enlarge /dev/shm" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert RunDirectory(tmp_path / "run").read_manifest().status == "failed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_is_handled_by_the_training_process(
    number: signal.Signals, code: int, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Ctrl-C and a batch system's SIGTERM reach every process; the run saves, and no worker is left."""
    run = RunDirectory(tmp_path / "run")
    process = start(run.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(run, process)
    left = readers(tmp_path, process)
    for pid in (*left, process.pid):
        os.kill(pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert run.read_manifest().status == "interrupted"
    assert not any(map(alive, left))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_a_signal_stops_a_run_whose_data_wait_forever(
    workers: int, critic_steps: int, opened: Registry, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """An item that sleeps, in a worker or in the training process, delays the first signal by no more than seconds.

    The checkpoint is of the last whole step, and has the bits of a run without the item.
    """
    run = RunDirectory(tmp_path / "run")
    flags = ("--data.how", "sleeps", "--workers", str(workers), "--critic-steps", str(critic_steps))
    process = start(run.path, "--steps", "100000", *flags)
    wait_until(lambda: process.poll() is not None or run.sample_path(0).is_file(), seconds=60)
    time.sleep(3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begun < 20, "the item sleeps for 100 seconds"
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    manifest = run.read_manifest()
    assert manifest.status == "interrupted"
    steps = checkpoints.steps(run)[0]
    if steps:
        settings = ("data=streamed", f"steps={steps}", f"critic_steps={critic_steps}", "checkpoint_every=1")
        straight = runs(opened, tmp_path / "straight", *settings)
        path = f"step-{steps:08d}"
        names = ("generator.safetensors", "discriminator.safetensors")
        ours, theirs = ([(r.checkpoint_path(steps) / name).read_bytes() for name in names] for r in (run, straight))
        assert ours == theirs, path
