"""Evaluations during training: no effect on its bits, rows of their own, and a limited share of time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ganforge.errors import DataError, IncompatibleError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.launch import ResumeOverrides
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.schemas.rows import EvaluationRow
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory
from ganforge.training.timing import EvaluationBudget
from tests.helpers.checkpoints import exact
from tests.helpers.evaluation_plugin import scoring_plugin
from tests.helpers.plugins import command
from tests.helpers.run_directories import evaluation
from tests.helpers.runs import read_rows, tiny

SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "steps=8", "num_samples=40")
AVERAGED = "ema_halflife_images=50"
KEYS = {"step", "scores", "reference", "details", "protocol", "seconds", "source", "requested_metrics"}


class Listening(Callback):
    """Callback that records messages."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_message(self, message: str) -> None:
        """Record the message."""
        self.heard.append(message)


@pytest.fixture
def scored(tmp_path: Path) -> Registry:
    """Return a registry that has the tests' own metrics."""
    return Registry.discover([scoring_plugin(tmp_path)], no_plugins=True)


def trained(registry: Registry, path: Path, *settings: str) -> tuple[RunDirectory, list[str]]:
    """Train eight steps; return the run and its messages."""
    callback = Listening()
    prepared = prepare(tiny(registry, *SMALL, *settings), registry)
    outcome = launch.start_run(prepared, out=path, callback=callback)
    assert outcome.status == "finished", outcome.error
    return outcome.run, callback.heard


def steps_of(run: RunDirectory) -> list[int]:
    """Return the steps that have a row in evaluation.jsonl."""
    return [row["step"] for row in read_rows(run.evaluations)]


def test_evaluations_change_no_bit_of_a_training(scored: Registry, tmp_path: Path) -> None:
    """A metric that draws from every random generator does not change the final weights."""
    plain, _ = trained(scored, tmp_path / "plain", "metric=draws")
    settings = ("metric=draws,gap", "features=classes", "evaluate_every=2", "max_eval_time_fraction=1")
    evaluated, heard = trained(scored, tmp_path / "evaluated", *settings)
    assert steps_of(evaluated) == [2, 4, 6, 8]
    assert heard == []
    ours, theirs = (exact(checkpoints.load(run.checkpoint_path(8))) for run in (plain, evaluated))
    for name in ("generator", "discriminator", "optimizers"):
        assert ours[name] == theirs[name]


def test_evaluation_row_has_the_contracted_fields(scored: Registry, tmp_path: Path) -> None:
    """Scores, reference, details, protocol, seconds; pictures lie in evaluation/, and the best is kept by any score."""
    settings = ("metric=gap,bright", "features=classes", "evaluate_every=4", "best_metric=gap", AVERAGED)
    run, _ = trained(scored, tmp_path / "run", *settings)
    rows = read_rows(run.evaluations)
    assert [row["step"] for row in rows] == [4, 8]
    for row in rows:
        assert row.keys() == KEYS
        assert row["scores"].keys() == row["reference"].keys() == {"gap", "bright"}
        assert row["details"]["gap"]["deviation"] == 0.25
        assert row["seconds"] > 0
        assert row["protocol"]["weights"] == "generator_ema"
        assert row["protocol"]["features"]["name"] == "classes"
    assert rows[0]["reference"] == rows[1]["reference"]
    pictures = sorted(path.name for path in run.evaluation_pictures.iterdir())
    assert pictures == ["first-00000004.png", "first-00000008.png"]
    best = min(rows, key=lambda row: row["scores"]["gap"])
    summary = run.read_manifest().as_dict()["summary"]
    assert summary["best"] == {"metric": "gap", "value": best["scores"]["gap"], "step": best["step"]}
    assert summary["evaluation_seconds"] == pytest.approx(sum(row["seconds"] for row in rows))


@pytest.mark.parametrize("settings", [(), ("ema_halflife_images=50",), ("gen=dcgan", "gen.dcgan.base_channels=2")])
def test_scored_afterwards_it_is_what_it_was(settings: Sequence[str], scored: Registry, tmp_path: Path) -> None:
    """`evaluate` of the same step, count and seed gives the training's row again, protocol included, and adds none."""
    networks = [text for text in SMALL if settings[:1] != ("gen=dcgan",) or not text.startswith("gen")]
    scoring = ("metric=gap,draws,bright", "features=classes", "evaluate_every=3", "max_eval_time_fraction=1", "seed=5")
    asked = (*networks, *scoring, "checkpoint_every=3", *settings)
    run = launch.start_run(prepare(tiny(scored, *asked), scored), out=tmp_path / "run").run
    for row in read_rows(run.evaluations):
        found = TrainedRun(run, scored).evaluate(
            ["gap", "draws", "bright"], num_samples=40, checkpoint=row["step"], device="cpu"
        )
        assert found.protocol.model_dump(mode="json") == row["protocol"]
        assert found.scores == row["scores"]
        assert found.reference == row["reference"]
        assert found.details == row["details"]
    assert steps_of(run) == [3, 6, 8]  # the last weights are scored, too


def test_evaluations_take_no_more_than_their_share(scored: Registry, tmp_path: Path) -> None:
    """With a metric slower than the training, the first and the last are run, and one notice names the skipped ones."""
    settings = ("metric=slow", "evaluate_every=1", "steps=9", "max_eval_time_fraction=0.01")
    run, heard = trained(scored, tmp_path / "run", *settings)
    assert steps_of(run) == [1, 9]
    assert len(heard) == 1
    assert heard[0].startswith("evaluations took ")
    assert "more than max_eval_time_fraction = 0.01: some are skipped" in heard[0]
    run, heard = trained(scored, tmp_path / "all", *settings[:-1], "max_eval_time_fraction=1")
    assert steps_of(run) == list(range(1, 10))
    assert heard == []


def test_a_resumed_run_counts_what_was_spent_before(scored: Registry, tmp_path: Path) -> None:
    """Seconds of earlier sessions are read from the rows; those of `ganforge evaluate` do not count."""
    settings = ("metric=slow", "evaluate_every=2", "steps=4", "max_eval_time_fraction=0.02")
    run, _ = trained(scored, tmp_path / "run", *settings)
    before = read_rows(run.evaluations)
    assert [row["step"] for row in before] == [2, 4]
    with run.evaluations.open("a") as file:
        file.write(json.dumps(before[-1] | {"seconds": 1e6, "source": "evaluate"}) + "\n")
    outcome = launch.resume_run(run, scored, ResumeOverrides(steps=9), callback=lambda _: Callback())
    assert steps_of(run) == [2, 4, 4, 9]  # 6 and 8 are over the share, 9 is the last
    spent = sum(row["seconds"] for row in read_rows(run.evaluations) if row["source"] == "training")
    assert outcome.evaluation_seconds == pytest.approx(spent)
    assert outcome.evaluation_seconds < outcome.elapsed_seconds


def test_the_budget_is_a_share_of_the_time() -> None:
    """The first and last evaluations are allowed, others within the share of time; one notice reports skipping."""
    heard: list[str] = []
    budget = EvaluationBudget(0.5, heard.append)
    assert budget.allows(1.0, last=False)
    budget.spend(6.0)
    assert not budget.allows(10.0, last=False)
    assert budget.allows(10.0, last=True)
    assert budget.allows(12.0, last=False)
    assert not budget.allows(11.9, last=False)
    assert budget.skipped == 2
    (line,) = heard
    assert line.startswith("evaluations took 60% of the time so far, more than max_eval_time_fraction = 0.5: some are")
    rows = [evaluation(1, 2.0, seconds=2.0), evaluation(1, 2.0, seconds=9.0, source="evaluate")]
    budget.restore(EvaluationRow(**row) for row in rows)
    assert budget.seconds == 2.0


def test_a_metric_that_fails_does_not_end_a_training(scored: Registry, tmp_path: Path) -> None:
    """Its scores are left out, with its name and its line; the others are there, and the run is finished."""
    run, heard = trained(scored, tmp_path / "run", "metric=raises,gap", "features=rows", "evaluate_every=8")
    (row,) = read_rows(run.evaluations)
    assert row["scores"]["raises"] is None
    assert row["scores"]["gap"] > 0
    assert "RuntimeError: cannot count" in row["details"]["raises"]["error"]
    assert heard
    assert all("metric 'raises' (scoring.py local)" in line for line in heard)
    assert run.read_manifest().as_dict()["summary"]["best"] is None


def test_the_best_checkpoint_is_one_that_is_there(scored: Registry, tmp_path: Path) -> None:
    """A run whose best checkpoint was removed resumes; the next scored checkpoint becomes the best."""
    settings = ("metric=later", "features=rows", "best_metric=later", "evaluate_every=2", "checkpoint_every=2")
    run, _ = trained(scored, tmp_path / "run", *settings, "keep_checkpoints=1", "max_eval_time_fraction=1")
    assert run.read_manifest().as_dict()["summary"]["best"]["step"] == 2
    assert checkpoints.steps(run) == [8, 2]
    shutil.rmtree(run.checkpoint_path(2))
    callback = Listening()
    outcome = launch.resume_run(run, scored, ResumeOverrides(steps=12), callback=lambda _: callback)
    assert outcome.status == "finished"
    assert callback.heard == ["best checkpoint (step 2) no longer exists; best-score tracking restarts"]
    assert run.read_manifest().as_dict()["summary"]["best"]["step"] == 10
    assert checkpoints.steps(run) == [12, 10]
    assert TrainedRun(run, scored).checkpoint("best").step == 10


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        (
            ("metric=bright", "features=rows"),
            IncompatibleError,
            "'bright' needs a feature extractor that is a classifier",
        ),
        (("metric=many", "features=rows"), DataError, "many needs 100 images, not 40"),
        (("metric=gap", "features=rows", "num_samples=2001"), DataError, "2,001 images needs as many real ones"),
    ],
)
def test_what_gives_no_score_is_found_before_training(
    settings: Sequence[str], error: type[Exception], said: str, scored: Registry
) -> None:
    """A setting that cannot be scored is refused by prepare() if evaluate_every is set, and accepted otherwise."""
    with pytest.raises(error, match=said):
        prepare(tiny(scored, *SMALL, *settings, "evaluate_every=4"), scored)
    prepare(tiny(scored, *SMALL, *settings), scored)


def test_end_of_a_run_reports_evaluation_time(tmp_path: Path) -> None:
    """One line on stderr with the share of the time, or the seconds in the document; without evaluations, no line."""
    settings = [word for setting in SMALL for word in ("--set", setting)]
    settings += ["--data.source", "sample", "--precision", "fp32", "--device", "cpu", "--quiet"]
    done = command("run", *settings, "--evaluate-every", "8", "--out", tmp_path / "words")
    assert re.search(r"evaluations took \d+\.?\d* m?s, \d+% of the time", done.stderr)
    assert "% of the time" in done.stderr
    done = command("run", *settings, "--evaluate-every", "8", "--out", tmp_path / "document", "--json")
    assert done.stderr == ""
    document: dict[str, Any] = json.loads(done.stdout)
    assert 0 < document["evaluation_seconds"] < document["elapsed_seconds"]
    done = command("run", *settings, "--out", tmp_path / "without")
    assert "evaluations" not in done.stderr
    assert RunDirectory(tmp_path / "without").read_manifest().as_dict()["summary"]["evaluation_seconds"] == 0
