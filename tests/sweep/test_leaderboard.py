"""Laws of the leaderboard: which scores share a table, which are best, and what is listed below."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ganforge.cli._sweep_display import RemainingTime
from ganforge.config import Experiment
from ganforge.runs.statistics import Estimate
from ganforge.sweep.config import EvalSpec
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.leaderboard import Leaderboard, build_leaderboard, format_estimate
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Trial, TrialConfig
from ganforge.utils.files import append_row
from tests.helpers.sweeps import make_config

HIGHER_IS_BETTER = {"fid": False, "coverage": True}


def protocol(**changes: Any) -> dict[str, Any]:
    """Return an evaluation protocol."""
    metrics = {
        name: {"distribution": "ganforge", "options": {}, "higher_is_better": {name: b}, "needs": []}
        for name, b in HIGHER_IS_BETTER.items()
    }
    base = {"data": "mnist", "fingerprint": "ab", "split": "test", "real_images": 9, "fake_images": 9, "features": None}
    return {**base, "metrics": metrics, "seed": 0, "checkpoint": "c", "weights": "generator", "versions": {}, **changes}


def trial_config(name: str, **choices: Any) -> TrialConfig:
    """Return a configuration that fits."""
    four = {"gen": name, "disc": "mlp", "loss": "bce", "data": "mnist"}
    return TrialConfig({**four, **choices}, name, Experiment())


def board(*rows: tuple[TrialConfig, dict[int, TrialResult]], seeds: tuple[int, ...] = (0, 1)) -> Leaderboard:
    """Return the leaderboard of configurations and their results by seed."""
    results = {result.trial.name: result for _, by_seed in rows for result in by_seed.values()}
    config = make_config(seeds=seeds)
    return build_leaderboard(SweepDirectory(Path("none")), config, [one for one, _ in rows], results)


def scored(
    one: TrialConfig, *values: tuple[float | None, float | None], **changes: Any
) -> tuple[TrialConfig, dict[int, TrialResult]]:
    """Return a configuration with its scores, fid and coverage, seed by seed."""
    rows = [
        {"scores": {"fid": fid, "coverage": coverage}, "protocol": protocol(seed=seed, checkpoint=str(seed), **changes)}
        for seed, (fid, coverage) in enumerate(values)
    ]
    return one, {seed: TrialResult(Trial(one, seed), "scored", row) for seed, row in enumerate(rows)}


def test_rows_are_ranked_by_the_mean_in_the_direction_of_the_score() -> None:
    """Lower fid first; another score in its direction; rows without a finite score last."""
    one, two, three = (trial_config(name) for name in ("one", "two", "three"))
    found = board(
        scored(one, (3, 0.1), (5, 0.3)), scored(two, (1, 0.1), (2, 0.1)), scored(three, (None, 0.9), (None, 0.9))
    )
    (table,) = found.tables
    assert [row.config.name for row in table.ranked()] == ["two", "one", "three"]
    assert [row.config.name for row in table.ranked("coverage")] == ["three", "one", "two"]
    assert [row.config.name for row in table.ranked("no such score")] == ["two", "one", "three"]
    row = found.as_dict()["tables"][0]["rows"][1]
    assert row["scores"]["fid"] == {
        "mean": 4,
        "low": pytest.approx(4 - 12.7062),
        "high": pytest.approx(4 + 12.7062),
        "count": 2,
        "values": [3, 5],
    }
    assert found.as_dict()["tables"][0]["rows"][2]["scores"]["fid"] is None


def test_scores_of_a_trial_are_the_requested_ones() -> None:
    """The row has the last step, the test split, the number of images, the run's seed and features, and every metric.

    Without named metrics it is the row of `ganforge evaluate` with its defaults.
    """
    one, directory = Trial(trial_config("one"), 0), SweepDirectory(Path("m"))
    run = directory.run(one)
    run.path.mkdir(parents=True)
    run.manifest.write_text(
        '{"status": "finished", "summary": {"steps": 9}, "data": {"sizes": {"train": 99, "test": 9}}}'
    )
    named, usual, other = (EvalSpec(metrics="fid,coverage"), EvalSpec(), EvalSpec(metrics="fid", num_samples=8))
    fewer = {name: metric for name, metric in protocol()["metrics"].items() if name == "fid"}
    wrong: list[dict[str, Any]] = [
        {"split": "train"},
        {"seed": 1},
        {"fake_images": 7},
        {"features": {"name": "digits"}},
        {"weights": "generator_ema"},
        {"metrics": ["fid"]},
        {"metrics": {"fid": {"higher_is_better": None}, "coverage": 3}},
        {"data": None},
    ]
    rows = [
        {
            "step": 9,
            "scores": {"fid": 0},
            "protocol": protocol(**changes),
            "source": "evaluate",
            "requested_metrics": None,
        }
        for changes in wrong
    ]
    rows += [{"step": 8, "scores": {"fid": 0}, "protocol": protocol(), "source": "evaluate"}, {"step": 9}]
    for row in rows:
        append_row(run.evaluations, row)
    assert [directory.scores(one, wanted) for wanted in (named, usual, other)] == [None, None, None]
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 1}, "protocol": protocol(), "source": "training"})
    assert directory.scores(one, usual) is None
    by_hand = {"source": "evaluate", "requested_metrics": ["fid"]}
    append_row(
        run.evaluations, {"step": 9, "scores": {"fid": 2}, "protocol": protocol(), **by_hand, "requested_metrics": None}
    )
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 3}, "protocol": protocol(metrics=fewer), **by_hand})
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 4}, "protocol": protocol(fake_images=8, real_images=8)})
    found = [directory.scores(one, wanted) for wanted in (named, usual, other)]
    assert [row and row["scores"]["fid"] for row in found] == [2, 2, 4]


@pytest.mark.parametrize("changes", [{"data": "fashion"}, {"fake_images": 8}, {"fingerprint": "cd"}, {"metrics": {}}])
def test_different_protocols_have_different_tables(changes: dict[str, Any]) -> None:
    """Scores of other data, counts or metrics never share a column; seed and checkpoint make no difference."""
    found = board(scored(trial_config("one"), (3, 0.1), (5, 0.3)), scored(trial_config("two"), (1, 0.1), **changes))
    assert [[row.config.name for row in table.rows] for table in found.tables] == [["one"], ["two"]]


def test_trials_without_scores_are_listed() -> None:
    """Failed, diverged, unfinished and inapplicable trials are listed below the tables with the reason."""
    one, two = trial_config("one"), trial_config("two")
    unfit = TrialConfig({"gen": "three", "disc": "mlp"}, "three", reason="it | does not fit", fix="leave it")
    failed = {0: TrialResult(Trial(two, 0), "diverged", error="a loss is nan")}
    found = board(scored(one, (3, 0.1)), (two, failed), (unfit, {}))
    document = found.as_dict()
    assert document["unfinished"] == ["one-seed1", "two-seed1"]
    assert [(item["run"], item["status"]) for item in document["unscored"]] == [("two-seed0", "diverged")]
    assert document["inapplicable"] == [
        {"config": {"gen": "three", "disc": "mlp"}, "reason": "it | does not fit", "fix": "leave it"}
    ]
    text = found.as_markdown()
    for words in ("a loss is nan", "`one-seed1`", "three × mlp: it | does not fit", "fid ↓", "coverage ↑"):
        assert words in text


def test_only_choices_that_differ_have_a_column() -> None:
    """Choices that all rows share are left out; a configuration without a choice has a dash."""
    found = board(
        scored(trial_config("one"), (3, 0.1)), scored(trial_config("two", **{"optimizer.lr": 0.00123456789}), (4, 0.1))
    )
    (table,) = found.tables
    assert table.varied() == ["gen", "optimizer.lr"]
    assert [row.text("optimizer.lr") for row in table.ranked()] == ["–", "0.0012346"]


def test_health_and_precision_of_the_runs_are_shown() -> None:
    """Alerts are listed; the precision has a column if the machine chose several."""
    directory = SweepDirectory(Path("m"))
    rows = [scored(trial_config(name), (3, 0.1)) for name in ("one", "two")]
    alert = {"alert": "saturation", "since_step": 148, "until_step": None, "message": "sudden | at once", "hint": "x"}
    for number, (_, by_seed) in enumerate(rows):
        run = directory.run(by_seed[0].trial)
        run.path.mkdir(parents=True)
        manifest = {"precision": ("bf16", "fp32")[number], "health": [alert, "damaged"] * number}
        run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    results = {result.trial.name: result for _, by_seed in rows for result in by_seed.values()}
    found = build_leaderboard(directory, make_config(seeds=(0,)), [one for one, _ in rows], results)
    (table,) = found.tables
    assert table.varied() == ["gen", "trained in"]
    assert [row.text("trained in") for row in table.ranked()] == ["bf16", "fp32"]
    assert [row["precision"] for row in found.as_dict()["tables"][0]["rows"]] == [["bf16"], ["fp32"]]
    (entry,) = found.as_dict()["health"]
    assert entry == {"run": "two-seed0", "period": "from step 148, to the end"} | {
        key: alert[key] for key in ("alert", "message", "hint")
    }
    assert "- `two-seed0`: saturation from step 148, to the end: sudden | at once" in found.as_markdown()


@pytest.mark.parametrize(
    ("mean", "margin", "text"),
    [
        (12.3456, 0.4211, "12.35 ± 0.42"),
        (12.3456, 4.1, "12.3 ± 4.1"),
        (1234.5, 56.0, "1,234 ± 56"),
        (0.0001234, 0.0000012, "0.0001234 ± 0.0000012"),
        (0.5, 0.0, "0.5000"),
        (3.0, None, "3"),
        (12345.6, None, "12,350"),
    ],
)
def test_a_mean_has_the_decimals_of_its_margin(mean: float, margin: float | None, text: str) -> None:
    """Two digits of the margin, and the mean with as many decimals."""
    low, high = (None, None) if margin is None else (mean - margin, mean + margin)
    assert format_estimate(Estimate(mean, low, high, 3)) == text
    assert format_estimate(None) == "–"


def test_remaining_time_is_estimated_per_configuration() -> None:
    """Running trials are estimated by their configuration, waiting ones by the mean of all; two jobs halve the time."""
    now = [0.0]
    slow, fast = trial_config("slow"), trial_config("fast")
    remaining = RemainingTime(2, lambda: now[0])
    assert remaining.seconds(4) is None
    for one, seconds in ((slow, 30.0), (fast, 10.0)):
        remaining.start(Trial(one, 0))
        remaining.end(Trial(one, 0), seconds)
    remaining.end(Trial(fast, 1), 0.0)  # existed before
    assert remaining.seconds(4) == 4 * 20 / 2
    remaining.start(Trial(slow, 2))
    now[0] = 12.0
    assert remaining.seconds(1) == 18.0
    assert remaining.seconds(3) == (18 + 2 * 20) / 2
    now[0] = 99.0
    assert remaining.seconds(1) == 0.0
    assert not math.isnan(remaining.seconds(9) or 0)
