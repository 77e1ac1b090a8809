"""Laws of listing runs: what is opened, what is chosen, in which order, and how it is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison_parts import made, scored
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_parts import in_process
from rich.cells import cell_len

from ganforge.cli.lines import Lines
from ganforge.cli.listing import HEADS, cells
from ganforge.errors import UsageError
from ganforge.runs.index import READ, catalogue, read_manifest
from ganforge.runs.listing import FIELDS, list_runs
from ganforge.runs.query import TIMES, Condition
from ganforge.training.run_directory import RunDirectory
from ganforge.utils import files
from ganforge.utils.files import newest_rows, read_rows

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

#: Runs the command line and prints which files below a folder it opened, and which heavy libraries it imported.
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
    """Return which files `ganforge runs` opens, and what it imports."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    opened, heavy = json.loads(done.stderr.splitlines()[-1])
    return opened, heavy


def names(folder: Path, **asked: Any) -> list[str]:
    """Return the names of the runs that are listed, in order."""
    return [listed.summary.name for listed in list_runs(folder, **asked).runs]


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
            "summary": {"images_per_second": speed},
        }
        rows = [scored(5, 99.0), scored(10, fid)] if fid is not None else []
        made(tmp_path / "runs" / name, f"loss={loss}", f"batch_size={seed + 1}", seed=seed, rows=rows, manifest=changes)
    return tmp_path / "runs"


# What is opened


def test_a_list_opens_run_json_alone(several: Path) -> None:
    """Each run.json once, nothing else, and nothing heavy is imported; so thousands are listed at once."""
    (several / "deep" / "er").mkdir(parents=True)
    made(several / "deep" / "er" / "e")
    runs = sorted(["a", "b", "c", "d", "deep/er/e"])
    for arguments in ([], ["--json"], ["--status", "finished", "--sort", "name", "--limit", "2"]):
        opened, heavy = watched(several, *arguments)
        found = [path for path in opened if (several / path).exists()]
        assert sorted(found) == [f"{run}/run.json" for run in runs]
        assert heavy == []


def test_other_files_are_opened_for_the_runs_that_are_left(several: Path) -> None:
    """Scores are read from evaluation.jsonl alone, settings from run.toml alone, once what run.json says has chosen."""
    opened, heavy = watched(several, "--where", "fid<50", "--where", "loss=hinge")
    assert {path for path in opened if not path.endswith("run.json")} == {"b/evaluation.jsonl", "c/evaluation.jsonl"}
    assert {"torch", "numpy"}.isdisjoint(heavy)
    opened, _ = watched(several, "--where", "batch_size>1", "--where", "loss=hinge")
    assert {path for path in opened if not path.endswith("run.json")} == {"b/run.toml", "c/run.toml"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(READ), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*READ, "error", "origins"]) | st.text(), JSON, max_size=8))
@settings(max_examples=100, deadline=None)
def test_reading_a_part_of_a_manifest_is_reading_it(content: dict[str, Any]) -> None:
    """What a list reads of run.json is what a JSON parser makes of it, whatever stands beside it."""
    written = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    try:
        text = written.encode()
    except UnicodeEncodeError:
        return
    assert read_manifest(text) == {key: content[key] for key in READ if key in content}
    compact = json.dumps(content).encode()
    assert {key: value for key, value in read_manifest(compact).items() if key in READ} == read_manifest(text)


def test_the_real_writer_s_manifest_is_read_in_part(tmp_path: Path) -> None:
    """`RunDirectory.write_manifest` writes what the fast way understands; no string passes for a key."""
    run = RunDirectory(tmp_path)
    run.write_manifest({"error": '\n  "status": "running"', "status": "finished", "data": {"status": "x"}, "seed": 3})
    content = run.manifest.read_bytes()
    assert content.startswith(b"{\n")
    assert content.endswith(b"\n}\n")
    found = read_manifest(content)
    assert (found["status"], found["seed"], "error" in found) == ("finished", 3, False)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(READ, JSON)), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_no_manifest_stops_a_list(manifests: list[dict[str, Any]]) -> None:
    """Whatever JSON stands where a number or a time should, every order and condition answers, and all can be shown."""
    with tempfile.TemporaryDirectory() as folder:
        for number, manifest in enumerate(manifests):
            (Path(folder) / str(number)).mkdir()
            (Path(folder) / str(number) / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
        for key in sorted(FIELDS):
            listing = list_runs(Path(folder), sort=key)
            assert len(listing.runs) == len(manifests)
            conditions = (f"{key}=2026", f"{key}>2026-11") if key in TIMES else (f"{key}=3", f"{key}!=x")
            list_runs(Path(folder), where=conditions)
        shown, _ = Lines(HEADS, [cells(run, []) for run in listing.runs]).render(None)
        assert len(shown.splitlines()) == len(manifests) + 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{\n  "status": "finished",\n', b'{\n  "status": x\n}\n']
)
def test_a_damaged_manifest_is_listed_as_damaged(content: bytes, tmp_path: Path) -> None:
    """Torn, empty, no JSON, no table: the run is there, and is called damaged."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_bytes(content)
    assert [(run.name, run.status) for run in catalogue(tmp_path)] == [("run", "damaged")]


def test_only_folders_with_a_file_run_json_are_runs(tmp_path: Path) -> None:
    """A folder called run.json is none; links are not followed; nothing is looked for inside a run."""
    made(tmp_path / "runs" / "a" / "inner")
    (tmp_path / "runs" / "a" / "run.json").mkdir()
    made(tmp_path / "runs" / "b")
    made(tmp_path / "runs" / "b" / "checkpoints" / "c")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "runs" / "b", target_is_directory=True)
    assert sorted(run.name for run in catalogue(tmp_path / "runs")) == ["b", "inner"]


# What is chosen, and in which order


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["loss=hinge"], "bc"),
        (["loss!=hinge"], "ad"),
        (["seed=1"], "b"),
        (["seed>=1", "seed<10"], "bc"),
        (["step>0"], ""),
        (["images_per_second>100"], "bc"),
        (["images-per-second<=100"], "ad"),
        (["updated>2026-01-02"], "cd"),
        (["updated>=2026-01-02"], "bcd"),
        (["updated=2026-01-02"], "b"),
        (["updated<=2026-01-02"], "ab"),
        (["updated!=2026"], ""),
        (["updated<2026-01-02 00:01", "updated>2026-01-01 23:59"], "b"),
        (["name=a"], "a"),
        (["penalty=r1"], "abcd"),
        (["penalty.r1.weight=10"], "abcd"),
        (["gen.hidden=[16]"], "abcd"),
        (["gen.hidden!=[16]"], ""),
        (["batch_size = 2"], "b"),
        (["optimizer.gen.lr<=2e-4"], "abcd"),
        (["fid<20"], "b"),
        (["fid<=20"], "bd"),
        (["fid>0", "loss=bce"], "ad"),
    ],
)
def test_conditions_choose_runs(conditions: list[str], expected: str, several: Path) -> None:
    """Of run.json, of run.toml and of the newest scores; all must hold, and a run without such a value fulfils none."""
    assert "".join(sorted(names(several, where=conditions))) == expected


def test_a_status_chooses_runs(several: Path) -> None:
    """Any of those that are given."""
    assert sorted(names(several, status=["running", "diverged"])) == ["c", "d"]
    with pytest.raises(UsageError, match="no status 'finish'; did you mean 'finished'"):
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
    """Times and counts from the largest, scores from the best, all else from the smallest."""
    assert "".join(names(several, sort=sort)) == expected
    without = "c" if sort == "fid" else ""
    turned = "".join(name for name in reversed(expected) if name not in without) + without
    assert "".join(names(several, sort=sort, reverse=True)) == turned
    assert "".join(names(several, sort=sort, limit=2)) == expected[:2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loss", "no condition"),
        ("=3", "no condition"),
        ("seed<x", "no number"),
        ("seed<nan", "no number"),
        ("updated>yesterday", "no time"),
        ("created>2026-13-1", "no time"),
        ("los=bce", "did you mean 'loss'"),
        ("batchsize=3", "did you mean 'batch_size'"),
        ("gen.hiden=3", "did you mean 'gen.hidden'"),
        ("fed<3", "did you mean 'fid'"),
    ],
)
def test_a_condition_that_nothing_fits_is_refused(text: str, words: str, several: Path) -> None:
    """What is no condition, and a key that no run has, is one message with the nearest key."""
    with pytest.raises(UsageError, match=words):
        list_runs(several, where=[text])


@given(st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii", exclude_characters="\n\r")))
def test_a_condition_is_its_own_opposite(value: float | str) -> None:
    """A value equals itself as it is written, or differs from it, never both; true is not one."""
    written = json.dumps(value) if not isinstance(value, str) else f"'{value}'" if "'" not in value else value
    equal, other = (Condition.parse(f"key{sign}{written}") for sign in ("=", "!="))
    assert equal.holds(value) != other.holds(value)
    assert not Condition.parse("key=1").holds(value=True)
    assert not Condition.parse("key=true").holds(1)


def test_unlike_scores_are_listed_apart(several: Path) -> None:
    """The best over 1,000 images stands in another column than the best over 10,000, after them, and it is said."""
    many = {"real_images": 10_000, "fake_images": 10_000}
    made(several / "e", rows=[scored(10, 1.0, **many)])
    listing = list_runs(several, sort="fid")
    assert [run.summary.name for run in listing.runs] == ["b", "d", "a", "e", "c"]
    assert listing.columns == ["fid (1)", "fid (2)"]
    assert [sorted(run.scores) for run in listing.runs] == [["fid (1)"]] * 3 + [["fid (2)"], []]
    (line,) = listing.notes
    assert "1,000, 10,000" in line


@given(
    st.lists(st.one_of(st.integers().map(lambda n: json.dumps({"step": n})), st.sampled_from(["", "[]", "{", '{"a"']))),
    st.booleans(),
    st.integers(1, 60),
)
@settings(max_examples=100, deadline=None)
def test_the_newest_rows_are_all_rows_backwards(lines: list[str], ended: bool, most: int) -> None:  # noqa: FBT001
    """However long the part is that is read first, and wherever a crash tore the file."""
    path = Path("rows.jsonl")
    path.write_text("\n".join(lines) + ("\n" if ended else ""), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "END_BYTES", most)
        assert list(newest_rows(path)) == read_rows(path)[::-1]
    assert list(newest_rows(Path("none.jsonl"))) == []


# How it is shown


def test_the_command_prints_what_is_listed(several: Path, ganforge: Ganforge) -> None:
    """The table and --json hold the same runs in the same order; what a limit leaves out is said on stderr."""
    done = ganforge("runs", several, "--where", "fid<50", "--sort", "fid", "--limit", "2", "--json")
    assert (done.returncode, [Path(run["path"]).name for run in json.loads(done.stdout)]) == (0, ["b", "d"])
    assert json.loads(done.stdout)[0]["scores"] == {"fid": 10.0}
    table = ganforge("runs", several, "-w", "fid<50", "--sort", "fid", "-n", "2")
    head, *rows = table.stdout.splitlines()
    assert head.split()[:4] == ["run", "status", "steps", "fid"]
    assert [Path(row.split()[0]).name for row in rows] == ["b", "d"]
    assert "2 of 3 runs" in table.stderr
    assert json.loads(ganforge("runs", several, "-w", "seed=77", "--json").stdout) == []
    refused = ganforge("runs", several, "--sort", "nam")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "did you mean 'name'" in refused.stderr


@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), max_size=6), st.none() | st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_columns_are_aligned_and_command_no_terminal(rows: list[list[str]], width: int | None) -> None:
    """A line for each run, whatever its cells hold, none wider than the terminal; what has no room is named."""
    text, left_out = Lines(("one", "two", "three"), rows, frozenset({1})).render(width)
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


def test_a_pipe_in_a_file_s_place_is_a_damaged_run(tmp_path: Path) -> None:
    """Whoever opens a pipe waits for somebody to write into it; a list does not."""
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "run.json")
    assert [run.status for run in catalogue(tmp_path)] == ["damaged"]


def test_a_closed_stdout_and_endless_digits_are_no_traceback(several: Path) -> None:
    """A list that nobody reads ends well; a number with five thousand digits is read as text, and refused as such."""
    closed = [sys.executable, "-m", "ganforge", "runs", str(several)]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *closed], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    refused = in_process(several, "runs", ".", "--where", f"steps>{'9' * 5000}")
    assert "should not happen" not in refused.stderr


def test_a_report_replaces_nothing_unasked(several: Path) -> None:
    """`--out` writes over no file of a run, over what is there only with `--force`, and over a device never."""
    run = next(path for path in several.iterdir() if (path / "run.json").exists())
    before = (run / "run.json").read_bytes()
    refused = in_process(several, "report", run, "--out", run / "run.json")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert (run / "run.json").read_bytes() == before
    os.mkfifo(several / "pipe")
    assert in_process(several, "report", run, "--out", several / "pipe", "--force").returncode == 2
    (several / "page.html").write_text("old")
    assert in_process(several, "report", run, "--out", several / "page.html", "--force").returncode == 0
    assert (several / "page.html").read_text().startswith("<!")
