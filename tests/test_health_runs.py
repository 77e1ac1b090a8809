"""Laws of health in real trainings: planted ailments are found, and healthy trainings are left in peace."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from checkpoint_parts import exact
from conftest import read_rows_without_times, tiny
from plugin_parts import local

from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.session import Outcome
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Observer
from ganforge.training.run_directory import RunDirectory
from ganforge.training.signals import Interruption
from ganforge.training.trainer import Trainer
from ganforge.utils.files import read_rows

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

#: Generators that make one image: always (`still`), or between two of their calls (`lapsing`, two calls a step; `once`,
#: the first time in a process only); and one that makes noise and never learns (`noise`).
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

    def forward(self, z, labels=None):
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
    def forward(self, z, labels=None):
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


class Watcher(Observer):
    """Remember what a person is told, and which words stand in the progress line."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.words: list[list[str]] = []

    def noticed(self, message: str) -> None:
        """Remember."""
        self.notices.append(message)

    def found(self, ailments: Sequence[str]) -> None:
        """Remember."""
        self.words.append(list(ailments))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the local plugin."""
    return local(tmp_path_factory.mktemp("plugin") / "planted.py", PLANTED)


@pytest.fixture
def train(planted: Path, tmp_path: Path) -> Callable[..., tuple[Outcome, Watcher]]:
    """Train with settings as on the command line; return how it ended, and what was told."""
    registry = Registry.discover([planted], no_plugins=True)

    def run(*settings: str, out: str = "run") -> tuple[Outcome, Watcher]:
        watcher = Watcher()
        prepared = prepare(tiny(registry, *settings), registry)
        return launch.start(prepared, out=tmp_path / out, observer=watcher), watcher

    return run


def told(outcome: Outcome) -> list[tuple[str, int, int | None]]:
    """Return the findings of run.json; they are those of the outcome."""
    health: list[dict[str, Any]] = outcome.run.read_manifest()["health"]
    assert health == outcome.health == outcome.as_dict()["health"]
    return [(found["finding"], found["since_step"], found["until_step"]) for found in health]


Train = Callable[..., tuple[Outcome, Watcher]]


def test_one_image_from_the_first_step_on_is_reported_within_an_epoch(train: Train) -> None:
    """A generator that is constant from the start is found long before its 166 steps of an epoch, in one line."""
    outcome, watcher = train(*STILL, "steps=100", "log_every=10")
    assert told(outcome) == [("collapse", 1, None)]
    (notice,) = watcher.notices
    assert notice.startswith("collapse since step 1: the fakes are nearly all alike; their diversity is ")
    assert watcher.words == [[], ["collapse"]]
    rows = read_rows(outcome.run.metrics)
    assert outcome.run.read_manifest()["status"] == "finished"
    assert [row["health/findings"] for row in rows] == [0] * 4 + [1] * 6
    assert max(row["health/diversity"] for row in rows) < 1e-5


def test_a_generator_that_collapses_midway_is_reported_and_so_is_its_recovery(train: Train) -> None:
    """What is one image from step 20 to step 120 is found within an epoch, and over within another fifty steps."""
    outcome, watcher = train(*LAPSING, "steps=220")
    ((finding, since, until),) = told(outcome)
    assert finding == "collapse"
    assert 20 <= since <= 40
    assert until is not None
    assert 120 <= until <= 130
    begun, over = watcher.notices
    assert begun.startswith(f"collapse since step {since}: ")
    assert over == f"the collapse since step {since} was over at step {until}"
    assert watcher.words == [[], ["collapse"], []]
    found = [row["step"] for row in read_rows(outcome.run.metrics) if row["health/findings"]]
    assert found == list(range(since + 49, until + 49))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("gen=mlp", "disc=mlp", "steps=160"), id="mlp"),
        pytest.param(
            ("gen=dcgan", "disc=dcgan", "gen.base_channels=16", "disc.base_channels=16", "steps=110"), id="dcgan"
        ),
    ],
)
def test_a_healthy_training_is_left_in_peace(settings: tuple[str, ...], train: Train) -> None:
    """The textbook's networks, from the first step on: no finding and not a word, though MLPs begin nearly alike."""
    outcome, watcher = train(*settings)
    assert told(outcome) == []
    assert watcher.notices == []
    assert watcher.words == [[]]
    diversity = [row["health/diversity"] for row in read_rows(outcome.run.metrics)]
    assert all(0 < value < 3 for value in diversity)


def test_a_discriminator_that_tells_everything_is_reported(train: Train) -> None:
    """Against noise that never learns the discriminator wins: its loss vanishes, and that is said."""
    fast = ("disc.hidden=[64]", "disc.dropout=0", "optimizer.disc.lr=0.005")
    outcome, _ = train("gen=noise", "disc=mlp", *fast, "steps=160")
    ((finding, _, until),) = told(outcome)
    assert (finding, until) == ("saturation", None)


def test_a_discriminator_that_does_not_learn_is_reported(train: Train) -> None:
    """Against a discriminator that stays as it is the generator wins: fakes are scored above real images."""
    outcome, _ = train(
        "gen=mlp", "gen.hidden=[64]", *DISC, "optimizer.disc.lr=1e-7", "optimizer.gen.lr=0.002", "steps=90"
    )
    assert [finding for finding, *_ in told(outcome)] == ["fooled"]


def test_stopping_at_a_collapse(planted: Path, ganforge: Ganforge, tmp_path: Path) -> None:
    """`--on-collapse stop` ends the run as diverged, exit code 1; a line names the step and what helps, once."""
    flags = ("--plugin", planted, "--gen", "lapsing", "--gen.since", "20", "--disc", "mlp", "--disc.hidden", "[16]")
    flags += ("--data.source", "sample", "--precision", "fp32", "--steps", "300", "--checkpoint-every", "15")
    done = ganforge("run", *flags, "--on-collapse", "stop", "--out", "run", "--quiet", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    (finding,) = document["health"]
    since = finding["since_step"]
    assert document["status"] == "diverged"
    assert document["error"] == f"collapse since step {since}: {finding['words']}"
    assert done.stderr.count("collapse since step") == done.stderr.count(finding["helps"]) == 1
    assert "the last good checkpoint is kept" in done.stderr
    run = RunDirectory(tmp_path / "run")
    assert run.read_manifest()["status"] == "diverged"
    assert since + 49 <= document["steps"] < since + 59
    assert read_rows(run.metrics)[-1]["step"] == document["steps"] // 10 * 10
    assert checkpoints.load(run.checkpoint_path(checkpoints.steps(run)[0])).step < document["steps"]
    again = ganforge("resume", "run", "--plugin", planted, "--quiet", "--json")
    assert again.returncode == 1, again.stderr
    assert json.loads(again.stdout)["error"] == document["error"]


def test_going_back_before_a_collapse_and_giving_up_in_the_end(train: Train) -> None:
    """`on_collapse=rollback` goes to a checkpoint from well before, not to the newest, ever slower, three times."""
    settings = ("gen=lapsing", *DISC, "gen.since=60", "steps=300", "on_collapse=rollback")
    outcome, watcher = train(*settings, "checkpoint_every=5", "keep_checkpoints=50")
    assert outcome.status == "diverged"
    found = told(outcome)
    since = found[0][1]
    assert [(finding, until is None) for finding, _, until in found] == [("collapse", False)] * 3 + [("collapse", True)]
    back = (since - 51) // 5 * 5
    assert back > 5
    assert outcome.error is not None
    assert outcome.error.endswith(", after going back 3 times")
    assert [notice.partition("; back to ")[2] for notice in watcher.notices] == [
        f"step {back}, on with {factor} of the learning rate ({number} of 3 times)"
        for number, factor in enumerate((0.5, 0.25, 0.125), 1)
    ]
    assert [row["step"] for row in read_rows(outcome.run.metrics)] == list(range(1, outcome.steps + 1))


def test_a_run_that_went_back_goes_on_to_its_end(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """What collapsed the first time only is trained again; later checkpoints are gone, the finding is remembered.

    The time that the training which is given up has taken is time of the run.
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
    ((finding, since, until),) = told(outcome)
    assert finding == "collapse"
    assert since + 49 <= until < since + 59
    assert len(watcher.notices) == 1
    assert watcher.words[-1] == []
    assert [row["step"] for row in read_rows(outcome.run.metrics)] == list(range(1, 121))
    state = checkpoints.load(outcome.run.checkpoint_path(120)).state
    assert state["rollbacks"] == 1
    assert [found["until_step"] for found in state["health"]["findings"]] == [until]


def test_stopped_anywhere_and_resumed_it_finds_the_same_at_the_same_steps(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped as something begins, is there and ends, a run has the same rows, checkpoints and findings to the bit."""
    registry = Registry.discover([planted], no_plugins=True)
    settings = (*LAPSING, "steps=200", "checkpoint_every=1000")
    straight = launch.start(prepare(tiny(registry, *settings), registry), out=tmp_path / "straight", observer=Watcher())
    stopping: list[int] = [37, 93, 133, 10**6]

    class StopAt(Interruption):
        @property
        def received(self) -> signal.Signals | None:  # type: ignore[override]
            return signal.SIGINT if self.trainer.step >= stopping[0] else None

        @received.setter
        def received(self, value: None) -> None:
            """Ignore that there is none yet."""

        trainer: Trainer

    original = Trainer.train

    def train(self: Trainer, interruption: Interruption) -> None:
        here = StopAt()
        here.trainer = self
        original(self, here)
        interruption.received = here.received

    monkeypatch.setattr(Trainer, "train", train)
    outcome = launch.start(prepare(tiny(registry, *settings), registry), out=tmp_path / "stopped", observer=Watcher())
    while len(stopping) > 1:
        stopped = stopping.pop(0)
        assert outcome.steps == stopped
        watcher = Watcher()
        outcome = launch.go_on(outcome.run, registry, observer=lambda experiment, watcher=watcher: watcher)
        assert watcher.words[0] == ([] if stopped < 50 else ["collapse"])
    assert told(outcome) == told(straight)
    assert len(told(straight)) == 1
    assert read_rows_without_times(outcome.run.metrics) == read_rows_without_times(straight.run.metrics)
    one, two = (checkpoints.load(run.checkpoint_path(200)) for run in (outcome.run, straight.run))
    assert exact(one) == exact(two)


def test_a_listener_hears_of_health_in_its_rows(planted: Path, ganforge: Ganforge, tmp_path: Path) -> None:
    """Rows that listeners get have the diversity and the number of findings, as metrics.jsonl has them."""
    plugin = local(
        tmp_path / "scribe" / "scribe.py",
        """
import json, pathlib

@hookimpl
def ganforge_step_logged(row):
    health = {name: value for name, value in row.items() if name.startswith("health/")}
    with (pathlib.Path(__file__).parent / "heard.jsonl").open("a") as file:
        file.write(json.dumps({"step": row["step"], **health}) + "\\n")
""",
    )
    flags = ("--plugin", planted, "--plugin", plugin, "--gen", "still", "--disc", "mlp", "--disc.hidden", "[16]")
    flags += ("--data.source", "sample", "--precision", "fp32", "--steps", "60", "--out", "run", "--quiet")
    done = ganforge("run", *flags)
    assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in (plugin.parent / "heard.jsonl").read_text().splitlines()]
    assert [row["step"] for row in heard] == [10, 20, 30, 40, 50, 60]
    assert [row["health/findings"] for row in heard] == [0, 0, 0, 0, 1, 1]
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert heard == [{name: row[name] for name in heard[0]} for row in rows]


def test_what_cannot_be_kept_in_run_json_ends_no_run(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run.json that is gone when something is found is said, and the training goes on."""
    original = RunDirectory.update_manifest

    def update(self: RunDirectory, **changes: object) -> None:
        if set(changes) == {"health"}:
            raise OSError(28, "No space left on device")
        original(self, **changes)

    monkeypatch.setattr(RunDirectory, "update_manifest", update)
    outcome, watcher = train(*STILL, "steps=60")
    assert outcome.status == "finished"
    assert told(outcome) == [("collapse", 1, None)]
    assert "No space left on device" in watcher.notices[-1]
    shutil.rmtree(outcome.run.path)
