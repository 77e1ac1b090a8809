"""Score at the end of a run."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ganforge.evaluation.evaluator import Evaluator
from ganforge.plugins.registry import Registry
from ganforge.runs import launch, training_scores
from ganforge.runs.setup import prepare
from ganforge.training import trainer as trainer_module
from ganforge.training.callbacks import Callback
from ganforge.training.trainer import Trainer
from ganforge.training.writer import Writer
from ganforge.utils.signals import WaitInterrupted
from tests.helpers.checkpoints import digests
from tests.helpers.runs import read_rows, tiny

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[16]", "disc.hidden=[16]", "steps=2")


@pytest.mark.parametrize(
    ("setting", "count"),
    [
        ("evaluate=auto", 1),
        ("evaluate=none", 0),
        ("evaluate_every=2", 0),
        ("features=random-convolutions", 0),
        ("batch_size=59", 0),
    ],
)
def test_a_finished_run_is_scored_where_that_is_cheap(
    setting: str, count: int, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FID, precision and recall of digits are the run's last row; not if unwanted, evaluated already, dear or short."""
    monkeypatch.setattr(training_scores, "MIN_IMAGES_SEEN", 120)
    monkeypatch.setattr(training_scores, "NUM_SAMPLES", 100)
    prepared = prepare(tiny(registry, *MLP, "num_samples=100", setting), registry)
    outcome = launch.start_run(prepared, out=tmp_path / "run", callback=Callback())
    assert (outcome.scores is not None) is (count == 1)
    rows = [row for row in read_rows(outcome.run.evaluations) if row["source"] == "evaluate"]
    assert [sorted(row["scores"]) for row in rows] == [["fid", "precision", "recall"]] * count
    assert all(row["reference"].keys() == row["scores"].keys() for row in rows)
    assert ("scores" in outcome.as_dict()) is (count == 1)


def test_a_score_that_fails_leaves_the_run_finished(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is complete without a score; a notice has the reason."""
    monkeypatch.setattr(training_scores, "MIN_IMAGES_SEEN", 0)
    monkeypatch.setattr(training_scores, "NUM_SAMPLES", 3)  # FID needs more
    messages: list[str] = []

    class Messages(Callback):
        """Callback that keeps messages."""

        def on_message(self, message: str) -> None:
            """Keep a message."""
            messages.append(message)

    prepared = prepare(tiny(registry, *MLP), registry)
    outcome = launch.start_run(prepared, out=tmp_path / "run", callback=Messages())
    assert outcome.status == "finished"
    assert outcome.scores is None
    assert any(message.startswith("the run is not scored: ") for message in messages)


@pytest.mark.parametrize("stopped_at", [2, 4, 5])
def test_a_signal_ends_an_evaluation_which_a_resumed_run_repeats(
    stopped_at: int, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics or data that wait delay no signal; afterwards checkpoints and scores are those of an undisturbed run."""
    settings = (*MLP[:-1], "steps=5", "evaluate_every=2", "num_samples=100", "max_eval_time_fraction=1")
    prepared = [prepare(tiny(registry, *settings), registry) for _ in range(2)]
    straight = launch.start_run(prepared[0], out=tmp_path / "straight", callback=Callback())
    evaluate, calls = Evaluator.evaluate, 0

    def wait(self: Evaluator, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == -(-stopped_at // 2):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(60)
        return evaluate(self, *arguments)

    monkeypatch.setattr(Evaluator, "evaluate", wait)
    begun = time.monotonic()
    outcome = launch.start_run(prepared[1], out=tmp_path / "run", callback=Callback())
    assert time.monotonic() - begun < 30
    assert (outcome.status, outcome.signal, outcome.steps) == ("interrupted", signal.SIGTERM, stopped_at)
    assert [row["step"] for row in read_rows(outcome.run.evaluations)] == [2, 4][: calls - 1]
    resumed = launch.resume_run(outcome.run, registry, callback=lambda _: Callback())
    assert resumed.status == "finished"
    assert digests(outcome.run) == digests(straight.run)
    scores, expected = (
        [(row["step"], row["scores"]) for row in read_rows(run.evaluations)] for run in (outcome.run, straight.run)
    )
    assert scores == expected


def test_a_signal_in_a_repeated_evaluation_begins_no_step(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several ranks stop between steps only: a step would leave the evaluation behind for good."""
    settings = (*MLP[:-1], "steps=5", "evaluate_every=2", "num_samples=100", "max_eval_time_fraction=1")
    monkeypatch.setattr(Evaluator, "evaluate", lambda *_: signal.raise_signal(signal.SIGTERM))
    outcome = launch.start_run(prepare(tiny(registry, *settings), registry), out=tmp_path / "run", callback=Callback())
    assert (outcome.status, outcome.steps) == ("interrupted", 2)
    steps: list[int] = []

    def read(trainer: Trainer, *_: object) -> Any:
        steps.append(trainer.step)
        raise WaitInterrupted

    monkeypatch.setattr(Trainer, "_read_batches", read)
    resumed = launch.resume_run(outcome.run, registry, callback=lambda _: Callback())
    assert (resumed.status, resumed.steps, steps) == ("interrupted", 2, [])


@pytest.mark.parametrize(
    "killed_at", [(trainer_module, "save_checkpoint"), (Writer, "evaluation")], ids=["checkpoint", "scores"]
)
def test_a_kill_in_a_repeated_evaluation_keeps_the_best(
    killed_at: tuple[object, str], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the best checkpoint or the scores are written, it is repeated once more, to the same files."""
    settings = (*MLP[:-1], "steps=2", "evaluate_every=2", "num_samples=100", "max_eval_time_fraction=1")
    prepared = [prepare(tiny(registry, *settings), registry) for _ in range(2)]
    straight = launch.start_run(prepared[0], out=tmp_path / "straight", callback=Callback()).run
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", lambda *_: signal.raise_signal(signal.SIGTERM))
        run = launch.start_run(prepared[1], out=tmp_path / "run", callback=Callback()).run

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            launch.resume_run(run, registry, callback=lambda _: Callback())
    assert launch.resume_run(run, registry, callback=lambda _: Callback()).status == "finished"
    assert digests(run) == digests(straight)
    scores, expected = (
        [(row["step"], row["scores"]) for row in read_rows(each.evaluations)] for each in (run, straight)
    )
    assert scores == expected


def test_a_signal_ends_the_score_of_a_finished_run(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is complete; a notice has the command that scores it."""
    monkeypatch.setattr(training_scores, "MIN_IMAGES_SEEN", 0)
    messages: list[str] = []

    class Messages(Callback):
        """Callback that keeps messages."""

        def on_message(self, message: str) -> None:
            """Keep a message."""
            messages.append(message)

    def wait(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(training_scores, "evaluate_run", wait)
    begun = time.monotonic()
    outcome = launch.start_run(prepare(tiny(registry, *MLP), registry), out=tmp_path / "run", callback=Messages())
    assert time.monotonic() - begun < 30
    assert (outcome.status, outcome.signal, outcome.scores) == ("finished", None, None)
    assert f"ganforge evaluate {outcome.run.path}" in messages[-1]


def test_a_signal_at_the_end_of_a_run_without_scores_is_silent(registry: Registry, tmp_path: Path) -> None:
    """A run that is too short for scores lacks none."""
    messages: list[str] = []

    class Stops(Callback):
        """Callback that keeps messages, and receives a signal after the last step."""

        def on_message(self, message: str) -> None:
            """Keep a message."""
            messages.append(message)

        def on_train_end(self, status: str) -> None:
            """Receive a signal."""
            signal.raise_signal(signal.SIGTERM)

    outcome = launch.start_run(prepare(tiny(registry, *MLP), registry), out=tmp_path / "run", callback=Stops())
    assert outcome.status == "finished"
    assert not any("scores" in message for message in messages)
