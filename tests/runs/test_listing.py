"""Laws of `ganforge runs`: opened files, filters, order, output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ganforge.cli._printer import format_table
from ganforge.cli.runs import HEADS, cells
from ganforge.errors import RunDirectoryError, UsageError
from ganforge.runs.index import find_runs
from ganforge.runs.listing import FIELDS, list_runs
from ganforge.runs.query import TIMES, Filter
from ganforge.schemas.manifest import Manifest, ManifestHead
from ganforge.schemas.rows import EVALUATIONS, MAX_DAMAGED_ROWS, METRICS, iter_rows, newest_rows, read_rows
from ganforge.training.run_directory import RunDirectory, RunLock
from tests.helpers.comparisons import made, scored
from tests.helpers.plugins import command
from tests.helpers.run_directories import MANIFEST, write_json

#: Program that runs the command line and prints opened files below a folder and imported heavy libraries.
WATCHED = """
import atexit, json, os, sys
opened, folder = [], sys.argv[1]
def heard(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and str(arguments[0]).startswith(folder):
        opened.append(os.path.relpath(arguments[0], folder))
sys.addaudithook(heard)
heavy = {"torch", "numpy", "PIL", "jinja2", "ganforge.config"}
atexit.register(lambda: print(json.dumps([opened, sorted(heavy & sys.modules.keys())]), file=sys.stderr))
from ganforge.cli.app import main
sys.argv = ["ganforge", "runs", *sys.argv[1:]]
main()
"""


def watched(*arguments: str | Path) -> tuple[list[str], list[str]]:
    """Return the files that `ganforge runs` opens, and its heavy imports."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    opened, heavy = json.loads(done.stderr.splitlines()[-1])
    return opened, heavy


def names(folder: Path, **options: Any) -> list[str]:
    """Return the names of the listed runs, in order."""
    return [listed.summary.name for listed in list_runs(folder, **options).runs]


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Write four runs with different settings, ends, speeds and scores."""
    table: list[tuple[str, str, int, str, float, float | None]] = [
        ("a", "bce", 0, "finished", 100.0, 30.0),
        ("b", "hinge", 1, "finished", 300.0, 10.0),
        ("c", "hinge", 2, "diverged", 200.0, None),
        ("d", "bce", 10, "running", 50.0, 20.0),
    ]
    for day, (name, loss, seed, status, speed, fid) in enumerate(table, start=1):
        changes = {
            "status": status,
            "updated": f"2026-01-0{day}T00:00:00+00:00",
            "summary": MANIFEST["summary"] | {"images_per_second": speed},
        }
        rows = [scored(5, 99.0), scored(10, fid)] if fid is not None else []
        made(tmp_path / "runs" / name, f"loss={loss}", f"batch_size={seed + 1}", seed=seed, rows=rows, manifest=changes)
    return tmp_path / "runs"


# Opened files


def test_a_list_opens_run_json_alone(several: Path) -> None:
    """Each run.json is opened once, and nothing else; nothing heavy is imported."""
    (several / "deep" / "er").mkdir(parents=True)
    made(several / "deep" / "er" / "e")
    runs = sorted(["a", "b", "c", "d", "deep/er/e"])
    for arguments in ([], ["--json"], ["--status", "finished", "--sort", "name", "--limit", "2"]):
        opened, heavy = watched(several, *arguments)
        found = [path for path in opened if (several / path).exists()]
        assert sorted(found) == [f"{run}/run.json" for run in runs]
        assert heavy == []


def test_other_files_are_opened_for_the_remaining_runs(several: Path) -> None:
    """Scores are read from evaluation.jsonl and settings from run.toml, after the filters on run.json."""
    opened, heavy = watched(several, "--where", "fid<50", "--where", "loss=hinge")
    others = {path for path in opened if not path.endswith("run.json")} - {"d/.lock"}  # whether d is running
    assert others == {"b/evaluation.jsonl", "c/evaluation.jsonl"}
    assert {"torch", "numpy"}.isdisjoint(heavy)
    opened, _ = watched(several, "--where", "batch_size>1", "--where", "loss=hinge")
    others = {path for path in opened if not path.endswith("run.json")} - {"d/.lock"}
    assert others == {"b/run.toml", "c/run.toml"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PLACES = [(key,) for key in MANIFEST] + [
    (key, inner) for key, value in MANIFEST.items() if isinstance(value, dict) for inner in value
]


@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_manifest_with_any_json_in_it_is_read_or_named(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    """With any JSON in any place, run.json is read, or one line names the file; lists show the run, in every order."""
    manifest = json.loads(json.dumps(MANIFEST))
    for place, value in changes:
        table = manifest
        for key in place[:-1]:
            table = table[key] if isinstance(table.get(key), dict) else {}
        table[place[-1]] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        path.mkdir()
        write_json(path / "run.json", manifest)
        problem = ""
        try:
            RunDirectory(path).read_manifest()
        except RunDirectoryError as error:
            problem = error.message
        assert problem == "" or (problem.startswith(f"{path / 'run.json'} is damaged: ") and problem.isprintable())
        for key in sorted(FIELDS):
            listing = list_runs(Path(folder), sort=key)
            assert len(listing.runs) == 1
            conditions = (f"{key}=2026", f"{key}>2026-11") if key in TIMES else (f"{key}=3", f"{key}!=4")
            conditions = ("status=failed", "status!=failed") if key == "status" else conditions
            list_runs(Path(folder), where=conditions)
        shown, _ = format_table(HEADS, [cells(run, []) for run in listing.runs], width=None)
        assert len(shown.splitlines()) == 2


def test_unknown_keys_of_a_manifest_are_kept(tmp_path: Path) -> None:
    """Other programs may add keys, also long ones; they survive a change, and no string is mistaken for a key."""
    notes = {"by": "me", "text": "x" * 2**20}
    write_json(tmp_path / "run.json", MANIFEST | {"notes": notes, "error": '\n  "status": "running"'})
    run = RunDirectory(tmp_path)
    run.update_manifest(status="interrupted")
    content = json.loads(run.manifest.read_text(encoding="utf-8"))
    assert (content["status"], content["notes"]) == ("interrupted", notes)
    assert [found.status for found in find_runs(tmp_path)] == ["interrupted"]


def test_head_of_a_manifest_is_a_part_of_it() -> None:
    """The part that lists read has the values of the whole."""
    content = json.dumps(MANIFEST)
    head, manifest = ManifestHead.model_validate_json(content), Manifest.model_validate_json(content)
    assert head.model_dump() == {key: value for key, value in manifest.model_dump().items() if key in dict(head)}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{\n  "status": "finished",\n', b'{\n  "status": x\n}\n']
)
def test_a_damaged_manifest_is_listed_as_damaged(content: bytes, tmp_path: Path) -> None:
    """A torn, empty or invalid run.json is listed as damaged."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_bytes(content)
    assert [(run.name, run.status) for run in find_runs(tmp_path)] == [("run", "damaged")]


def test_only_folders_with_a_file_run_json_are_runs(tmp_path: Path) -> None:
    """A folder run.json does not count; links are not followed; runs inside a run are not found."""
    made(tmp_path / "runs" / "a" / "inner")
    (tmp_path / "runs" / "a" / "run.json").mkdir()
    made(tmp_path / "runs" / "b")
    made(tmp_path / "runs" / "b" / "checkpoints" / "c")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "runs" / "b", target_is_directory=True)
    assert sorted(run.name for run in find_runs(tmp_path / "runs")) == ["b", "inner"]


# Filters and order


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["loss=hinge"], "bc"),
        (["loss!=hinge"], "ad"),
        (["seed=1"], "b"),
        (["seed>=1", "seed<10"], "bc"),
        (["step>0"], "abcd"),
        (["images_per_second>100"], "bc"),
        (["images-per-second<=100"], "ad"),
        (["updated>2026-01-02"], "cd"),
        (["updated>=2026-01-02"], "bcd"),
        (["updated=2026-01-02"], "b"),
        (["updated<=2026-01-02"], "ab"),
        (["updated!=2026"], ""),
        (["updated<2026-01-02 00:01", "updated>2026-01-01 23:59"], "b"),
        (["name=a"], "a"),
        (["term=r1"], "abcd"),
        (["term.r1.weight=10"], "abcd"),
        (["gen.hidden=[16]"], "abcd"),
        (["gen.hidden!=[16]"], ""),
        (["batch_size = 2"], "b"),
        (["optimizer.gen.lr<=2e-4"], "abcd"),
        (["fid<20"], "b"),
        (["fid<=20"], "bd"),
        (["fid>0", "loss=bce"], "ad"),
    ],
)
def test_filters_select_runs(filters: list[str], expected: str, several: Path) -> None:
    """Filters on run.json, run.toml and the newest scores must all match; a run without the value matches none."""
    assert "".join(sorted(names(several, where=filters))) == expected


def test_statuses_select_runs(several: Path) -> None:
    """A run has any of the statuses; `running` without a process is `interrupted`."""
    with RunLock(RunDirectory(several / "d")):
        assert names(several, status=["running"]) == ["d"]
    assert sorted(names(several, status=["interrupted", "diverged"])) == ["c", "d"]
    with pytest.raises(UsageError, match="invalid status 'finish'; did you mean 'finished'"):
        list_runs(several, status=["finish"])


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("updated", "dcba"),
        ("name", "abcd"),
        ("seed", "abcd"),
        ("images_per_second", "bcad"),
        ("batch_size", "abcd"),
        ("fid", "bdac"),
        ("path", "abcd"),
    ],
)
def test_runs_are_sorted(sort: str, expected: str, several: Path) -> None:
    """Times and counts are sorted from the largest, scores from the best, others from the smallest."""
    assert "".join(names(several, sort=sort)) == expected
    without = "c" if sort == "fid" else ""
    turned = "".join(name for name in reversed(expected) if name not in without) + without
    assert "".join(names(several, sort=sort, reverse=True)) == turned
    assert "".join(names(several, sort=sort, limit=2)) == expected[:2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loss", "invalid filter"),
        ("=3", "invalid filter"),
        ("seed<x", "is not a number"),
        ("seed<nan", "is not a number"),
        ("updated>yesterday", "is not a time"),
        ("created>2026-13-1", "is not a time"),
        ("los=bce", "did you mean 'loss'"),
        ("batchsize=3", "did you mean 'batch_size'"),
        ("gen.hiden=3", "did you mean 'gen.hidden'"),
        ("fed<3", "did you mean 'fid'"),
        ("fid=<20", "invalid filter"),
        ("steps==3", "invalid filter"),
        ("created>2026-13-01", "is not a time"),
        ("updated=2026-02-30", "is not a time"),
        ("status=runing", "invalid status 'runing'; did you mean 'running'"),
        ("fid=nan", "is not a number"),
        ("loss<3", "values of loss are like"),
        ("precision>0.5", "values of precision are like 'fp32'"),
        ("steps=many", "values of steps are like 1000"),
        ("reuse_fakes=3", "no run has a"),
    ],
)
def test_an_invalid_filter_is_refused(text: str, words: str, several: Path) -> None:
    """An invalid filter, or a key that no run has, is one message with the nearest key."""
    with pytest.raises(UsageError, match=words):
        list_runs(several, where=[text])


@pytest.mark.parametrize(
    ("text", "fix"), [("steps==3", "write steps=3"), ("fid=<20", "write fid<=20"), ("fid!==2", "write fid!=2")]
)
def test_the_fix_of_a_mistyped_sign_is_a_filter(text: str, fix: str, several: Path) -> None:
    """The proposed filter can be parsed."""
    with pytest.raises(UsageError) as raised:
        list_runs(several, where=[text])
    assert raised.value.fix == fix
    Filter.parse(fix.removeprefix("write "))


@given(st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii", exclude_characters="\n\r")))
@example("<'")
def test_equal_and_unequal_are_opposites(value: float | str) -> None:
    """A value is either equal to its text or not; true is not 1."""
    written = f"'{value}'" if isinstance(value, str) and "'" not in value else json.dumps(value)
    equal, other = (Filter.parse(f"key{sign}{written}") for sign in ("=", "!="))
    assert equal.matches(value) != other.matches(value)
    assert not Filter.parse("key=1").matches(value=True)
    assert not Filter.parse("key=true").matches(1)


def test_score_of_the_name_of_another_key_is_found_by_its_prefix(several: Path) -> None:
    """`precision` is a key of run.json and a metric; `score.precision` is the metric."""
    made(several / "e", rows=[scored(10, 0.5, "precision", higher_is_better=True)])
    assert names(several, where=["score.precision>0.4"]) == ["e"]
    assert names(several, sort="score.precision")[0] == "e"
    assert list_runs(several, sort="score.precision").columns == ["precision"]


def test_keys_of_orders_and_filters_have_columns(several: Path) -> None:
    """A setting and a field by which runs are sorted or filtered are shown; one that equals a value is not."""
    head, *rows = command("runs", several, "--sort", "batch_size", "-w", "elapsed_seconds>0").stdout.splitlines()
    assert head.split()[:5] == ["run", "status", "steps", "batch_size", "elapsed_seconds"]
    assert [row.split()[3] for row in rows] == ["1", "2", "3", "11"]
    listed = json.loads(command("runs", several, "--sort", "batch_size", "--json").stdout)
    assert [run["settings"] for run in listed] == [{"batch_size": value} for value in (1, 2, 3, 11)]
    for arguments in (["--sort", "seed"], ["-w", "batch_size=2"], []):
        assert command("runs", several, *arguments).stdout.split("\n")[0].split() == list(HEADS)
    assert command("runs", several, "--sort", "bytes").stdout == command("runs", several, "--du").stdout


def test_score_of_an_earlier_step_is_named(several: Path) -> None:
    """A note counts the runs whose score is not that of their last step."""
    made(several / "e", rows=[scored(1000, 1.0)])
    assert list_runs(several, sort="fid").notes == ["fid of 3 runs is of an earlier step than the last"]


@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_score_of_the_last_step_is_listed(status: str, tmp_path: Path) -> None:
    """A later evaluation of an earlier checkpoint changes neither the list, as in a comparison, nor a filter."""
    made(tmp_path / "a", rows=[scored(500, 9.0), scored(1000, 30.0), scored(500, 10.0)], manifest={"status": status})
    listing = list_runs(tmp_path, sort="fid")
    assert ([dict(run.scores) for run in listing.runs], listing.notes) == ([{"fid": 30.0}], [])
    assert (names(tmp_path, where=["fid>20"]), names(tmp_path, where=["fid<20"])) == (["a"], [])
    made(tmp_path / "b", rows=[scored(1001, 1.0)])
    assert list_runs(tmp_path, sort="fid").notes == ["fid of 1 run is of a later step than the last"]


def test_scores_of_different_weights_are_named(tmp_path: Path) -> None:
    """A column has raw weights next to moving averages only with a line."""
    for name, *kinds in (("a", "generator_ema"), ("b", "generator_ema", "generator"), ("c", "generator_ema")):
        made(tmp_path / name, rows=[scored(1000, 10.0, weights=kind) for kind in kinds])
    assert list_runs(tmp_path, sort="fid").notes == ["fid is of generator_ema in 2 runs, of generator in 1 run"]


def test_damaged_evaluations_are_named(tmp_path: Path) -> None:
    """A list by scores names damaged rows after a run's score, and files that cannot be read."""
    path = made(tmp_path / "a", rows=[scored(1000, 10.0)]) / "evaluation.jsonl"
    path.write_bytes(path.read_bytes() + b"torn\n")
    (made(tmp_path / "b", seed=1) / "evaluation.jsonl").unlink()
    os.mkfifo(made(tmp_path / "c", seed=2) / "fifo")
    (tmp_path / "c" / "fifo").rename(tmp_path / "c" / "evaluation.jsonl")
    listing = list_runs(tmp_path, sort="fid", where=["fid<20"])
    assert [run.summary.name for run in listing.runs] == ["a"]
    assert listing.notes == [
        f"{tmp_path / 'a'}: evaluation.jsonl has 1 damaged line; skipped",
        f"{tmp_path / 'c'}: evaluation.jsonl cannot be read: it is not a regular file",
    ]


@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_evaluations_are_read_once_for_all_scores(status: str, tmp_path: Path) -> None:
    """A list by two scores reads each file once, and names all of its damaged rows in one line, as for one score."""
    path = made(tmp_path / "a", manifest={"status": status}) / "evaluation.jsonl"
    rows = [b"torn", json.dumps(scored(1000, 0.5, "kid")).encode(), b"torn", json.dumps(scored(1000, 10.0)).encode()]
    path.write_bytes(b"\n".join([*rows, b"torn"]))
    note = f"{tmp_path / 'a'}: evaluation.jsonl has 3 damaged lines; skipped"
    for where in ([], ["kid<1"], ["kid<1", "fid<20"]):
        listing = list_runs(tmp_path, sort="fid", where=where)
        assert ([run.scores["fid"] for run in listing.runs], listing.notes) == ([10.0], [note])
    opened, _ = watched(tmp_path, "--sort", "fid", "--where", "kid<1")
    assert opened.count("a/evaluation.jsonl") == 1


def test_rows_after_the_last_step_of_a_finished_run_are_enough(tmp_path: Path) -> None:
    """A list by a score reads no older rows of a finished run, and names no damage in them."""
    path = made(tmp_path / "a") / "evaluation.jsonl"
    path.write_bytes(b"torn\n" + json.dumps(scored(1000, 10.0)).encode())
    assert list_runs(tmp_path, sort="fid").notes == []


def test_error_without_a_system_message_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError of a file system may have a text alone."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("the server does not answer")

    made(tmp_path / "a", rows=[scored(1000, 10.0)])
    monkeypatch.setattr("ganforge.schemas.rows.open_regular", fail)
    lines: list[str] = []
    assert list(newest_rows(tmp_path / "a" / "evaluation.jsonl", EVALUATIONS, lines.append)) == []
    assert lines == ["evaluation.jsonl cannot be read: the server does not answer"]


def test_score_that_no_run_has_has_a_fix(tmp_path: Path) -> None:
    """The error of an order by a score before any evaluation has the command that scores a run."""
    made(tmp_path / "a")
    done = command("runs", tmp_path, "--sort", "fid")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: no run has a 'fid'",
        "→ if it is a score: ganforge evaluate RUN --metric fid",
    ]


def test_filter_key_of_another_run_matches_none(several: Path) -> None:
    """A filter on a key that only runs have that another filter excludes matches none."""
    assert names(several, where=["loss=hinge", "seed=2", "fid<20"]) == []


def test_incomparable_scores_have_different_columns(several: Path) -> None:
    """Scores over 1,000 and over 10,000 images are in two columns, with a note."""
    many: dict[str, Any] = {"real_images": 10_000, "fake_images": 10_000}
    made(several / "e", rows=[scored(10, 1.0, **many)])
    listing = list_runs(several, sort="fid")
    assert [run.summary.name for run in listing.runs] == ["b", "d", "a", "e", "c"]
    assert listing.columns == ["fid (1)", "fid (2)"]
    assert [sorted(run.scores) for run in listing.runs] == [["fid (1)"]] * 3 + [["fid (2)"], []]
    assert any("1,000, 10,000" in line for line in listing.notes)


@given(
    st.lists(
        st.integers(-1, 2**63 - 1).map(lambda n: json.dumps({"step": n})) | st.sampled_from(["", "[]", "{", '{"a": 1}'])
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_newest_rows_are_all_rows_backwards(lines: list[str], ended: bool) -> None:  # noqa: FBT001
    """Damaged lines are skipped and counted, whatever the end of the file."""
    path = Path("rows.jsonl")
    path.write_text("\n".join(lines) + ("\n" if ended else ""), encoding="utf-8")
    rows: list[dict[str, int | float] | None] = [*iter_rows(path, METRICS)]
    valid = [json.loads(line) for line in lines if line.startswith('{"step"') and line != '{"step": -1}']
    assert [row for row in rows if row is not None] == valid
    assert rows.count(None) == sum(bool(line) for line in lines) - len(valid)
    assert list(newest_rows(path, METRICS)) == valid[::-1]
    assert list(newest_rows(Path("none.jsonl"), METRICS)) == []


def test_a_file_of_damaged_rows_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Validation of a damaged line takes long, so a file with more of them than a crash leaves is refused."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + "{}\n" * MAX_DAMAGED_ROWS)
    assert read_rows(path, METRICS) == [{"step": 1}]
    with path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(OSError, match="it has more than 100,000 damaged lines"):
        read_rows(path, METRICS)
    assert list(newest_rows(path, METRICS)) == []


def test_score_that_is_finite_in_no_run_is_a_key(tmp_path: Path) -> None:
    """A list by a score that is not finite anywhere has all runs."""
    made(tmp_path / "a", rows=[scored(10, None)])
    assert names(tmp_path, sort="fid") == ["a"]
    assert names(tmp_path, where=["fid<20"]) == []


# Output


def test_the_command_prints_the_list(several: Path) -> None:
    """The table and --json have the same runs in the same order; a note on stderr counts omitted ones."""
    done = command("runs", several, "--where", "fid<50", "--sort", "fid", "--limit", "2", "--json")
    assert (done.returncode, [Path(run["path"]).name for run in json.loads(done.stdout)]) == (0, ["b", "d"])
    assert json.loads(done.stdout)[0]["scores"] == {"fid": 10.0}
    table = command("runs", several, "-w", "fid<50", "--sort", "fid", "-n", "2")
    head, *rows = table.stdout.splitlines()
    assert head.split()[:4] == ["run", "status", "steps", "fid"]
    assert [Path(row.split()[0]).name for row in rows] == ["b", "d"]
    assert "2 of 3 runs" in table.stderr
    assert json.loads(command("runs", several, "-w", "seed=77", "--json").stdout) == []
    refused = command("runs", several, "--sort", "nam")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "did you mean 'name'" in refused.stderr


@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), max_size=6), st.none() | st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_columns_are_aligned_and_printable(rows: list[list[str]], width: int | None) -> None:
    """Each run has one line of printable characters within the terminal; columns without room are named."""
    text, left_out = format_table(("one", "two", "three"), rows, numbers={1}, width=width)
    lines = text.split("\n")[:-1]
    assert len(lines) == len(rows) + 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for line in lines for character in line)
    assert left_out in ([], ["three"])
    if width is None:
        assert left_out == []
    elif not left_out:
        assert max(map(cell_len, lines)) <= width
    ends = {cell_len(line[: line.index("two") + 3]) for line in lines[:1]}
    assert len(ends) == 1


def test_a_fifo_is_a_damaged_run(tmp_path: Path) -> None:
    """A list does not wait for a FIFO in place of run.json."""
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "run.json")
    assert [run.status for run in find_runs(tmp_path)] == ["damaged"]


def test_closed_stdout_and_huge_integers_are_not_internal_errors(several: Path) -> None:
    """A closed stdout ends a list without an error; an integer of five thousand digits is an invalid filter."""
    closed = [sys.executable, "-m", "ganforge", "runs", str(several)]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *closed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    refused = command("runs", several, "--where", f"steps>{'9' * 5000}")
    assert "should not happen" not in refused.stderr


def test_a_report_replaces_files_only_with_force(several: Path) -> None:
    """`--out` never replaces a file of a run or a device, and other files only with `--force`."""
    run = next(path for path in several.iterdir() if (path / "run.json").exists())
    before = (run / "run.json").read_bytes()
    refused = command("report", run, "--out", run / "run.json")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert command("report", run, "--out", run / "run.json", "--force").returncode == 2
    assert (run / "run.json").read_bytes() == before
    os.mkfifo(several / "pipe")
    assert command("report", run, "--out", several / "pipe", "--force").returncode == 2
    (several / "page.html").write_text("old")
    assert command("report", run, "--out", several / "page.html", "--force").returncode == 0
    assert (several / "page.html").read_text().startswith("<!")
