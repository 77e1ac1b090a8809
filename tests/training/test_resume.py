"""Exact resume: every checkpoint file has the bits of an uninterrupted run."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents
from ganforge.training.run_directory import RunDirectory
from ganforge.training.trainer import Trainer
from ganforge.utils.signals import Interruption
from tests.helpers.checkpoints import FILES, digests, wait_for_checkpoint
from tests.helpers.runs import read_rows_without_times, tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[16]", "disc.hidden=[16]", "ema_halflife_images=200")
DCGAN = ("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "critic_steps=2", "batch_size=300")


class StopAt(Interruption):
    """Interruption that simulates a signal at a step."""

    trainer: Trainer
    step: int

    @property
    def received(self) -> signal.Signals | None:
        """Return the signal from that step on."""
        return signal.SIGINT if self.trainer.step >= self.step else None

    @received.setter
    def received(self, value: signal.Signals | None) -> None:
        """Ignore the initial None."""


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("settings", [MLP, pytest.param(DCGAN, marks=pytest.mark.slow)], ids=["mlp", "dcgan"])
def test_stopping_anywhere_changes_no_bit(
    settings: tuple[str, ...], precision: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N steps equal k steps, resume and N-k steps, for k within, at and after an epoch's end, and for many resumes."""
    settings = ("batch_size=700", *settings, "steps=31", f"precision={precision}", "log_every=3", "evaluate_every=8")
    settings = (
        *settings,
        "num_samples=50",
        "max_eval_time_fraction=1",
        "checkpoint_every=9",
    )  # epochs of 14 and 17 steps
    straight = RunDirectory(tmp_path / "straight")
    launch.start_run(prepare(tiny(registry, *settings), registry), out=straight.path)
    for stops in ((1,), (14,), (5, 17, 29)):
        run = RunDirectory(tmp_path / f"stopped-{stops}")
        for number, stop in enumerate((*stops, 10**6)):

            class Here(StopAt):
                step = stop

            def train(
                self: Trainer,
                interruption: Interruption,
                original: Callable[..., None] = Trainer.train,
                here: type[StopAt] = Here,
            ) -> None:
                stopping = here()
                stopping.trainer = self
                original(self, stopping)
                interruption.received = stopping.received

            with monkeypatch.context() as patch:
                patch.setattr(Trainer, "train", train)
                if number == 0:
                    outcome = launch.start_run(prepare(tiny(registry, *settings), registry), out=run.path)
                else:
                    outcome = launch.resume_run(run, registry)
            assert outcome.steps == min(stop, 31)
        assert digests(run) == digests(straight)
        for rows in ("metrics", "evaluations"):
            assert read_rows_without_times(getattr(run, rows)) == read_rows_without_times(getattr(straight, rows))


def test_a_checkpoint_holds_everything_that_training_changes(
    assemble: Callable[..., GANComponents], registry: Registry, tmp_path: Path
) -> None:
    """The files of a checkpoint are those of the contract, and state.json holds no time."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=2"), registry), out=run.path)
    assert sorted(digests(run)) == list(FILES)
    state = json.loads((run.checkpoint_path(2) / "state.json").read_text())
    last_stats = {
        name: pytest.approx(value, rel=1e-6)
        for name, value in read_rows_without_times(run.metrics)[-1].items()
        if name in state["last_stats"]
    }
    assert state.pop("health")["rows"] == 2
    assert {phase: groups[0]["betas"] for phase, groups in state.pop("optimizers").items()} == {
        "disc": [0.5, 0.999],
        "gen": [0.5, 0.999],
    }
    same = {"best": None, "format": 1, "frozen": {}, "rollbacks": 0, "last_stats": last_stats, "precision": "fp32"}
    assert state.pop("scalers") == {}
    assert state == {**same, "images_seen": 120, "seed": 0, "step": 2}
    assert set(last_stats) == {
        "loss/discriminator",
        "loss/generator",
        *("logits/real", "logits/fake", "prob/real", "prob/fake", "health/diversity"),
    }


def test_repeating_a_run_from_its_own_configuration_gives_the_same_bits(ganforge: Ganforge, tmp_path: Path) -> None:
    """`ganforge run --config RUN/run.toml` writes the same checkpoint and rows as the original run."""
    flags = ("--gen", "mlp", "--disc", "mlp", "--steps", "12", "--data.source", "sample", "--gen.hidden", "[16]")
    first = ganforge("run", *flags, "--seed", "7", "--out", "first", "--quiet")
    assert first.returncode == 0, first.stderr
    second = ganforge("run", "--config", "first/run.toml", "--out", "second", "--quiet")
    assert second.returncode == 0, second.stderr
    one, two = (RunDirectory(tmp_path / name) for name in ("first", "second"))
    assert digests(one) == digests(two)
    assert read_rows_without_times(one.metrics) == read_rows_without_times(two.metrics)
    assert one.config.read_text() == two.config.read_text()


def start_run(out: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a real training process with small checkpoints at every step."""
    command = run_command(out, *flags)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def run_command(out: Path, *flags: str) -> list[str]:
    """Return the command of a training with small checkpoints at every step."""
    command = [sys.executable, "-m", "ganforge", "run", "--out", str(out), "--data.source", "sample"]
    command += ["--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[32]", "--disc.hidden", "[32]", "--precision", "fp32"]
    return [*command, "--checkpoint-every", "1", *flags]


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_no_bit(ganforge: Ganforge, tmp_path: Path) -> None:
    """A run killed between and during saves and resumed ends with the bits of an uninterrupted run.

    The run saves at every step, so that most kills hit a save.
    """
    flags = ("--steps", "120", "--set", "ema_halflife_images=500")
    straight, killed = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "killed")
    process = start_run(straight.path, *flags)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    process = start_run(killed.path, *flags)
    for _ in range(3):
        wait_for_checkpoint(killed, process)
        newest = checkpoints.steps(killed)[0]
        while checkpoints.steps(killed)[0] == newest and process.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        resume = [sys.executable, "-m", "ganforge", "resume", str(killed.path)]
        process = subprocess.Popen(resume, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, errors = process.communicate(timeout=200)
    assert process.returncode in {0, 2}, errors  # 2: the last kill came after the last step
    assert digests(killed) == digests(straight)
    assert read_rows_without_times(killed.metrics) == read_rows_without_times(straight.metrics)
    assert not list(killed.checkpoints.glob(".*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_saves_and_prints_the_resume_command(
    number: signal.Signals, code: int, ganforge: Ganforge, tmp_path: Path
) -> None:
    """SIGINT, SIGTERM and SIGHUP save, print the resume command, and exit 130, 143 and 129; the run then resumes."""
    run = RunDirectory(tmp_path / "run")
    process = start_run(run.path, "--steps", "100000")
    wait_for_checkpoint(run, process)
    begun = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert process.returncode == code
    assert f"ganforge resume {run.path}" in errors
    manifest = run.read_manifest().as_dict()
    assert manifest["status"] == "interrupted"
    assert checkpoints.steps(run)[0] == manifest["summary"]["steps"]
    assert run.sample_path(manifest["summary"]["steps"]).is_file()
    resumed = ganforge("resume", run.path, "--steps", manifest["summary"]["steps"] + 2, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == manifest["summary"]["steps"] + 2


@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid, of util-linux, gives a process a terminal")
def test_a_closed_terminal_saves(tmp_path: Path) -> None:
    """A terminal that closes, as when a connection breaks, sends SIGHUP: the run saves, and its output is discarded."""
    run = RunDirectory(tmp_path / "run")
    terminal, child_side = pty.openpty()
    command = ["setsid", "--ctty", *run_command(run.path, "--steps", "100000")]
    process = subprocess.Popen(command, stdin=child_side, stdout=child_side, stderr=child_side)
    os.close(child_side)
    os.set_blocking(terminal, False)
    while not checkpoints.steps(run):
        assert process.poll() is None
        with contextlib.suppress(BlockingIOError):
            os.read(terminal, 65536)
        time.sleep(0.01)
    os.close(terminal)
    assert process.wait(timeout=60) == 129
    manifest = run.read_manifest()
    assert manifest.status == "interrupted"
    assert manifest.summary is not None
    assert checkpoints.steps(run)[0] == manifest.summary.steps
