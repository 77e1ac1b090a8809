"""Laws of the leaderboard: which scores share a table, which are best, and what is listed below."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ganforge.cli._printer import Printer
from ganforge.cli._sweep_display import RemainingTime, SweepDisplay
from ganforge.cli.sweep import _print_leaderboard
from ganforge.config import Experiment
from ganforge.schemas.rows import EvaluationRow
from ganforge.sweep.config import EvalSpec, SearchConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.leaderboard import Leaderboard
from ganforge.sweep.ranking import build_leaderboard
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Trial, TrialConfig
from ganforge.utils.files import append_row
from tests.helpers import run_directories
from tests.helpers.run_directories import MANIFEST, evaluation, write_json
from tests.helpers.sweeps import make_config

HIGHER_IS_BETTER = {"fid": False, "coverage": True}


def protocol(**changes: Any) -> dict[str, Any]:
    """Return an evaluation protocol."""
    metrics = {
        name: {"distribution": "ganforge", "options": {}, "higher_is_better": {name: b}, "needs": []}
        for name, b in HIGHER_IS_BETTER.items()
    }
    counts = {"real_images": 9, "fake_images": 9, "features": None}
    return run_directories.protocol(**{**counts, "metrics": metrics, **changes})


def trial_config(name: str, **choices: Any) -> TrialConfig:
    """Return a configuration that fits."""
    four = {"gen": name, "disc": "mlp", "loss": "bce", "data": "mnist"}
    return TrialConfig({**four, **choices}, name, Experiment())


def board(
    *rows: tuple[TrialConfig, dict[int, TrialResult]],
    seeds: tuple[int, ...] = (0, 1),
    objective: str | None = None,
    metrics: tuple[str, ...] | None = ("fid", "coverage"),
) -> Leaderboard:
    """Return the leaderboard of configurations and their results by seed."""
    results = {result.trial.name: result for _, by_seed in rows for result in by_seed.values()}
    search = None if objective is None else SearchConfig(num_configs=1, objective=objective)
    config = make_config(seeds=seeds).model_copy(update={"search": search, "scoring": EvalSpec(metrics=metrics)})
    return build_leaderboard(SweepDirectory(Path("none")), config, [one for one, _ in rows], results)


def row(step: int, scores: dict[str, float | None], protocol: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a row of evaluation.jsonl."""
    return evaluation(step, None) | {"scores": scores, "reference": {}, "protocol": protocol} | changes


def scored(
    one: TrialConfig, *values: tuple[float | None, float | None], **changes: Any
) -> tuple[TrialConfig, dict[int, TrialResult]]:
    """Return a configuration with its scores, fid and coverage, seed by seed."""
    rows = [
        EvaluationRow(
            **row(9, {"fid": fid, "coverage": coverage}, protocol(seed=seed, checkpoint=str(seed), **changes))
        )
        for seed, (fid, coverage) in enumerate(values)
    ]
    return one, {seed: TrialResult(Trial(one, seed), "scored", row) for seed, row in enumerate(rows)}


def test_rows_are_ranked_by_the_mean_in_the_direction_of_the_score() -> None:
    """Lower fid first; another score in its direction; rows without a finite score last."""
    one, two, three = (trial_config(name) for name in ("one", "two", "three"))
    rows = scored(one, (3, 0.1), (5, 0.3)), scored(two, (1, 0.1), (2, 0.1)), scored(three, (None, 0.9), (None, 0.9))
    for objective, names in [
        (None, ["two", "one", "three"]),
        ("coverage", ["three", "one", "two"]),
        ("no such score", ["two", "one", "three"]),
    ]:
        (table,) = board(*rows, objective=objective).tables
        assert [row.name for row in table.rows] == names
    found = board(*rows).as_dict()["tables"][0]["rows"]
    assert found[1]["scores"]["fid"] == {"mean": 4, "low": 3, "high": 5, "count": 2, "values": [3, 5]}
    assert found[2]["scores"]["fid"] is None
    assert found[2]["rank"] is None


def test_a_configuration_with_missing_seeds_is_not_ranked_above_complete_ones() -> None:
    """One finite seed of three, the best of all, comes last, without a rank, as "1 of 3", with the reason in a note."""
    lucky, solid = trial_config("lucky"), trial_config("solid")
    found = board(
        scored(lucky, (None, 0.1), (1, 0.1), (None, 0.1)),
        scored(solid, (5, 0.1), (6, 0.2), (7, 0.3)),
        seeds=(0, 1, 2),
    )
    (table,) = found.tables
    heads, *rows = table.cells(3)
    assert heads == ["rank", "gen", "seeds", "fid ↓", "coverage ↑"]
    assert rows == [["1", "solid", "3", "6.0 ± 2.5", "0.20 ± 0.25"], ["–", "lucky", "1 of 3", "1 (1 of 3)", "0.1000"]]
    assert found.notes == ("lucky × mlp × bce × mnist has no rank: fid is finite for 1 of 3 seeds",)
    assert all(line in found.as_markdown() for line in ("| – | lucky | 1 of 3 | 1 (1 of 3) |", *found.notes))


def test_seeds_without_a_result_count_as_missing() -> None:
    """A configuration of which two of three seeds diverged is not better than one with three scores."""
    lucky, solid = trial_config("lucky"), trial_config("solid")
    one, results = scored(lucky, (1, 0.1))
    diverged = {seed: TrialResult(Trial(lucky, seed), "diverged", error="a loss is nan") for seed in (1, 2)}
    found = board((one, results | diverged), scored(solid, (5, 0), (6, 0), (7, 0)), seeds=(0, 1, 2))
    assert [(row.name, row.rank) for row in found.tables[0].rows] == [("solid", (1, 1)), ("lucky", None)]
    assert found.notes == ("lucky × mlp × bce × mnist has no rank: 1 of 3 seeds scored",)


def test_overlapping_ranks_are_undecided() -> None:
    """A rank is the range of places that the 95% intervals leave; fewer than three seeds decide nothing."""
    names = ("a", "b", "c")
    values = [(1.0, 1.1, 1.2), (1.1, 1.2, 1.3), (9.0, 9.1, 9.2)]
    rows = [scored(trial_config(name), *((fid, 0.1) for fid in fids)) for name, fids in zip(names, values, strict=True)]
    found = board(*rows, seeds=(0, 1, 2))
    assert [row.rank for row in found.tables[0].rows] == [(1, 2), (1, 2), (3, 3)]
    assert [line[0] for line in found.tables[0].cells(3)[1:]] == ["1–2", "1–2", "3"]
    assert found.notes == ("ranks such as 1–2 are undecided by fid: the 95% intervals overlap",)
    two = [(one, {seed: result for seed, result in by_seed.items() if seed < 2}) for one, by_seed in rows]
    found = board(*two)
    assert [row.rank for row in found.tables[0].rows] == [(1, 3)] * 3
    assert found.notes == ("ranks such as 1–2 are undecided by fid: two seeds or one do not decide",)


def test_a_setting_named_like_a_score_hides_neither() -> None:
    """`fid` as a swept setting has its own column, marked as a setting."""
    rows = [scored(trial_config("one", fid=number), (number, 0.1), (number, 0.1)) for number in (3, 4)]
    found = [
        (TrialConfig(one.choices, f"{one.name}{one.choices['fid']}", one.experiment), results) for one, results in rows
    ]
    results = [
        (one, {seed: TrialResult(Trial(one, seed), "scored", result.row) for seed, result in by_seed.items()})
        for one, by_seed in found
    ]
    heads, *lines = board(*results).tables[0].cells(2)
    assert heads == ["rank", "fid (setting)", "seeds", "fid ↓", "coverage ↑"]
    assert [line[1] for line in lines] == ["3", "4"]
    assert [line[3] for line in lines] == ["3", "4"]


def test_a_skipped_metric_is_named() -> None:
    """Without --metric, the default metrics that have no scores are listed below the tables."""
    found = board(scored(trial_config("one"), (1, 0.1), (2, 0.1)), metrics=None)
    assert [line.partition(" is left out")[0] for line in found.notes] == ["kid", "precision", "recall"]


def test_scores_of_a_trial_are_the_requested_ones() -> None:
    """The row has the last step, the test split, the number of images, the run's seed and features, and every metric.

    Without named metrics it is the row of `ganforge evaluate` with its defaults.
    """
    one, directory = Trial(trial_config("one"), 0), SweepDirectory(Path("m"))
    run = directory.run(one)
    run.path.mkdir(parents=True)
    data = MANIFEST["data"] | {"sizes": {"train": 99, "test": 9}}
    write_json(run.manifest, MANIFEST | {"data": data, "summary": MANIFEST["summary"] | {"steps": 9}})
    named, usual, other = (EvalSpec(metrics=("fid", "coverage")), EvalSpec(), EvalSpec(metrics=("fid",), num_samples=8))
    fewer = {name: metric for name, metric in protocol()["metrics"].items() if name == "fid"}
    wrong: list[dict[str, Any]] = [
        {"split": "train"},
        {"seed": 1},
        {"fake_images": 7},
        {"features": {"name": "digits"}},
        {"features": run_directories.protocol()["features"] | {"name": "other"}},
        {"weights": "generator_ema"},
        {"metrics": ["fid"]},
        {"metrics": {"fid": {"higher_is_better": None}, "coverage": 3}},
        {"data": None},
    ]
    rows = [row(9, {"fid": 0.0}, protocol(**changes), source="evaluate") for changes in wrong]
    rows += [row(8, {"fid": 0.0}, protocol(), source="evaluate"), {"step": 9}]
    for item in rows:
        append_row(run.evaluations, item)
    assert [directory.scores(one, wanted) for wanted in (named, usual, other)] == [None, None, None]
    append_row(run.evaluations, row(9, {"fid": 1.0}, protocol(), source="training"))
    assert directory.scores(one, usual) is None
    append_row(run.evaluations, row(9, {"fid": 2.0}, protocol(), source="evaluate"))
    by_hand = {"source": "evaluate", "requested_metrics": ["fid"]}
    append_row(run.evaluations, row(9, {"fid": 3.0}, protocol(metrics=fewer), **by_hand))
    append_row(run.evaluations, row(9, {"fid": 4.0}, protocol(fake_images=8, real_images=8), **by_hand))
    found = [directory.scores(one, wanted) for wanted in (named, usual, other)]
    assert [item and item.scores["fid"] for item in found] == [2, 2, 4]


@pytest.mark.parametrize("changes", [{"data": "fashion"}, {"fake_images": 8}, {"fingerprint": "cd"}, {"metrics": {}}])
def test_different_protocols_have_different_tables(changes: dict[str, Any]) -> None:
    """Scores of other data, counts or metrics never share a column; seed and checkpoint make no difference."""
    found = board(scored(trial_config("one"), (3, 0.1), (5, 0.3)), scored(trial_config("two"), (1, 0.1), **changes))
    assert [[row.name for row in table.rows] for table in found.tables] == [["one"], ["two"]]


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
    assert [row.text("optimizer.lr") for row in table.rows] == ["–", "0.0012346"]


def test_health_and_precision_of_the_runs_are_shown() -> None:
    """Alerts are listed; the precision has a column if the machine chose several."""
    directory = SweepDirectory(Path("m"))
    rows = [scored(trial_config(name), (3, 0.1)) for name in ("one", "two")]
    alert = {"alert": "saturation", "since_step": 148, "until_step": None, "value": 0.0, "hint": "x"}
    alert |= {"message": "sudden | at once"}
    for number, (_, by_seed) in enumerate(rows):
        run = directory.run(by_seed[0].trial)
        run.path.mkdir(parents=True)
        write_json(run.manifest, MANIFEST | {"precision": ("bf16", "fp32")[number], "health": [alert] * number})
    results = {result.trial.name: result for _, by_seed in rows for result in by_seed.values()}
    found = build_leaderboard(directory, make_config(seeds=(0,)), [one for one, _ in rows], results)
    (table,) = found.tables
    assert table.varied() == ["gen", "trained in"]
    assert [row.text("trained in") for row in table.rows] == ["bf16", "fp32"]
    assert [row["precision"] for row in found.as_dict()["tables"][0]["rows"]] == [["bf16"], ["fp32"]]
    (entry,) = found.as_dict()["health"]
    assert entry == {"run": "two-seed0", "period": "from step 148, to the end"} | {
        key: alert[key] for key in ("alert", "message", "hint")
    }
    assert "- `two-seed0`: saturation from step 148, to the end: sudden | at once" in found.as_markdown()


def test_a_leaderboard_on_a_narrow_terminal_cuts_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 60 columns each row is one line; a column without room is named with where to find it."""
    monkeypatch.setattr(Printer, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "60")
    found = board(
        scored(trial_config("a-long-name-of-a-generator"), (54.77, 0.5)), scored(trial_config("b"), (60, 0.4))
    )
    _print_leaderboard(found, Path("sweep"), json=False)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 60
    heads = next(line for line in lines if line.startswith("rank"))
    assert heads.split() == ["rank", "gen", "seeds", "fid", "↓"]
    assert "no room for coverage ↑: a wider terminal, --json or sweep/leaderboard.md show them" in shown.err


@pytest.mark.parametrize(
    ("settings", "row", "expected"),
    [
        ({"steps": 400}, {"step": 100, "epoch": 3.0}, 0.25),
        ({"epochs": 4}, {"step": 100, "epoch": 3.0}, 0.75),
        ({"steps": 400}, {"step": 400}, 0.99),
        ({"epochs": 4}, {"step": 1, "epoch": math.nan}, 0.0),
        ({"steps": 400}, None, 0.0),
    ],
    ids=["steps", "epochs", "unscored", "damaged", "starting"],
)
def test_the_bar_of_a_sweep_moves_within_a_trial(
    settings: dict[str, int], row: dict[str, float] | None, expected: float, tmp_path: Path
) -> None:
    """A running trial counts by the share of its steps or epochs; a whole one only after its scores."""
    choices = {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"}
    trial = Trial(TrialConfig(choices, "mlp", Experiment.model_validate(settings)), 0)
    directory = SweepDirectory(tmp_path)
    directory.run(trial).path.mkdir()
    if row is not None:
        append_row(directory.run(trial).metrics, row)
    assert directory.progress(trial) == expected


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


def test_a_sweep_looks_at_its_trials_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of running trials are read each second, not at each of the scheduler's looks."""
    monkeypatch.setattr(Printer, "is_terminal", True)
    monkeypatch.setattr(Printer, "is_dumb_terminal", False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    now, looks = [0.0], []

    def progress() -> float:
        looks.append(now[0])
        return 0.5

    display = SweepDisplay(count=4, jobs=1, quiet=False, clock=lambda: now[0])
    for _ in range(40):
        now[0] += 0.0625
        display.on_poll(progress)
    assert looks == [0.0625, 1.0625, 2.0625]
    assert display._is_live
    assert display._progress.tasks[0].completed == 0.5


def test_no_time_is_left_after_the_last_trial() -> None:
    """The remaining time of the last look vanishes with the end of the last trial."""
    now, one = [0.0], trial_config("a")
    display = SweepDisplay(count=2, jobs=1, quiet=True, clock=lambda: now[0])
    times = []
    for seed in range(2):
        trial = Trial(one, seed)
        display.on_trial_start(trial, "run")
        display.on_trial_end(TrialResult(trial, "scored"), 10.0)
        times.append(display._progress.tasks[0].fields["left"])
    assert times == ["00:00:10 left", ""]
