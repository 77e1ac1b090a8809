"""Score at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from ganforge.runs import launch, training_scores
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
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
