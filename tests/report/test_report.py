"""Laws of `ganforge report`: it shows all of a run directory, names missing parts, stays small, harms no run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ganforge as package
from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.report import report_folder, report_run
from ganforge.runs import launch
from ganforge.runs import setup as prepare
from tests.helpers.plugins import command
from tests.helpers.run_directories import MANIFEST, evaluation, grid, make_run, protocol, write_json, write_rows
from tests.helpers.runs import tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 5_000_000


class Reader(HTMLParser):
    """Parser of a page's text, elements and attributes."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.parts.append(data)

    @property
    def text(self) -> str:
        """Visible text, with single spaces."""
        return " ".join(" ".join(self.parts).split())


def read(path: Path) -> Reader:
    """Return a page, after a check that all of its elements are closed."""
    page = Reader(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


# One run


def test_the_page_shows_the_whole_run(tmp_path: Path) -> None:
    """Status, settings with origins, scores with reference, deviation and protocol, health, machine, how to repeat."""
    made = report_run(make_run(tmp_path / "my run"))
    assert (made.path, made.missing) == (tmp_path / "my run" / "report.html", [])
    assert made.size == made.path.stat().st_size
    text = read(made.path).text
    for words in (
        "my run finished",
        "Trained for 1,000 steps (60,000 images) in 1 min 05 s on cpu; fid 10 (reference 1.250).",
        "optimizer.gen.lr 0.0002 recommended by mlp",
        "gen mlp command line",
        "steps 1000 base.toml",
        "term r1 default",
        "fid 10 ± 0.5000 step 1,000 1.250 10 step 1,000 lower",
        "modes 9 step 1,000 10 9 step 500 higher",
        "feature weights " + "e" * 64,
        "1,000 real, 1,000 fake",
        "zero 50.0% 75.0%",
        "collapse from step 300 to 420",
        "all alike Hint: a smaller step",
        "processor Abacus 9000",
        "memory 16.0 GiB",
        "images 1×28×28 uint8 · 8,000 train, 2,000 test",
        "torch 2.14.1",
        "loud 1.2 /home/me/loud gan.py " + "5" * 64,
        f"ganforge run --config '{tmp_path}/my run/run.toml' --plugin '/home/me/loud gan.py'",
        "ganforge run --gen mlp --out 'my run'",
        "git commit cdb036f",
        "nearest-pairs step 1,000",
        "step 50, epoch 0.5",
    ):
        assert words in text
    titles = re.findall(r"<figcaption><h3>(.*?)</h3>", made.path.read_text(encoding="utf-8"))
    assert titles == [
        "Losses",
        "D(x) and D(G(z))",
        "Logits",
        "Terms",
        "path_length",
        "Health: diversity",
        "Health: alerts",
        "Learning rates",
        "Speed",
        "fid",
        "modes",
    ]


def test_curves_are_the_rows(tmp_path: Path) -> None:
    """The values of the script are those of metrics.jsonl, to six digits."""
    run = make_run(tmp_path / "run", rows=7)
    data = charts(report_run(run).path)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {line["name"]: line for line in data[0]["series"]}
    for name in ("discriminator", "generator"):
        assert losses[name]["x"] == [row["step"] for row in rows]
        assert losses[name]["y"] == pytest.approx([row[f"loss/{name}"] for row in rows], rel=1e-5)


def charts(path: Path) -> list[Any]:
    """Return the data of a page's charts."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', path.read_text(encoding="utf-8"))
    return [content for content in map(json.loads, found) if isinstance(content, dict)]


def test_the_page_is_complete_without_its_script(tmp_path: Path) -> None:
    """The newest samples are an image, curves are paths, values are in tables; no link leads outside."""
    page = read(report_run(make_run(tmp_path / "run")).path)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert images[0]["alt"] == "Samples, step 50, epoch 0.5"
    assert all(str(image["src"]).startswith("data:image/") for image in images)
    labels = [attributes["aria-label"] for tag, attributes in page.elements if attributes.get("role") == "img"]
    assert any(str(label).startswith("Losses: loss over step. discriminator: last 0.8") for label in labels)
    assert len([tag for tag, _ in page.elements if tag == "path"]) > 8
    for tag, attributes in page.elements:
        assert "style" not in attributes, "the policy would drop it"
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:")), (tag, attributes)
    assert "http" not in re.sub(r"xmlns|http://www\.w3\.org/2000/svg", "", made_text(page))


def made_text(page: Reader) -> str:
    """Return all attributes in one line."""
    return " ".join(str(value) for _, attributes in page.elements for value in attributes.values())


def test_unlike_protocols_are_separate_lines(tmp_path: Path) -> None:
    """A score over ten times the images has its own line and a reason; a checkpoint does not matter."""
    run = make_run(tmp_path / "run")
    other = protocol(real_images=10_000, fake_images=10_000)
    rows = [evaluation(500, 20.0), evaluation(1000, 10.0), evaluation(1000, 7.0, protocol=other)]
    write_rows(run / "evaluation.jsonl", rows)
    text = read(report_run(run).path).text
    assert "fid (1) 10 ± 0.5000 step 1,000" in text
    assert "fid (2) 7 ± 0.5000 step 1,000" in text
    assert re.search(r"fid \(2\) is not comparable with fid \(1\): [^.]*1,000[^.]*10,000", text)


def test_raw_weights_and_moving_averages_are_separate_lines(tmp_path: Path) -> None:
    """A page has a line for each kind of weights, that of a folder names columns that mix them."""
    average, raw = protocol(weights="generator_ema"), protocol(weights="generator")
    rows = [evaluation(500, 20.0, protocol=average), evaluation(1000, 10.0, protocol=average)]
    for name, more in (("a", [evaluation(1000, 7.0, protocol=raw)]), ("b", [])):
        write_rows(make_run(tmp_path / name) / "evaluation.jsonl", [*rows, *more])
    text = read(report_run(tmp_path / "a").path).text
    assert "fid of generator_ema 10 ± 0.5000 step 1,000" in text
    assert "fid of generator 7 ± 0.5000 step 1,000" in text
    assert "; fid of generator_ema 10 (" in text
    assert "fid of" not in read(report_run(tmp_path / "b").path).text
    assert report_folder(tmp_path).missing == ["fid, modes are of generator_ema in 1 run, of generator in 1 run"]


def test_cell_of_a_folder_has_one_evaluation(tmp_path: Path) -> None:
    """Value, deviation and reference are those of the last step, never of raw weights that were evaluated earlier."""
    average, raw = protocol(weights="generator_ema"), protocol(weights="generator")
    rows = [evaluation(1000, 10.0, protocol=average, reference={}), evaluation(500, 7.0, protocol=raw)]
    write_rows(make_run(tmp_path / "a") / "evaluation.jsonl", rows)
    report = report_folder(tmp_path)
    cells = re.findall(r'<td class="number score" data-label="fid">(.*?)</td>', report.path.read_text(encoding="utf-8"))
    assert (cells, report.missing) == (["10 ± 0.5000"], [])


HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raise %}",
    "quote ' double \" amp & line\u2028paragraph\u2029nul\x00 right-to-left \u202eevil",
)


@pytest.mark.parametrize("word", HOSTILE)
def test_everything_is_escaped(word: str, tmp_path: Path) -> None:
    """Text of a configuration, a plugin or a file is shown and never becomes markup."""
    plain = make_run(tmp_path / "plain")
    expected = [tag for tag, _ in read(report_run(plain).path).elements]
    run = make_run(tmp_path / "run", manifest=hostile(MANIFEST, word))
    config = (run / "run.toml").read_text(encoding="utf-8")
    safe = json.dumps(word, ensure_ascii=True)
    (run / "run.toml").write_text(config.replace('device = "cpu"', f"device = {safe}"), encoding="utf-8")
    rows = [
        row | {f"loss/{word}": 1.0, word: 2.0}
        for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    ]
    write_rows(run / "metrics.jsonl", rows)
    scores = [
        evaluation(step, 1.0, scores={word: 1.0}, reference={word: 0.5}, protocol=hostile(protocol(), word))
        for step in (1, 2)
    ]
    write_rows(run / "evaluation.jsonl", scores)
    made = report_run(run)
    page = made.path.read_text(encoding="utf-8")
    assert word not in page or "<" not in word
    assert "49" not in page or "{{ 7 * 7 }}" not in word or "{{ 7 * 7 }}" in page
    elements = [tag for tag, _ in read(made.path).elements]
    assert set(elements) <= {*expected, "rect"}
    assert elements.count("img") == expected.count("img")
    styles = [tag for tag in elements if tag == "style"]
    assert len(styles) == 1
    scripts = [attributes for tag, attributes in read(made.path).elements if tag == "script"]
    assert [attributes for attributes in scripts if attributes.get("type") != "application/json"] == [{}]
    for content in charts(made.path):
        assert content["series"]


#: Keys with fixed values.
FIXED = ("status", "alert", "dtype", "kind")


def hostile(content: Any, word: str) -> Any:
    """Return JSON with every string value replaced, except those that have fixed values."""
    if isinstance(content, dict):
        return {key: value if key in FIXED else hostile(value, word) for key, value in content.items()}
    if isinstance(content, list):
        return [hostile(value, word) for value in content]
    return word if isinstance(content, str) else content


# Damaged run directories


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", None, "run.json is missing"),
        ("run.json", b"{", "run.json is damaged"),
        ("run.json", b"[]", "run.json is damaged"),
        ("run.json", b"\xff\xfe", "run.json is damaged"),
        ("run.toml", None, "run.toml is missing"),
        ("run.toml", b"= =", "run.toml cannot be read"),
        ("metrics.jsonl", None, "metrics.jsonl is missing"),
        ("metrics.jsonl", b"", "metrics.jsonl is empty"),
        ("metrics.jsonl", b'{"step": 1, "loss/generator": 1.0}\n{"step": 2, "lo', "metrics.jsonl has 1 damaged line"),
        ("evaluation.jsonl", b"torn\ntorn\n", "evaluation.jsonl has 2 damaged lines"),
        ("samples/step-00000050.png", b"torn", "step-00000050.png cannot be read"),
        ("evaluation/nearest-pairs-00001000.png", b"torn", "evaluation/nearest-pairs-00001000.png cannot be read"),
    ],
)
def test_damage_is_named(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    """A missing or damaged file is named on the page, and the rest is shown."""
    run = make_run(tmp_path / "run")
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    made = report_run(run)
    assert [line for line in made.missing if words in line]
    text = read(made.path).text
    assert words in text
    assert "Machine and data" in text
    assert ("Abacus 9000" in text) == (name != "run.json")


def test_rows_alone_have_their_curves(tmp_path: Path) -> None:
    """A run without pictures and summary has all curves, and each link has its target."""
    run = make_run(tmp_path / "run", manifest={"summary": None})
    shutil.rmtree(run / "samples")
    for columns in (["loss/generator", "loss/discriminator"], None):
        if columns is not None:
            rows = [{"step": step, **dict.fromkeys(columns, 0.5)} for step in range(9)]
            write_rows(run / "metrics.jsonl", rows)
        page = report_run(run).path.read_text(encoding="utf-8")
        assert "Losses" in read(run / "report.html").text
        for target in re.findall(r'<a href="#([\w-]+)"', page):
            assert f'id="{target}"' in page


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    """A page needs no content."""
    (tmp_path / "run.json").write_text("{}")
    made = report_run(tmp_path)
    assert len(made.missing) == 4
    assert "damaged" in read(made.path).text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted(MANIFEST)), inner=JSON, row=st.sampled_from(sorted(evaluation(1, 1.0))))
def test_no_content_stops_a_report(key: str, inner: Any, row: str, tmp_path: Path) -> None:
    """With any JSON in any place there is a page with all of its elements closed."""
    run = tmp_path / "run"
    if not run.exists():
        make_run(run, rows=3, grids=1)
    known = MANIFEST[key]
    deeper = dict.fromkeys(known, inner) if isinstance(known, dict) else [inner, {}, {"step": inner}]
    for content in (inner, deeper):
        write_json(run / "run.json", MANIFEST | {key: content})
        write_rows(run / "evaluation.jsonl", [evaluation(1, 1.0), evaluation(2, 1.0) | {row: content}])
        write_rows(run / "metrics.jsonl", [{"step": inner, "loss/a": 1.0}, {"step": 2, "loss/a": inner}, {"loss/a": 3}])
        read(report_run(run).path)


# Size


def test_a_long_run_stays_small(tmp_path: Path) -> None:
    """100,000 rows and 500 grids that do not compress are under 5 MB, with first and last row and grid among them."""
    run = make_run(tmp_path / "run", rows=100_000, grids=10, side=242)
    for index in range(10, 500):
        shutil.copy(run / "samples" / f"step-{index % 10 * 10:08d}.png", run / "samples" / f"step-{index * 10:08d}.png")
    made = report_run(run)
    assert made.size < LIMIT
    text = read(made.path).text
    assert "of the 500 grids in samples/ are shown, evenly chosen" in text
    assert re.search(r"\d{3} of 100,000 rows are drawn", text)
    losses = charts(made.path)[0]["series"][0]
    assert (losses["x"][0], losses["x"][-1]) == (10, 1_000_000)
    assert len(losses["x"]) <= 510


@pytest.mark.slow
def test_many_curves_and_large_pictures_stay_small(tmp_path: Path) -> None:
    """Neither many columns, nor huge grids, nor many scores make the page too large."""
    run = make_run(tmp_path / "run", rows=0, grids=0)
    names = [f"term/{index}" for index in range(80)]
    content = [
        {"step": step} | {name: step * (index % 7) % 11 for index, name in enumerate(names)} for step in range(800)
    ]
    write_rows(run / "metrics.jsonl", content)
    scores = {f"score-{index}": 1.0 for index in range(60)}
    write_rows(run / "evaluation.jsonl", [evaluation(step, 1.0, scores=scores) for step in range(600)])
    for index in range(4):
        grid(1500, index).save(run / "samples" / f"step-{index:08d}.png")
    made = report_run(run)
    assert made.size < LIMIT
    assert [line for line in made.missing if "columns" in line]
    assert "Large grids are shown at a reduced size" in read(made.path).text


# A folder of runs


def test_a_folder_lists_its_runs(tmp_path: Path) -> None:
    """Each run has a line, a thumbnail and a link to its own page; incomparable scores never share a column."""
    one = make_run(tmp_path / "runs" / "a:one", manifest={"updated": "2026-01-01T12:34:56+00:00"})
    two = make_run(tmp_path / "runs" / "deep" / "two", manifest={"status": "diverged", "seed": 3})
    write_rows(two / "evaluation.jsonl", [evaluation(9, 5.0, protocol=protocol(split="train"))])
    report_run(one)
    made = report_folder(tmp_path / "runs")
    assert (made.runs, made.path) == (2, tmp_path / "runs" / "report.html")
    page = read(made.path)
    assert "2 runs: 1 diverged, 1 finished." in page.text or "2 runs: 1 finished, 1 diverged." in page.text
    assert page.text.index("deep/two") < page.text.index("a:one"), "the newest first"
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links == ["#content", "a%3Aone/report.html"]
    assert [str(attributes["alt"]) for tag, attributes in page.elements if tag == "img"] == [
        "Newest samples of deep/two",
        "Newest samples of a:one",
    ]
    assert "fid (2) is not comparable with fid (1): split: train, test." in page.text
    assert page.text.count("collapse from step 300 to 420") == 2
    assert " 2026-01-01 12:34 " in f" {' '.join(page.text.split())} "
    with pytest.raises(RunDirectoryError, match="no runs in"):
        report_folder(tmp_path / "runs" / "deep" / "two" / "samples")


def test_comparable_scores_share_a_column(tmp_path: Path) -> None:
    """Runs with one protocol share a column, with any seed and checkpoint."""
    for seed in range(3):
        run = make_run(tmp_path / f"seed-{seed}", grids=0, rows=1, manifest={"seed": seed})
        write_rows(
            run / "evaluation.jsonl", [evaluation(seed, float(seed), protocol=protocol(seed=seed, checkpoint="x"))]
        )
    page = read(report_folder(tmp_path).path)
    assert "fid (1)" not in page.text
    assert page.text.count(" fid ") == 1
    odd = make_run(tmp_path / "odd", grids=0, rows=1, manifest={"updated": "2027-01-01"})
    write_rows(odd / "evaluation.jsonl", [evaluation(1, 1.0, protocol=protocol(split="train"))])
    page = read(report_folder(tmp_path).path)
    assert "fid (2) is not comparable with fid (1): split: test, train." in page.text
    assert page.text.index("fid (1)") < page.text.index("fid (2)")


def test_a_thousand_runs_stay_small(tmp_path: Path) -> None:
    """The page of many runs is under 5 MB and names the omitted ones."""
    picture = grid(242, 0)
    for index in range(1010):
        folder = tmp_path / f"run-{index:04d}"
        (folder / "samples").mkdir(parents=True)
        write_json(folder / "run.json", MANIFEST)
        if index % 3 == 0:
            picture.save(folder / "samples" / "step-00000000.png", compress_level=0)
    made = report_folder(tmp_path)
    assert made.runs == 1010
    assert made.size < LIMIT
    assert "10 older runs are omitted" in read(made.path).text


# The command, and the end of every run


def test_the_command(tmp_path: Path, ganforge: Ganforge) -> None:
    """It prints the path of the page, --json one document; missing parts and errors go to stderr."""
    run = make_run(tmp_path / "runs" / "one")
    done = ganforge("report", tmp_path / "runs")
    assert (done.returncode, done.stdout) == (0, f"report: {tmp_path}/runs/report.html\n")
    (run / "metrics.jsonl").unlink()
    done = ganforge("report", run, "--out", "page.html", "--json")
    document = json.loads(done.stdout)
    assert document["report"] == "page.html"
    assert document["bytes"] == Path("page.html").stat().st_size
    assert document["missing"] == ["metrics.jsonl is missing: no curves"]
    assert "metrics.jsonl is missing" in done.stderr
    done = ganforge("report", "nowhere")
    assert done.returncode == 2
    assert "nowhere does not exist" in done.stderr


def test_an_unwritable_page_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(RunDirectoryError, match=r"page\.html cannot be written"):
        report_run(make_run(tmp_path / "one"), tmp_path / "no" / "such" / "page.html")


def test_reports_import_no_torch(tmp_path: Path) -> None:
    """A page needs neither torch nor numpy, with scores, too."""
    run = make_run(tmp_path / "run")
    program = (
        "import sys; from pathlib import Path; from ganforge.report import report_folder, report_run;"
        "report_run(Path(sys.argv[1])); report_folder(Path(sys.argv[1]).parent);"
        "sys.exit(str({'torch', 'numpy'} & set(sys.modules)) if {'torch', 'numpy'} & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, run], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


SMALL = (
    "gen=mlp",
    "gen.hidden=[8]",
    "disc=mlp",
    "disc.hidden=[8]",
    "data=mnist",
    "batch_size=8",
    "steps=4",
    "log_every=2",
)


def test_every_run_ends_with_a_report(tmp_path: Path) -> None:
    """A finished run has one, and a resumed run has a new one: by commands and in Python."""
    run = tmp_path / "run"
    settings = [argument for setting in (*SMALL, "data.source=sample", "device=cpu") for argument in ("--set", setting)]
    done = command("run", *settings, "--out", str(run), "--quiet")
    assert done.returncode == 0, done.stderr
    text = read(run / "report.html").text
    assert "Trained for 4 steps" in text
    assert "Missing from this page" not in text
    package.resume(run, steps=6)
    assert "Trained for 6 steps" in read(run / "report.html").text
    done = command("resume", str(run), "--steps", "8", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "Trained for 8 steps" in read(run / "report.html").text
    package.train(package.load(run).experiment, out=tmp_path / "again")
    assert "Trained for 8 steps" in read(tmp_path / "again" / "report.html").text


def test_an_evaluation_updates_the_report(tmp_path: Path, registry: Registry) -> None:
    """The page of an evaluated run shows its scores: by the command and in Python; a run without a page gets none."""
    run = tmp_path / "run"
    launch.start_run(prepare.prepare(tiny(registry, *SMALL), registry), out=run)
    trained = package.load(run)
    trained.evaluate("sliced-wasserstein", num_samples=32, device="cpu")
    assert not (run / "report.html").exists()
    report_run(run)
    trained.evaluate("sliced-wasserstein", num_samples=40, device="cpu")
    assert "40 real, 40 fake" in (run / "report.html").read_text(encoding="utf-8")
    done = command("evaluate", str(run), "--metric", "sliced-wasserstein", "-n", "48", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "48 real, 48 fake" in (run / "report.html").read_text(encoding="utf-8")


def test_runs_that_diverge_have_a_report(tmp_path: Path, registry: Registry) -> None:
    """The page names the status and the reason."""
    settings = (*SMALL, "optimizer.lr=1e30", "steps=40")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # alerts, which have tests of their own
        prepared = prepare.prepare(tiny(registry, *settings), registry)
        outcome = launch.start_run(prepared, out=tmp_path / "run", report=report_run)
    assert outcome.status == "diverged"
    text = read(tmp_path / "run" / "report.html").text
    assert "Diverged after" in text
    assert "is not a finite number" in text or "is not finite" in text


def test_a_report_that_fails_harms_no_run(tmp_path: Path, registry: Registry) -> None:
    """The run is finished, and one line names the error."""

    def broken(path: Path) -> None:
        raise ZeroDivisionError("no page\ntoday")

    prepared = prepare.prepare(tiny(registry, *SMALL), registry)
    with pytest.warns(UserWarning, match=r"^report\.html could not be written: no page today$"):
        outcome = launch.start_run(prepared, out=tmp_path / "run", report=broken)
    assert outcome.status == "finished"
    assert not (tmp_path / "run" / "report.html").exists()
