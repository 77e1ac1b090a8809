"""What a matrix has come to: what may stand in one table, what is best, what is left out and said."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from matrix_parts import request

from ganforge.cli.matrix_display import Remaining
from ganforge.config import Experiment
from ganforge.runs.statistics import Estimate
from ganforge.sweep.config import ToEvaluate
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.leaderboard import Leaderboard, leaderboard, written
from ganforge.sweep.scheduler import Result
from ganforge.sweep.trials import Cell, Combination
from ganforge.utils.files import append_row

BETTER = {"fid": "lower", "coverage": "higher"}


def protocol(**changes: Any) -> dict[str, Any]:
    """Return what a score depends on, as the contract has it."""
    metrics = {
        name: {"distribution": "ganforge", "options": {}, "better": {name: b}, "needs": []}
        for name, b in BETTER.items()
    }
    base = {"data": "mnist", "fingerprint": "ab", "split": "test", "real_images": 9, "fake_images": 9, "features": None}
    return {**base, "metrics": metrics, "seed": 0, "checkpoint": "c", "weights": "generator", "versions": {}, **changes}


def combination(name: str, **choices: Any) -> Combination:
    """Return one that fits."""
    four = {"gen": name, "disc": "mlp", "loss": "bce", "data": "mnist"}
    return Combination({**four, **choices}, name, Experiment())


def board(*rows: tuple[Combination, dict[int, Result]], seeds: tuple[int, ...] = (0, 1)) -> Leaderboard:
    """Return the leaderboard of combinations and their results by seed."""
    results = {result.cell.name: result for _, by_seed in rows for result in by_seed.values()}
    asked = request(seeds=seeds)
    return leaderboard(MatrixDirectory(Path("none")), asked, [one for one, _ in rows], results)


def scored(
    one: Combination, *values: tuple[float | None, float | None], **changes: Any
) -> tuple[Combination, dict[int, Result]]:
    """Return a combination with its scores, fid and coverage, seed by seed."""
    rows = [
        {"scores": {"fid": fid, "coverage": coverage}, "protocol": protocol(seed=seed, checkpoint=str(seed), **changes)}
        for seed, (fid, coverage) in enumerate(values)
    ]
    return one, {seed: Result(Cell(one, seed), "scored", row) for seed, row in enumerate(rows)}


def test_the_best_mean_comes_first_in_the_scores_own_direction() -> None:
    """Lower fid first; by another score, in its direction; what has no finite score last."""
    one, two, three = (combination(name) for name in ("one", "two", "three"))
    found = board(
        scored(one, (3, 0.1), (5, 0.3)), scored(two, (1, 0.1), (2, 0.1)), scored(three, (None, 0.9), (None, 0.9))
    )
    (table,) = found.tables
    assert [row.combination.name for row in table.ranked()] == ["two", "one", "three"]
    assert [row.combination.name for row in table.ranked("coverage")] == ["three", "one", "two"]
    assert [row.combination.name for row in table.ranked("no such score")] == ["two", "one", "three"]
    row = found.as_dict()["tables"][0]["rows"][1]
    assert row["scores"]["fid"] == {
        "mean": 4,
        "low": pytest.approx(4 - 12.7062),
        "high": pytest.approx(4 + 12.7062),
        "count": 2,
        "values": [3, 5],
    }
    assert found.as_dict()["tables"][0]["rows"][2]["scores"]["fid"] is None


def test_the_scores_of_a_cell_are_those_that_were_asked_for() -> None:
    """Of all rows of a run: its last step, the test split, the count, the run's seed and features, and every metric.

    Where no metrics are named, the row of `ganforge evaluate` that has the most.
    """
    one, directory = Cell(combination("one"), 0), MatrixDirectory(Path("m"))
    run = directory.run(one)
    run.path.mkdir(parents=True)
    run.manifest.write_text(
        '{"status": "finished", "summary": {"steps": 9}, "data": {"sizes": {"train": 99, "test": 9}}}'
    )
    named, usual, other = (ToEvaluate(metrics="fid,coverage"), ToEvaluate(), ToEvaluate(metrics="fid", samples=8))
    fewer = {name: metric for name, metric in protocol()["metrics"].items() if name == "fid"}
    wrong: list[dict[str, Any]] = [
        {"split": "train"},
        {"seed": 1},
        {"fake_images": 7},
        {"features": {"name": "digits"}},
        {"weights": "generator_ema"},
        {"metrics": ["fid"]},
        {"metrics": {"fid": {"better": None}, "coverage": 3}},
        {"data": None},
    ]
    rows = [
        {"step": 9, "scores": {"fid": 0}, "protocol": protocol(**changes), "made_by": "evaluate", "asked": None}
        for changes in wrong
    ]
    rows += [{"step": 8, "scores": {"fid": 0}, "protocol": protocol(), "made_by": "evaluate"}, {"step": 9}]
    for row in rows:
        append_row(run.evaluations, row)
    assert [directory.scores(one, wanted) for wanted in (named, usual, other)] == [None, None, None]
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 1}, "protocol": protocol(), "made_by": "training"})
    assert directory.scores(one, usual) is None
    by_hand = {"made_by": "evaluate", "asked": ["fid"]}
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 2}, "protocol": protocol(), **by_hand, "asked": None})
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 3}, "protocol": protocol(metrics=fewer), **by_hand})
    append_row(run.evaluations, {"step": 9, "scores": {"fid": 4}, "protocol": protocol(fake_images=8, real_images=8)})
    found = [directory.scores(one, wanted) for wanted in (named, usual, other)]
    assert [row and row["scores"]["fid"] for row in found] == [2, 2, 4]


@pytest.mark.parametrize("changes", [{"data": "fashion"}, {"fake_images": 8}, {"fingerprint": "cd"}, {"metrics": {}}])
def test_unlike_passports_stand_in_two_tables(changes: dict[str, Any]) -> None:
    """Scores of other data, counts or metrics are never in one column; seed and checkpoint make no difference."""
    found = board(scored(combination("one"), (3, 0.1), (5, 0.3)), scored(combination("two"), (1, 0.1), **changes))
    assert [[row.combination.name for row in table.rows] for table in found.tables] == [["one"], ["two"]]


def test_what_has_no_scores_is_said() -> None:
    """Failed, diverged, open and inapplicable cells stand below, each with why."""
    one, two = combination("one"), combination("two")
    unfit = Combination({"gen": "three", "disc": "mlp"}, "three", reason="it | does not fit", fix="leave it")
    failed = {0: Result(Cell(two, 0), "diverged", error="a loss is nan")}
    found = board(scored(one, (3, 0.1)), (two, failed), (unfit, {}))
    document = found.as_dict()
    assert document["open"] == ["one-seed1", "two-seed1"]
    assert [(item["run"], item["status"]) for item in document["unscored"]] == [("two-seed0", "diverged")]
    assert document["inapplicable"] == [
        {"combination": {"gen": "three", "disc": "mlp"}, "reason": "it | does not fit", "fix": "leave it"}
    ]
    text = found.as_markdown()
    for words in ("a loss is nan", "`one-seed1`", "three × mlp: it | does not fit", "fid ↓", "coverage ↑"):
        assert words in text


def test_only_what_differs_is_a_column() -> None:
    """Choices that all rows share are left out; a combination without a choice has a dash there."""
    found = board(
        scored(combination("one"), (3, 0.1)), scored(combination("two", **{"optimizer.lr": 0.00123456789}), (4, 0.1))
    )
    (table,) = found.tables
    assert table.varied() == ["gen", "optimizer.lr"]
    assert [row.word("optimizer.lr") for row in table.ranked()] == ["–", "0.0012346"]


def test_what_each_run_says_of_itself_stands_beside_its_scores() -> None:
    """What was wrong with its health; and the precision, where the machine did not choose the same for all."""
    directory = MatrixDirectory(Path("said"))
    rows = [scored(combination(name), (3, 0.1)) for name in ("one", "two")]
    finding = {"finding": "saturation", "since_step": 148, "until_step": None, "words": "told | at once", "helps": "x"}
    for number, (_, by_seed) in enumerate(rows):
        run = directory.run(by_seed[0].cell)
        run.path.mkdir(parents=True)
        manifest = {"precision": ("bf16", "fp32")[number], "health": [finding, "damaged"] * number}
        run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    results = {result.cell.name: result for _, by_seed in rows for result in by_seed.values()}
    found = leaderboard(directory, request(seeds=(0,)), [one for one, _ in rows], results)
    (table,) = found.tables
    assert table.varied() == ["gen", "trained in"]
    assert [row.word("trained in") for row in table.ranked()] == ["bf16", "fp32"]
    assert [row["precision"] for row in found.as_dict()["tables"][0]["rows"]] == [["bf16"], ["fp32"]]
    (said,) = found.as_dict()["health"]
    assert said == {"run": "two-seed0", "when": "from step 148, to the end", "finding": "saturation"} | {
        key: finding[key] for key in ("words", "helps")
    }
    assert "- `two-seed0`: saturation from step 148, to the end: told | at once" in found.as_markdown()


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
def test_a_mean_is_written_as_finely_as_it_is_known(mean: float, margin: float | None, text: str) -> None:
    """Two digits of the margin, and the mean to the same place."""
    ends = (None, None) if margin is None else (mean - margin, mean + margin)
    assert written(Estimate(mean, *ends, 3)) == text
    assert written(None) == "–"


def test_the_remaining_time_is_that_of_like_cells() -> None:
    """A combination's own cells tell how long another seed takes, others tell the rest; two jobs halve it."""
    now = [0.0]
    slow, fast = combination("slow"), combination("fast")
    remaining = Remaining(2, lambda: now[0])
    assert remaining.seconds(4) is None
    for one, seconds in ((slow, 30.0), (fast, 10.0)):
        remaining.began(Cell(one, 0))
        remaining.ended(Cell(one, 0), seconds)
    remaining.ended(Cell(fast, 1), 0.0)  # was there already: it tells nothing
    assert remaining.seconds(4) == 4 * 20 / 2
    remaining.began(Cell(slow, 2))
    now[0] = 12.0
    assert remaining.seconds(1) == 18.0
    assert remaining.seconds(3) == (18 + 2 * 20) / 2
    now[0] = 99.0
    assert remaining.seconds(1) == 0.0
    assert not math.isnan(remaining.seconds(9) or 0)
