"""Laws of comparing runs: groups, their differences, and the scores of a column."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ganforge as package
from ganforge.cli.compare import sparkline
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.evaluation.comparability import diff
from ganforge.runs.score_table import Column, columns
from ganforge.runs.settings import canonical, differing, settings_of
from ganforge.schemas.rows import EvaluationRow, Protocol
from tests.helpers.comparisons import change, made, protocol_of, scored, write_rows
from tests.helpers.plugins import command, shown_on_terminal
from tests.helpers.run_directories import MANIFEST, protocol
from tests.helpers.runs import ROOT

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

#: The 0.975 quantile of Student's t by degrees of freedom (Abramowitz & Stegun 1964, table 26.10).
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


# Groups


def test_runs_that_differ_in_their_seed_are_one_group(tmp_path: Path) -> None:
    """Three seeds in directories of any name are one group; so is a sweep's trial, without a last score."""
    for seed in (2, 0, 1):
        made(tmp_path / f"run-{seed}", f"evaluate={'none' if seed else 'auto'}", seed=seed)
    comparison = package.compare(tmp_path)
    (group,) = comparison.groups
    assert (group.seeds, [run.seed for run in group.runs]) == ([0, 1, 2], [0, 1, 2])
    assert (list(comparison.settings), list(comparison.notes)) == ([], [])
    assert comparison.shared == {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist", "steps": 1000} | {
        "term": ["r1"]
    }


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("gen.mlp.hidden=[8]", "gen.hidden"),
        ("loss=hinge", "loss"),
        ("steps=500", "steps"),
        ("term.r1.weight=1.0", "term.r1.weight"),
        ("optimizer.gen.adam.lr=0.001", "optimizer.gen.lr"),
        ("ema_halflife_images=500", "ema_halflife_images"),
    ],
)
def test_any_other_setting_makes_another_group(setting: str, key: str, tmp_path: Path) -> None:
    """Exactly the key that differs is shown, and both groups have their value of it."""
    made(tmp_path / "a")
    made(tmp_path / "b", setting, seed=1)
    comparison = package.compare(tmp_path)
    assert list(comparison.settings) == [key]
    assert len({canonical(group.settings.get(key)) for group in comparison.groups}) == 2


def test_other_data_or_another_plugin_makes_another_group(tmp_path: Path) -> None:
    """Settings alike do not make runs alike: the data's fingerprint and a local plugin's hash must agree, too."""
    made(tmp_path / "a")
    made(tmp_path / "data", manifest={"data": MANIFEST["data"] | {"fingerprint": "ffff"}}, seed=1)
    made(tmp_path / "plugin", manifest={"plugins": [MANIFEST["plugins"][0] | {"sha256": "6" * 64}]})
    comparison = package.compare(tmp_path)
    assert len(comparison.groups) == 3
    assert list(comparison.settings) == ["fingerprint of the data", "plugin loud"]


def test_options_of_one_component_only_are_left_out_of_comparison(tmp_path: Path) -> None:
    """Options that only one of two generators has are left out where its runs agree; so is other data's hash."""
    made(tmp_path / "a")
    made(tmp_path / "b", "gen=dcgan", "gen.dcgan.base_channels=32", "gen.dcgan.init=default")
    made(tmp_path / "c", "data=fashion-mnist", manifest={"data": MANIFEST["data"] | {"fingerprint": "ffff"}})
    assert list(package.compare(tmp_path).settings) == ["gen", "data"]
    made(tmp_path / "d", "gen=dcgan", "gen.dcgan.base_channels=64", "gen.dcgan.init=default")
    assert list(package.compare(tmp_path).settings) == ["gen", "data", "gen.base_channels"]


def test_option_missing_in_an_older_run_is_compared(tmp_path: Path) -> None:
    """A missing option distinguishes two groups, for optimizers too."""
    made(tmp_path / "a")
    made(tmp_path / "b", "gen.mlp.width=3", "optimizer.gen.eps=1e-8", "penalty.r1.gamma=2", seed=1)
    assert set(package.compare(tmp_path).settings) == {"gen.width", "penalty.r1.gamma", "optimizer.gen.eps"}
    made(tmp_path / "c", "optimizer.gen.name=sgd", "optimizer.gen.momentum=0.5", seed=2)
    assert "optimizer.gen.momentum" not in package.compare(tmp_path).settings


def test_scored_again_the_last_score_of_a_step_counts(tmp_path: Path) -> None:
    """As in the curve next to it; and a manifest's odd values stop nothing."""
    made(tmp_path / "a", rows=[scored(10, 10.0), scored(10, 7.0), scored(5, 1.0)])
    (column,) = package.compare(tmp_path).columns
    latest = column.latest("a")
    assert latest is not None
    assert (latest.step, latest.value) == (10, 7.0)


def test_health_alerts_are_notes_of_the_comparison(tmp_path: Path) -> None:
    """Each health alert is a line with its range of steps."""
    found = {
        "alert": "collapse",
        "since_step": 1500,
        "until_step": 2000,
        "value": 0.0,
        "message": "all fakes are alike",
        "hint": "x",
    }
    made(tmp_path / "a", rows=[scored(1000, 3.0)])
    made(tmp_path / "b", seed=1, rows=[scored(1000, 4.0)], manifest={"health": [found]})
    assert package.compare(tmp_path).notes == ["b: collapse from step 1,500 to 2,000: all fakes are alike"]


DOCUMENTS = st.fixed_dictionaries(
    {
        "gen": st.sampled_from(["a", "b"]).flatmap(
            lambda name: st.fixed_dictionaries(
                {"name": st.just(name), name: st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 1))}
            )
        ),
        "loss": st.sampled_from([{"name": "bce"}, {"name": "hinge"}]),
        "steps": st.integers(1, 2),
        "seed": st.integers(0, 5),
    }
)


@given(st.lists(DOCUMENTS, min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_differing_settings_distinguish_groups(documents: list[dict[str, Any]]) -> None:
    """Two runs of one generator agree in what is shown only if they agree in all but the seed; no key is in vain."""
    runs = [settings_of(document) for document in documents]
    keys = differing(runs)

    def shown(run: dict[str, Any]) -> str:
        return canonical({key: run[key] for key in keys if key in run})

    def whole(run: dict[str, Any]) -> str:
        return canonical({key: value for key, value in run.items() if key != "seed"})

    assert len(set(map(shown, runs))) <= len(set(map(whole, runs)))
    for key in keys:
        assert len({canonical(run.get(key, "none such")) for run in runs}) > 1
    for one in runs:
        for other in runs:
            if one.keys() == other.keys() and whole(one) != whole(other):
                assert shown(one) != shown(other)


# Scores


def test_a_cell_is_the_mean_over_seeds_with_student_s_interval(tmp_path: Path) -> None:
    """Mean ± t · s / √n with the table's t; a single seed has no interval; the reference stands next to it."""
    values = [20.0, 23.0, 21.5, 26.0, 22.0]
    for count in (1, 2, 3, 5):
        for seed, value in enumerate(values[:count]):
            made(tmp_path / str(count) / f"run-{seed}", seed=seed, rows=[scored(500, 99.0), scored(1000, value)])
        comparison = package.compare(tmp_path / str(count))
        found = comparison.groups[0].cells["fid"]
        assert found.estimate.mean == pytest.approx(statistics.fmean(values[:count]))
        assert (found.estimate.count, found.of, found.step) == (count, count, 1000)
        if count < 3:
            assert found.estimate.margin is None
            assert (found.estimate.low, found.estimate.high) == ((None, None) if count == 1 else (20.0, 23.0))
        else:
            expected = T[count - 1] * statistics.stdev(values[:count]) / math.sqrt(count)
            assert found.estimate.margin == pytest.approx(expected, rel=2e-4)
        assert comparison.columns[0].reference == 1.25


def test_scores_of_unlike_protocols_have_separate_columns(tmp_path: Path) -> None:
    """A run over 10,000 images and one over 1,000 have no column in common; a line names both and both numbers."""
    made(tmp_path / "a", rows=[scored(1000, 30.0)])
    many: dict[str, Any] = {"real_images": 10_000, "fake_images": 10_000}
    made(tmp_path / "b", "loss=hinge", rows=[scored(1000, 20.0, **many)])
    comparison = package.compare(tmp_path)
    assert [column.name for column in comparison.columns] == ["fid (1)", "fid (2)"]
    assert [sorted(group.cells) for group in comparison.groups] == [["fid (1)"], ["fid (2)"]]
    (line,) = comparison.notes
    assert all(word in line for word in ("fid (2)", "a and b", "1,000", "10,000"))


def test_a_run_that_was_scored_in_both_ways_is_in_both_columns(tmp_path: Path) -> None:
    """Comparable scores are compared: a run that also has the other's kind of score stands in both columns."""
    many: dict[str, Any] = {"real_images": 10_000, "fake_images": 10_000}
    made(tmp_path / "a", rows=[scored(1000, 30.0)])
    made(tmp_path / "b", "loss=hinge", rows=[scored(1000, 25.0), scored(1000, 20.0, **many)])
    first, second = package.compare(tmp_path).groups
    assert {name: cell.estimate.mean for name, cell in first.cells.items()} == {"fid (1)": 30.0}
    assert {name: cell.estimate.mean for name, cell in second.cells.items()} == {"fid (1)": 25.0, "fid (2)": 20.0}


PROTOCOLS = st.builds(
    protocol_of,
    score=st.just("fid"),
    real_images=st.sampled_from([100, 200]),
    split=st.sampled_from(["test", "train"]),
    features=st.sampled_from([None, *(protocol()["features"] | {"weights": letter * 64} for letter in "ef")]),
    seed=st.integers(0, 2),
    checkpoint=st.sampled_from(["a" * 64, "b" * 64]),
)


@given(st.lists(PROTOCOLS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_column_mixes_protocols(protocols: list[dict[str, Any]]) -> None:
    """Within a column no two protocols differ in what matters, between two columns all do, and no score is lost."""
    rows = [scored(1, float(number)) | {"protocol": item} for number, item in enumerate(protocols)]
    made_columns = columns((f"run-{number}", [EvaluationRow(**row)]) for number, row in enumerate(rows))
    members = [[protocols[int(name[4:])] for name in column.by_run] for column in made_columns]
    assert sorted(name for column in made_columns for name in column.by_run) == sorted(
        f"run-{number}" for number in range(len(rows))
    )
    for index, ours in enumerate(members):
        for other, theirs in enumerate(members):
            for one in ours:
                for two in theirs:
                    assert bool(diff(Protocol(**one), Protocol(**two), "fid")) == (index != other)
    assert [column.difference is None for column in made_columns] == [True] + [False] * (len(made_columns) - 1)


def test_only_scores_of_one_step_are_averaged(tmp_path: Path) -> None:
    """Runs that stopped early, whose score is not finite or has failed, or without any do not count; each is named."""
    made(tmp_path / "whole", seed=0, rows=[scored(500, 40.0), scored(1000, 20.0)])
    summary = MANIFEST["summary"] | {"steps": 54}  # later than the last row, 50
    end = {"status": "diverged", "error": "nan in\nG", "summary": summary}
    made(tmp_path / "early", seed=1, rows=[scored(500, 30.0)], manifest=end)
    made(tmp_path / "infinite", seed=2, rows=[scored(1000, None)])
    made(tmp_path / "none", seed=3, manifest={"status": "running"})
    failed = scored(1000, None) | {"details": {"fid": {"error": "metric 'fid' cannot score"}}}
    made(tmp_path / "failed", seed=4, rows=[failed])
    comparison = package.compare(tmp_path)
    found = comparison.groups[0].cells["fid"]
    assert (dict(found.values), found.of) == ({"whole": 20.0}, 5)
    assert list(comparison.notes) == [
        "early diverged at step 54: nan in G",
        "none was interrupted at step 1,000",
        "fid of early is of step 500 and left out: the others are of step 1,000",
        "fid of infinite is not finite",
        "fid of none is missing",
        "fid of failed is missing: metric 'fid' cannot score",
    ]


def test_scores_that_a_run_lacks_for_one_reason_are_one_note(tmp_path: Path) -> None:
    """A seed that was never scored is one line with all scores, not a line for each."""
    made(tmp_path / "whole", seed=0, rows=[scored(1000, 20.0) | {"scores": {"fid": 20.0, "kid": 1.0}}])
    made(tmp_path / "none", seed=1)
    assert list(package.compare(tmp_path).notes) == ["fid, kid of none are missing"]


def test_long_settings_leave_scores_room_on_a_terminal(tmp_path: Path) -> None:
    """Groups are numbers in tables of 80 columns, below a line with the settings of each; short ones stay names."""
    flags = ("gen.mlp.hidden=[64,128]", "ema_halflife_images=500", "steps=500", "optimizer.gen.adam.lr=0.001")
    made(tmp_path / "a", rows=[scored(1000, 20.0)])
    made(tmp_path / "b", *flags, rows=[scored(500, 30.0)])
    lines = shown_on_terminal(80, "compare", tmp_path)
    numbered = [line for line in lines if line.startswith(("1  ", "2  "))]
    assert ["hidden" in line for line in numbered[:2]] == [True, True]
    assert [line.split() for line in numbered[2:]] == [["1", "1", "20"], ["2", "1", "30"]]
    made(tmp_path / "b2", "loss=hinge", rows=[scored(1000, 40.0)])
    short = shown_on_terminal(80, "compare", tmp_path / "a", tmp_path / "b2")
    assert any(line.split() == ["hinge", "1", "40"] for line in short)


def test_curves_on_a_narrow_terminal_are_whole(tmp_path: Path) -> None:
    """Next to a long label, curves are narrower than elsewhere, and no cell is cut."""
    made(tmp_path / "a-run-of-26-characters-abc")
    lines = shown_on_terminal(80, "compare", tmp_path)
    curves = [line for line in lines if "a-run-of-26-characters-abc" in line and "│" in line]
    assert len(curves) > 2
    assert not any("…" in line for line in lines)


def test_labels_of_groups_are_whole(tmp_path: Path) -> None:
    """A label names every setting that differs, however long, also the last of several."""
    for name, rate in (("a", "0.001"), ("b", "0.002")):
        made(tmp_path / name, f"gen.mlp.hidden={[64] * 30}", f"optimizer.gen.adam.lr={rate}")
    made(tmp_path / "c")
    labels = [group.label for group in package.compare(tmp_path).groups]
    assert [label.rpartition("=")[2] for label in labels[:2]] == ["0.001", "0.002"]


def test_weights_of_another_run_are_one_setting(tmp_path: Path) -> None:
    """A run that starts from weights differs in `init`, and in no part of it; so does a filter."""
    made(tmp_path / "a", "init=none")
    made(tmp_path / "b", "init.source=runs/base", "init.freeze=[]")
    comparison = package.compare(tmp_path)
    assert [group.settings for group in comparison.groups] == [{"init": "none"}, {"init": "runs/base"}]
    made(tmp_path / "c", "init.source=runs/base", "init.freeze=['generator.layers.0']")
    assert list(package.compare(tmp_path).settings) == ["init", "init.freeze"]


def test_scores_of_an_earlier_step_are_named_in_comparison(tmp_path: Path) -> None:
    """A run that was continued after its evaluation is not taken for one of its last step."""
    manifest = {"summary": MANIFEST["summary"] | {"steps": 1000}}
    for step, notes in ((500, [f"fid of {name} is of step 500, earlier than the last" for name in "ab"]), (1000, [])):
        folder = tmp_path / str(step)
        made(folder / "a", rows=[scored(step, 40.0)], manifest=manifest)
        made(folder / "b", seed=1, rows=[scored(step, 30.0)], manifest=manifest)
        assert list(package.compare(folder).notes) == notes


def test_largest_scores_have_a_mean_and_a_curve(tmp_path: Path) -> None:
    """Scores near the largest number overflow neither sums nor intervals: the document has no infinity."""
    for seed, value in enumerate((1e308, -1.7e308, 1.7e308)):
        made(tmp_path / str(seed), seed=seed, rows=[scored(1000, abs(value)), scored(1000, value, score="own")])
    comparison = package.compare(tmp_path)
    assert comparison.groups[0].cells["fid"].estimate.mean == pytest.approx(1.7e308 / 3 * 2 + 1e308 / 3)
    json.dumps(comparison.as_dict(), allow_nan=False)


def test_raw_weights_and_moving_averages_are_never_averaged(tmp_path: Path) -> None:
    """A mean is over the weights that most seeds have scores of; a seed without them is named, and the curve agrees."""
    average, raw = {"weights": "generator_ema"}, {"weights": "generator"}
    for seed in range(3):
        rows = [scored(5, 30.0, **average), scored(10, 20.0 + seed, **average)]
        made(tmp_path / f"s{seed}", seed=seed, rows=rows, manifest={"summary": MANIFEST["summary"] | {"steps": 10}})
    write_rows(tmp_path / "s1" / "evaluation.jsonl", [*rows[:1], scored(10, 21.0, **average), scored(10, 90.0, **raw)])
    comparison = package.compare(tmp_path)
    cell = comparison.groups[0].cells["fid"]
    assert (dict(cell.values), list(comparison.notes)) == ({"s0": 20.0, "s1": 21.0, "s2": 22.0}, [])
    curve = next(curve for curve in comparison.curves if curve.name == "fid")
    assert [(point.step, point.mean) for points in curve.lines.values() for point in points] == [(5, 30.0), (10, 21.0)]
    assert _scores_of_runs(comparison) == [(value, "generator_ema") for value in (20.0, 21.0, 22.0)]
    assert "90 <small>" not in comparison.html()

    write_rows(tmp_path / "s1" / "evaluation.jsonl", [scored(10, 90.0, **raw)])
    comparison = package.compare(tmp_path)
    cell = comparison.groups[0].cells["fid"]
    assert (dict(cell.values), cell.of) == ({"s0": 20.0, "s2": 22.0}, 3)
    assert list(comparison.notes) == ["fid of s1 is of generator and left out: the others are of generator_ema"]
    assert _scores_of_runs(comparison)[1] == (90.0, "generator")


def test_documents_of_a_comparison_do_not_choose_weights_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of a mean, which need all runs of a group, are chosen once per column, not for each run."""
    for seed in range(3):
        made(tmp_path / f"s{seed}", seed=seed, rows=[scored(1000, 20.0 + seed, weights="generator_ema")])
    comparison = package.compare(tmp_path)
    monkeypatch.delattr(Column, "weights")
    assert _scores_of_runs(comparison) == [(value, "generator_ema") for value in (20.0, 21.0, 22.0)]
    assert "22 <small>step 1,000</small>" in comparison.html()


def _scores_of_runs(comparison: package.Comparison) -> list[tuple[float, str]]:
    """Return score and weights of each run, which JSON and CSV agree on."""
    scores = [run["scores"]["fid"] for group in comparison.as_dict()["groups"] for run in group["runs"]]
    pairs = [(score["value"], score["weights"]) for score in scores]
    rows = csv.DictReader(io.StringIO(comparison.csv()))
    assert [(float(row["fid"]), row["fid: weights"]) for row in rows] == pairs
    return pairs


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((20.0, 20.1, 20.2), None),
        ((20.0, 21.0, 40.0), "95% intervals overlap"),
        ((20.0, 20.1), "a group has scores of fewer than 3 seeds"),
    ],
)
def test_an_order_that_the_scores_do_not_decide_is_named(
    values: tuple[float, ...], reason: str | None, tmp_path: Path
) -> None:
    """Groups whose intervals overlap, or that have no interval, are in an order that may be chance."""
    for seed, value in enumerate(values):
        made(tmp_path / f"a{seed}", seed=seed, rows=[scored(1000, value)])
        made(tmp_path / f"b{seed}", "loss=hinge", seed=seed, rows=[scored(1000, value + 5)])
    lines = [] if reason is None else [f"fid does not decide the order: {reason}; train more seeds"]
    assert list(package.compare(tmp_path, sort="fid").notes) == lines
    assert list(package.compare(tmp_path).notes) == []


def test_a_column_that_orders_no_neighbors_is_not_named(tmp_path: Path) -> None:
    """Neighbors are in the order of the first column that either has a score in, which may be undecided alone."""
    for seed, value in enumerate((20.0, 20.1, 20.2)):
        for loss, distance in (("bce", 0), ("hinge", 5), ("least-squares", 9)):
            rows = [scored(1000, value + distance)]
            rows += [scored(1000, 7.0 + seed, fake_images=5000)] if loss != "hinge" else []
            made(tmp_path / f"{loss}{seed}", f"loss={loss}", seed=seed, rows=rows)
        made(tmp_path / f"w{seed}", "loss=wasserstein", seed=seed, rows=[scored(1000, 7.5 + seed, fake_images=5000)])
    comparison = package.compare(tmp_path, sort="fid")
    assert [group.label for group in comparison.groups] == ["bce", "hinge", "least-squares", "wasserstein"]
    assert [column.name for column in comparison.columns] == ["fid (1)", "fid (2)"]
    assert [line for line in comparison.notes if "does not decide the order" in line] == []
    (line,) = (line for line in package.compare(tmp_path, sort="fid (2)").notes if "does not decide the order" in line)
    assert line == "fid (2) does not decide the order: 95% intervals overlap; train more seeds"


def test_a_setting_named_like_a_score_hides_neither(tmp_path: Path) -> None:
    """The score `precision` and the setting `precision` have a column each, in the page and in CSV."""
    for precision, value in (("fp32", 0.25), ("bf16", 0.75)):
        rows = [scored(1, value, score="precision")]
        made(tmp_path / precision, f"precision={precision}", rows=rows)
    comparison = package.compare(tmp_path)
    table = list(csv.DictReader(io.StringIO(comparison.csv())))
    assert {(row["precision (setting)"], row["precision"]) for row in table} == {("fp32", "0.25"), ("bf16", "0.75")}
    for page in (comparison.html(), comparison._repr_html_()):
        assert '<th scope="col">precision (setting)</th>' in page
        assert '<th scope="col" class="number">precision ↓</th>' in page


def test_a_seed_counts_once(tmp_path: Path) -> None:
    """A copy of a run makes no interval narrower, and no curve heavier; of two the one that came further counts."""
    made(tmp_path / "a", seed=0, rows=[scored(500, 20.0)])
    made(tmp_path / "b", seed=0, rows=[scored(1000, 20.0)])
    made(tmp_path / "c", seed=1, rows=[scored(1000, 24.0)])
    comparison = package.compare(tmp_path)
    assert dict(comparison.groups[0].cells["fid"].values) == {"b": 20.0, "c": 24.0}
    assert list(comparison.notes) == ["a repeats seed 0 of b; each seed counts once"]
    assert [run.name for run in comparison.groups[0].counted] == ["b", "c"]


@pytest.mark.parametrize(("higher", "order"), [(False, ["b", "a", "c", "d"]), (True, ["c", "a", "b", "d"])])
def test_sorting_begins_with_the_best(*, higher: bool, order: list[str], tmp_path: Path) -> None:
    """Lower or higher, by the metric's direction; runs without such a score come last."""
    for steps, (name, value) in enumerate([("a", 20.0), ("d", None), ("b", 10.0), ("c", 30.0)], start=1):
        made(
            tmp_path / name,
            f"steps={steps}",
            rows=[scored(1, value) | {"protocol": protocol_of(higher_is_better=higher)}],
        )
    assert [group.runs[0].name for group in package.compare(tmp_path, sort="fid").groups] == order


def test_metrics_choose_the_columns(tmp_path: Path) -> None:
    """In the order that is given; a score that no run has is refused with the nearest one."""
    made(tmp_path / "a", rows=[scored(1, 20.0), scored(1, 3.0, score="kid"), scored(1, 0.5, score="recall")])
    comparison = package.compare(tmp_path / "a", metrics=["recall", "fid"])
    assert [column.name for column in comparison.columns] == ["recall", "fid"]
    with pytest.raises(UsageError, match="no run has a score 'recal'; did you mean 'recall'"):
        package.compare(tmp_path, metrics=["recal"])
    with pytest.raises(UsageError, match="no score is named"):
        package.compare(tmp_path, metrics=[])
    with pytest.raises(UsageError, match="no score 'fed' to sort by; did you mean 'fid'"):
        package.compare(tmp_path, sort="fed")


# Sources of runs


def test_runs_are_found_once_and_named_apart(tmp_path: Path) -> None:
    """A run that is given twice, or lies in a folder that is given too, counts once; equal names get their folders'."""
    one = made(tmp_path / "x" / "run", seed=0)
    made(tmp_path / "y" / "run", seed=1)
    comparison = package.compare(one, tmp_path, tmp_path / "x")
    assert [run.name for group in comparison.groups for run in group.runs] == ["x/run", "y/run"]
    made(tmp_path / "other" / "x" / "run", seed=2)
    names = [run.name for group in package.compare(tmp_path).groups for run in group.runs]
    assert names == [f"{tmp_path.name}/x/run", f"{tmp_path.name}/y/run", "other/x/run"]


def test_damaged_runs_are_named_in_comparison(tmp_path: Path) -> None:
    """A damaged run is left out and named; without any run left it is an error."""
    good, bad = made(tmp_path / "good", rows=[scored(1, 2.0)]), made(tmp_path / "bad", seed=1)
    (bad / "run.toml").write_text("x = [", encoding="utf-8")
    with (good / "evaluation.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "scores": 3}\n[]\n{"step": "x", "scores": {"fid": "3"}, "protocol": {}}\n{"step"')
    comparison = package.compare(tmp_path)
    assert [run.name for group in comparison.groups for run in group.runs] == ["good"]
    assert "bad is skipped" in comparison.notes[0]
    assert f"{good}: evaluation.jsonl has 4 damaged lines; skipped" in comparison.notes
    assert comparison.groups[0].cells["fid"].estimate.mean == 2.0
    with pytest.raises(RunDirectoryError, match="no run can be read"):
        package.compare(bad)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match="no runs in"):
        package.compare(tmp_path / "empty")
    with pytest.raises(RunDirectoryError, match="does not exist"):
        package.compare(tmp_path / "nowhere")


# Its forms


def test_every_form_has_the_same_numbers(tmp_path: Path, ganforge: Ganforge) -> None:
    """--json, --csv and Python agree to the bit; each prints one thing on stdout, without the table."""
    rows = [scored(500, 40.0), scored(1000, 20.123456789012345)]
    made(tmp_path / "r" / "a", rows=rows)
    made(tmp_path / "r" / "b", "loss=hinge", rows=[scored(1000, 1e-30)])
    comparison = package.compare(tmp_path / "r")
    done = ganforge("compare", "r", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document == json.loads(json.dumps(package.compare(Path("r")).as_dict()))
    means = [group["scores"]["fid"]["mean"] for group in document["groups"]]
    assert means == [20.123456789012345, 1e-30]
    done = ganforge("compare", "r", "--csv", "-")
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["loss"], float(row["fid"]), row["fid: step"]) for row in table] == [
        ("bce", 20.123456789012345, "1000"),
        ("hinge", 1e-30, "1000"),
    ]
    assert repr(comparison) == "<ganforge comparison of 2 runs in 2 groups>"
    curve = next(curve for curve in document["curves"] if curve["name"] == "fid")
    assert curve["lines"]["bce"] == [[500, 40.0], [1000, 20.123456789012345]]


def test_comparison_files_are_replaced_only_with_force(tmp_path: Path) -> None:
    """--html and --csv write in addition to the table; over a file, a folder, or nowhere: exit code 2, nothing done."""
    made(tmp_path / "a", rows=[scored(1000, 20.125)])
    done = command("compare", "a", "--html", "page.html", "--csv", "numbers.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert "20.12" in done.stdout
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert Path("numbers.csv").read_text(encoding="utf-8").startswith("run,group,status,seed,fid")
    Path("page.html").write_text("mine", encoding="utf-8")
    for arguments in (("--html", "page.html"), ("--csv", "."), ("--html", "no/page.html"), ("--json", "--csv", "-")):
        assert command("compare", "a", *arguments).returncode == 2
    assert Path("page.html").read_text(encoding="utf-8") == "mine"
    assert command("compare", "a", "--html", "page.html", "--force").returncode == 0
    missing = command("compare", "b")
    assert missing.returncode == 2
    assert "b does not exist" in missing.stderr


def test_a_spreadsheet_computes_nothing(tmp_path: Path) -> None:
    """A setting that begins like a formula is marked as text; a negative score stays a number."""
    made(tmp_path / "a", 'loss==HYPERLINK("x")', rows=[scored(1, -2.0)])
    made(tmp_path / "b", "loss=bce")
    first, _ = csv.DictReader(io.StringIO(package.compare(tmp_path).csv()))
    assert (first["loss"], first["fid"]) == ('\'=HYPERLINK("x")', "-2.0")


def test_comparing_needs_no_torch(tmp_path: Path) -> None:
    """Neither torch nor numpy is imported to compare runs whose protocols must be compared."""
    for seed in (0, 1):
        made(tmp_path / f"run-{seed}", seed=seed, rows=[scored(1, 2.0, seed=seed)])
    program = (
        "import sys, ganforge; ganforge.compare(sys.argv[1]); print(sorted({'torch', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# Curves


def test_a_curve_is_the_mean_over_the_seeds_that_came_so_far(tmp_path: Path) -> None:
    """At each step the mean, lowest and highest value of the runs that have one; none without a finite value."""
    for seed, values in enumerate([(1.0, 2.0, math.nan), (3.0, 6.0)]):
        run = made(tmp_path / str(seed), seed=seed)
        lines = [json.dumps({"step": 10 * index, "loss/generator": value}) for index, value in enumerate(values)]
        (run / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (curve,) = package.compare(tmp_path).curves
    (points,) = curve.lines.values()
    assert points == [(0, 2.0, 1.0, 3.0), (10, 4.0, 2.0, 6.0), (20, None, None, None)]


def test_a_sparkline_rises_where_the_curve_does() -> None:
    """It has the requested width; a rising line never falls, a gap is a space, one level draws something."""
    line = [(float(x), x**2.0) for x in range(7)]
    drawn = sparkline(line, x=(0, 6), y=(0, 36), width=20)
    assert len(drawn) == 20
    assert list(drawn) == sorted(drawn)
    assert (drawn[0], drawn[-1]) == ("▁", "█")
    assert sparkline([(0, 1.0), (5, None), (9, 1.0)], x=(0, 9), y=(1, 1), width=10) == "▁        ▁"
    assert sparkline(line, x=(0, 6), y=(0, 36), width=20, ascii_only=True).isascii()


def test_changing_a_run_is_seen(tmp_path: Path) -> None:
    """Nothing is kept between two comparisons: directories are the truth."""
    made(tmp_path / "a", rows=[scored(1, 2.0)])
    run = made(tmp_path / "b", seed=1, rows=[scored(1, 4.0)])
    assert package.compare(tmp_path).groups[0].cells["fid"].estimate.mean == 3.0
    change(run, "loss=hinge")
    assert len(package.compare(tmp_path).groups) == 2


def test_the_documented_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python of comparing.md, as it stands there, prints each group's mean and writes the page."""
    for seed in (0, 1):
        made(tmp_path / "runs" / str(seed), seed=seed, rows=[scored(1, 2.0 + seed)])
    page = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(example, "comparing.md", "exec"), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out.startswith("0 and others 2.5 ")
    assert Path("comparison.html").is_file()
