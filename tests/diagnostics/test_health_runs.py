"""Laws of health in real trainings: planted failures raise alerts, and healthy trainings raise none."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ganforge import Experiment
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.session import Outcome
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory
from ganforge.training.trainer import Trainer
from ganforge.utils.signals import Interruption
from tests.helpers.checkpoints import exact
from tests.helpers.plugins import command, local
from tests.helpers.runs import read_rows, read_rows_without_times, tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

#: Generators of one image: always (`still`), or between two of their calls (`lapsing`, two calls a step; `once`, the
#: first time in a process only); and one of noise that never learns (`noise`).
PLANTED = """
import torch
from torch import nn

from ganforge import Generator


class Small(Generator):
    class Options(Generator.Options):
        since: int = 0
        until: int = 10**9

    def __init__(self, options, image):
        super().__init__(options, image)
        self.shape = (image.channels, image.height, image.width)
        pixels = image.channels * image.height * image.width
        self.layers = nn.Sequential(nn.Linear(self.latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, pixels), nn.Tanh())
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def alike(self):
        return True

    def forward(self, z, condition=None):
        self.calls += self.training
        return self.layers(0 * z if self.alike() else z).reshape(len(z), *self.shape)


class Lapsing(Small):
    def alike(self):
        return 2 * self.options.since <= self.calls < 2 * self.options.until


class Once(Lapsing):
    highest = 0

    def alike(self):
        again = self.calls <= Once.highest
        Once.highest = max(Once.highest, int(self.calls) if len(self.layers) else 0)
        return super().alike() and not again


class Noise(Small):
    def forward(self, z, condition=None):
        pixels = z.repeat(1, 10)[:, : self.layers[2].out_features]
        return torch.tanh(pixels + 0 * self.layers[2].bias).reshape(len(z), *self.shape)


@hookimpl
def ganforge_components():
    kinds = {"still": Small, "lapsing": Lapsing, "once": Once, "noise": Noise}
    return [Component(kind="generator", name=name, target=target) for name, target in kinds.items()]
"""

DISC = ("disc=mlp", "disc.hidden=[16]", "log_every=1")
STILL = ("gen=still", *DISC)
LAPSING = ("gen=lapsing", *DISC, "gen.since=20", "gen.until=120")


class Watcher(Callback):
    """Record of messages and of active alerts."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.alerts: list[list[str]] = []

    def on_message(self, message: str) -> None:
        """Record the call."""
        self.messages.append(message)

    def on_alert(self, failures: Sequence[str]) -> None:
        """Record the call."""
        self.alerts.append(list(failures))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the local plugin."""
    return local(tmp_path_factory.mktemp("plugin") / "planted.py", PLANTED)


@pytest.fixture
def train(planted: Path, tmp_path: Path) -> Callable[..., tuple[Outcome, Watcher]]:
    """Train with settings as on the command line; return the outcome and the record."""
    registry = Registry.discover([planted], no_plugins=True)

    def run(*settings: str, out: str = "run") -> tuple[Outcome, Watcher]:
        watcher = Watcher()
        prepared = prepare(tiny(registry, *settings), registry)
        return launch.start_run(prepared, out=tmp_path / out, callback=watcher), watcher

    return run


def alerts(outcome: Outcome) -> list[tuple[str, int, int | None]]:
    """Return the alerts of run.json; they are those of the outcome."""
    health: list[dict[str, Any]] = outcome.run.read_manifest().as_dict()["health"]
    assert health == outcome.health == outcome.as_dict()["health"]
    return [(alert["alert"], alert["since_step"], alert["until_step"]) for alert in health]


Train = Callable[..., tuple[Outcome, Watcher]]


def test_one_image_from_the_first_step_on_is_reported_within_an_epoch(train: Train) -> None:
    """A generator that is constant from the start raises an alert long before the end of its epoch, in one line."""
    outcome, watcher = train(*STILL, "steps=100", "log_every=10")
    assert alerts(outcome) == [("collapse", 1, None)]
    (message,) = watcher.messages
    assert message.startswith("collapse since step 1: the fakes are nearly identical; their diversity is ")
    assert watcher.alerts == [[], ["collapse"]]
    rows = read_rows(outcome.run.metrics)
    assert outcome.run.read_manifest().status == "finished"
    assert [row["health/alerts"] for row in rows] == [0] * 4 + [1] * 6
    assert max(row["health/diversity"] for row in rows) < 1e-5


def test_a_generator_that_collapses_midway_is_reported_and_so_is_its_recovery(train: Train) -> None:
    """One image from step 20 to step 120 raises an alert within an epoch, resolved within another fifty steps."""
    outcome, watcher = train(*LAPSING, "steps=220")
    ((failure, since, until),) = alerts(outcome)
    assert failure == "collapse"
    assert 20 <= since <= 40
    assert until is not None
    assert 120 <= until <= 130
    raised, resolved = watcher.messages
    assert raised.startswith(f"collapse since step {since}: ")
    assert resolved == f"collapse since step {since} resolved at step {until}"
    assert watcher.alerts == [[], ["collapse"], []]
    steps = [row["step"] for row in read_rows(outcome.run.metrics) if row["health/alerts"]]
    assert steps == list(range(since + 49, until + 49))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("gen=mlp", "disc=mlp", "steps=160"), id="mlp"),
        pytest.param(
            ("gen=dcgan", "disc=dcgan", "gen.base_channels=16", "disc.base_channels=16", "steps=110"), id="dcgan"
        ),
    ],
)
def test_a_healthy_training_raises_no_alert(settings: tuple[str, ...], train: Train) -> None:
    """The textbook's networks raise no alert from the first step on, though the images of an MLP start nearly equal."""
    outcome, watcher = train(*settings)
    assert alerts(outcome) == []
    assert watcher.messages == []
    assert watcher.alerts == [[]]
    diversity = [row["health/diversity"] for row in read_rows(outcome.run.metrics)]
    assert all(0 < value < 3 for value in diversity)


def test_a_saturated_discriminator_raises_an_alert(train: Train) -> None:
    """Against noise that never learns the discriminator wins, and its loss vanishes."""
    fast = ("disc.hidden=[64]", "disc.dropout=0", "optimizer.disc.lr=0.005")
    outcome, _ = train("gen=noise", "disc=mlp", *fast, "steps=160")
    ((failure, _, until),) = alerts(outcome)
    assert (failure, until) == ("saturation", None)


def test_a_discriminator_that_does_not_learn_raises_an_alert(train: Train) -> None:
    """Against a discriminator that does not learn the generator wins: D(G(z)) exceeds D(x)."""
    outcome, _ = train(
        "gen=mlp", "gen.hidden=[64]", *DISC, "optimizer.disc.lr=1e-7", "optimizer.gen.lr=0.002", "steps=90"
    )
    assert [failure for failure, *_ in alerts(outcome)] == ["fooled"]


def test_stopping_at_a_collapse(planted: Path, tmp_path: Path) -> None:
    """`--on-collapse stop` ends the run as diverged, exit code 1; a line names the step and the hint, once."""
    flags = ("--plugin", planted, "--gen", "lapsing", "--gen.since", "20", "--disc", "mlp", "--disc.hidden", "[16]")
    more = ("--data.source", "sample", "--precision", "fp32", "--steps", "300", "--checkpoint-every", "15")
    done = command("run", *flags, *more, "--on-collapse", "stop", "--out", "run", "--quiet", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    (alert,) = document["health"]
    since = alert["since_step"]
    assert document["status"] == "diverged"
    assert document["error"] == f"collapse since step {since}: {alert['message']}"
    assert done.stderr.count("collapse since step") == done.stderr.count(alert["hint"]) == 1
    assert "the last good checkpoint is kept" in done.stderr
    run = RunDirectory(tmp_path / "run")
    assert run.read_manifest().status == "diverged"
    assert since + 49 <= document["steps"] < since + 59
    assert read_rows(run.metrics)[-1]["step"] == document["steps"] // 10 * 10
    assert checkpoints.load(run.checkpoint_path(checkpoints.steps(run)[0])).step < document["steps"]
    again = command("resume", "run", "--plugin", planted, "--quiet", "--json")
    assert again.returncode == 1, again.stderr
    assert json.loads(again.stdout)["error"] == document["error"]


def test_rollbacks_before_a_collapse_end_after_three_times(train: Train) -> None:
    """`on_collapse=rollback` restores a checkpoint from well before, with half the learning rate, three times."""
    settings = ("gen=lapsing", *DISC, "gen.since=60", "steps=300", "on_collapse=rollback")
    outcome, watcher = train(*settings, "checkpoint_every=5", "keep_checkpoints=50")
    assert outcome.status == "diverged"
    raised = alerts(outcome)
    since = raised[0][1]
    assert [(failure, until is None) for failure, _, until in raised] == [("collapse", False)] * 3 + [
        ("collapse", True)
    ]
    back = (since - 51) // 5 * 5
    assert back > 5
    assert outcome.error is not None
    assert outcome.error.endswith(", after 3 rollbacks")
    assert [message.partition("; rolled back to ")[2] for message in watcher.messages] == [
        f"step {back}, with {factor} of the learning rate (rollback {number} of 3)"
        for number, factor in enumerate((0.5, 0.25, 0.125), 1)
    ]
    assert [row["step"] for row in read_rows(outcome.run.metrics)] == list(range(1, outcome.steps + 1))


def test_a_run_continues_after_a_rollback(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that collapses once finishes after a rollback; later checkpoints are gone, and the alert is kept.

    The time of the discarded steps is time of the run.
    """
    pause, load = 0.5, checkpoints.load_newest

    def slow(*words: Any, **named: Any) -> Any:
        time.sleep(pause)
        return load(*words, **named)

    monkeypatch.setattr(checkpoints, "load_newest", slow)
    settings = ("gen=once", *DISC, "gen.since=20", "gen.until=200", "steps=120", "on_collapse=rollback")
    outcome, watcher = train(*settings, "checkpoint_every=25", "keep_checkpoints=50")
    assert outcome.status == "finished", outcome.error
    seconds = [row["elapsed_seconds"] for row in read_rows(outcome.run.metrics)]
    assert max(after - before for before, after in pairwise([0.0, *seconds])) > pause
    ((failure, since, until),) = alerts(outcome)
    assert failure == "collapse"
    assert until is not None
    assert since + 49 <= until < since + 59
    assert len(watcher.messages) == 1
    assert watcher.alerts[-1] == []
    assert [row["step"] for row in read_rows(outcome.run.metrics)] == list(range(1, 121))
    state = checkpoints.load(outcome.run.checkpoint_path(120)).state
    assert state["rollbacks"] == 1
    assert [alert["until_step"] for alert in state["health"]["alerts"]] == [until]


def watching(watcher: Watcher, _: Experiment) -> Watcher:
    """Return a watcher as the callback of any experiment."""
    return watcher


def test_a_resumed_run_raises_the_same_alerts_at_the_same_steps(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before, during and after an alert, a run has the same rows, checkpoints and alerts to the bit."""
    registry = Registry.discover([planted], no_plugins=True)
    settings = (*LAPSING, "steps=200", "checkpoint_every=1000")
    straight = launch.start_run(
        prepare(tiny(registry, *settings), registry), out=tmp_path / "straight", callback=Watcher()
    )
    stopping: list[int] = [37, 93, 133, 10**6]

    class StopAt(Interruption):
        @property
        def received(self) -> signal.Signals | None:
            return signal.SIGINT if self.trainer.step >= stopping[0] else None

        @received.setter
        def received(self, value: signal.Signals | None) -> None:
            """Ignore the first value."""

        trainer: Trainer

    original = Trainer.train

    def train(self: Trainer, interruption: Interruption) -> None:
        here = StopAt()
        here.trainer = self
        original(self, here)
        interruption.received = here.received

    monkeypatch.setattr(Trainer, "train", train)
    outcome = launch.start_run(
        prepare(tiny(registry, *settings), registry), out=tmp_path / "stopped", callback=Watcher()
    )
    while len(stopping) > 1:
        stopped = stopping.pop(0)
        assert outcome.steps == stopped
        watcher = Watcher()
        outcome = launch.resume_run(outcome.run, registry, callback=partial(watching, watcher))
        assert watcher.alerts[0] == ([] if stopped < 50 else ["collapse"])
    assert alerts(outcome) == alerts(straight)
    assert len(alerts(straight)) == 1
    assert read_rows_without_times(outcome.run.metrics) == read_rows_without_times(straight.run.metrics)
    one, two = (checkpoints.load(run.checkpoint_path(200)) for run in (outcome.run, straight.run))
    assert exact(one) == exact(two)


def test_listeners_get_health_in_their_rows(planted: Path, ganforge: Ganforge, tmp_path: Path) -> None:
    """Rows of listeners have the diversity and the number of active alerts, as metrics.jsonl has them."""
    plugin = local(
        tmp_path / "scribe" / "scribe.py",
        """
import json, pathlib

@hookimpl
def ganforge_step_logged(row):
    health = {name: value for name, value in row.items() if name.startswith("health/")}
    with (pathlib.Path(__file__).parent / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"step": row["step"], **health}) + "\\n")
""",
    )
    flags = ("--plugin", planted, "--plugin", plugin, "--gen", "still", "--disc", "mlp", "--disc.hidden", "[16]")
    more = ("--data.source", "sample", "--precision", "fp32", "--steps", "60", "--out", "run", "--quiet")
    done = ganforge("run", *flags, *more)
    assert done.returncode == 0, done.stderr
    received = [json.loads(line) for line in (plugin.parent / "rows.jsonl").read_text().splitlines()]
    assert [row["step"] for row in received] == [10, 20, 30, 40, 50, 60]
    assert [row["health/alerts"] for row in received] == [0, 0, 0, 0, 1, 1]
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert received == [{name: row[name] for name in received[0]} for row in rows]


def test_a_full_disk_does_not_end_a_run_with_an_alert(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """If run.json cannot be written when an alert is raised, a message reports it, and the training continues."""
    original = RunDirectory.update_manifest

    def update(self: RunDirectory, **changes: object) -> None:
        if set(changes) == {"health"}:
            raise OSError(28, "No space left on device")
        original(self, **changes)

    monkeypatch.setattr(RunDirectory, "update_manifest", update)
    outcome, watcher = train(*STILL, "steps=60")
    assert outcome.status == "finished"
    assert alerts(outcome) == [("collapse", 1, None)]
    assert "No space left on device" in watcher.messages[-1]
    shutil.rmtree(outcome.run.path)
