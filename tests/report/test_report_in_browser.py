"""Laws of reports in a real browser: interaction, appearance, security."""

from __future__ import annotations

import base64
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganforge.report import report_folder, report_run
from ganforge.report.comparison import compare
from tests.helpers.run_directories import MANIFEST, evaluation, make_run, protocol, row, write_rows

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="there is no Playwright: python -m pip install '.[browser]'"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="there is no axe: python -m pip install '.[browser]'"
)

PHONE, DESK = (360, 740), (1280, 900)


class Visit:
    """Page in a browser, with its errors and requests."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self.requests.append(request.url))

    def _dismiss(self, dialog: Any) -> None:
        """Close a dialog, which is an error."""
        self.errors.append("a dialog")
        dialog.dismiss()

    def open(self, path: Path) -> Visit:
        """Show a file."""
        self.page.goto(path.resolve().as_uri())
        return self


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one browser for all tests."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open pages in windows of a size and a color scheme, and check that they have no errors and no requests."""
    made: list[Visit] = []
    contexts: list[Any] = []

    def opened(path: Path, *, size: tuple[int, int] = DESK, **settings: Any) -> Visit:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
        contexts.append(context)
        made.append(Visit(context.new_page()))
        return made[-1].open(path)

    yield opened
    for seen in made:
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in seen.requests if url.startswith("file:")]) == 1
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the report of a run."""
    return report_run(make_run(tmp_path_factory.mktemp("runs") / "run")).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the page of a folder of runs with incomparable scores."""
    runs = tmp_path_factory.mktemp("runs")
    for name in ("one", "two", "a-run-with-a-name-that-is-as-long-as-names-of-runs-can-well-be-without-much-thought"):
        make_run(runs / name)
    write_rows(runs / "two" / "evaluation.jsonl", [evaluation(9, 5.0, protocol=protocol(split="train"))])
    return report_folder(runs).path


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Path:
    """Make the page that compares the runs of the folder."""
    path = folder.parent.parent / "comparison.html"
    compare(folder.parent).save(path)
    return path


# Interaction


def test_pointing_shows_values(report: Path, visit: Open) -> None:
    """The readout at the pointer has the step and both losses of metrics.jsonl; elsewhere it is hidden."""
    page = visit(report).page
    chart = page.locator("figure.chart").first
    readout = chart.locator(".readout")
    assert not readout.is_visible()
    box = chart.locator(".pointer").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    assert readout.is_visible()
    assert readout.inner_text().split()[::2] == ["step", "discriminator", "generator"]
    assert readout.inner_text().split()[1] == "500"
    values = [float(value) for value in readout.locator("span > b").all_inner_texts()]
    assert values == pytest.approx([row(49)[f"loss/{name}"] for name in ("discriminator", "generator")], abs=1e-4)
    mark = chart.locator("circle.mark").first.bounding_box()
    assert mark["x"] + mark["width"] / 2 == pytest.approx(box["x"] + box["width"] * 0.5, abs=3)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] - 300)
    assert not readout.is_visible()


def test_the_mark_lies_on_the_line(report: Path, visit: Open) -> None:
    """The script's mark and the drawn curve agree at the first point of a chart."""
    page = visit(report).page
    chart = page.locator("figure.chart").first
    chart.locator(".pointer").focus()
    page.keyboard.press("Home")
    mark = chart.locator("circle.mark.c0").bounding_box()
    start = chart.locator(".line.c0").first.evaluate(
        "line => { const p = line.getPointAtLength(0).matrixTransform(line.getScreenCTM()); return [p.x, p.y]; }"
    )
    assert [mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2] == pytest.approx(start, abs=1)


def test_curves_are_read_by_keyboard(report: Path, visit: Open) -> None:
    """A curve takes the focus; arrows move from row to row, Home and End to its ends; the values are accessible."""
    page = visit(report).page
    chart = page.locator("figure.chart").first
    pointer = chart.locator(".pointer")
    pointer.focus()
    page.keyboard.press("Home")
    assert pointer.get_attribute("aria-valuetext").startswith("step 10, discriminator 0.7, generator 1")
    page.keyboard.press("ArrowRight")
    assert pointer.get_attribute("aria-valuetext").startswith("step 20, ")
    assert "step 20" in chart.locator(".readout").inner_text()
    page.keyboard.press("End")
    assert pointer.get_attribute("aria-valuetext").startswith("step 1,000, ")
    box = chart.locator(".area").bounding_box()
    readout = chart.locator(".readout").bounding_box()
    assert readout["x"] >= box["x"]
    assert readout["x"] + readout["width"] <= box["x"] + box["width"]


def test_smoothing_slider_draws_all_curves_again(report: Path, visit: Open) -> None:
    """The script's lines are the page's at its weight; at 0 a smoothed line is the raw one; all sliders agree."""
    page = visit(report).page
    chart = page.locator("figure.chart").first

    def numbers(kind: str) -> list[float]:
        path = chart.locator(f"path.line.{kind}.c0").get_attribute("d")
        return [float(number) for number in re.findall(r"-?[\d.]+", path)]

    drawn = numbers("trend")
    sliders = page.locator(".smoothing input")
    assert sliders.count() == 2
    assert [sliders.nth(index).input_value() for index in (0, 1)] == ["0.6", "0.6"]
    assert drawn != pytest.approx(numbers("raw"), abs=0.2)
    sliders.first.fill("0")
    assert numbers("trend") == pytest.approx(numbers("raw"), abs=0.2)
    assert page.locator(".smoothing output").all_inner_texts() == ["0", "0"]
    sliders.nth(1).fill("0.6")
    assert numbers("trend") == pytest.approx(drawn, abs=0.2)
    assert sliders.first.input_value() == "0.6"
    assert page.locator("figure.chart", has_text="Learning rates").locator("path.trend").count() == 0


def test_the_slider_shows_all_grids(report: Path, visit: Open) -> None:
    """The newest grid is shown first; the slider shows each grid unchanged; Play runs to the end."""
    page = visit(report).page
    image, slider = page.locator(".through-time img"), page.locator(".through-time input")
    samples = sorted((report.parent / "samples").iterdir())
    assert pixels(image.get_attribute("src")) == pixels(samples[-1])
    slider.focus()
    page.keyboard.press("Home")
    assert pixels(image.get_attribute("src")) == pixels(samples[0])
    assert image.get_attribute("alt") == "Samples, step 0, epoch 0.0"
    page.keyboard.press("ArrowRight")
    assert pixels(image.get_attribute("src")) == pixels(samples[1])
    assert page.locator(".through-time output").inner_text() == "step 10, epoch 0.1"
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert page.locator(".through-time output").inner_text() == "step 50, epoch 0.5"
    assert image.evaluate("image => image.naturalWidth") == 74


def pixels(source: str | Path) -> bytes:
    """Return the pixels of a file or a data URI."""
    content = source.read_bytes() if isinstance(source, Path) else base64.b64decode(source.partition(",")[2])
    return Image.open(io.BytesIO(content)).tobytes()


# Appearance


def test_dark_is_dark(report: Path, visit: Open) -> None:
    """The page follows the system's color scheme, with line colors for each."""
    brightness = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3"
    line = "getComputedStyle(document.querySelector('.line.c0')).stroke"
    seen = {}
    for scheme in ("light", "dark"):
        page = visit(report, color_scheme=scheme).page
        seen[scheme] = [page.evaluate(brightness.format(name)) for name in ("backgroundColor", "color")]
        seen[scheme].append(page.evaluate(line))
    assert (seen["light"][0] > 230, seen["light"][1] < 60) == (True, True)
    assert (seen["dark"][0] < 40, seen["dark"][1] > 200) == (True, True)
    assert seen["light"][2] != seen["dark"][2]


@pytest.mark.parametrize("size", [(320, 600), PHONE, DESK])
def test_nothing_is_wider_than_the_screen(report: Path, folder: Path, size: tuple[int, int], visit: Open) -> None:
    """Even on the narrowest phone, only tables scroll sideways, within themselves; labels of an axis never overlap."""
    for path in (report, folder):
        page = visit(path, size=size).page
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        boxes = page.evaluate(
            """() => [...document.querySelectorAll('.area')].map(area =>
                [...area.querySelectorAll('text')].map(text => text.getBoundingClientRect())
                    .filter(box => box.width > 0).map(box => [box.left, box.right]))"""
        )
        for chart in boxes:
            assert all(left[1] < right[0] for left, right in itertools.pairwise(chart))


#: Texts of the cells of tables that lie beyond the tables' edges.
BEYOND = """() => [...document.querySelectorAll('.scroll')].flatMap(scroll =>
    [...scroll.querySelectorAll('th, td')]
        .filter(cell => cell.getBoundingClientRect().right > scroll.getBoundingClientRect().right + 1)
        .map(cell => cell.innerText))"""


def test_the_usual_scores_fit(tmp_path: Path, visit: Open) -> None:
    """All columns of a run's scores fit on a phone, and all columns of a folder of such runs on a laptop."""
    usual = {"fid": 19.9, "precision": 0.7305, "recall": 0.507, "modes": 10, "modes-divergence": 0.03562, "kid": 0.9113}
    numbers = {"scores": usual, "reference": usual | {"kid": -0.006908}}
    facts = {"distribution": "ganforge", "options": {}, "needs": ["features"]}
    measured = protocol(metrics={name: facts | {"higher_is_better": {name: True}} for name in usual})
    details = {"kid": {"deviation": 0.06412}}
    run = make_run(tmp_path / "runs" / "dcgan-dcgan-bce-mnist-001")
    write_rows(run / "evaluation.jsonl", [evaluation(400, 1.0, **numbers, details=details, protocol=measured)])
    assert visit(report_run(run).path, size=(390, 844)).page.evaluate(BEYOND) == []
    assert visit(report_folder(run.parent).path, size=DESK).page.evaluate(BEYOND) == []


def test_a_phone_shows_every_column(report: Path, folder: Path, comparison: Path, visit: Open) -> None:
    """At 390 pixels no cell of a table lies beyond its edge, and runs of a folder have each number with its name."""
    for path in (report, folder, comparison):
        assert visit(path, size=(390, 844)).page.evaluate(BEYOND) == []
    cells = visit(folder, size=(390, 844)).page.locator(".runs tbody tr").first.locator("td[data-label]")
    assert "steps" in [cells.nth(index).get_attribute("data-label") for index in range(cells.count())]
    shown = [cells.nth(index) for index in range(cells.count()) if cells.nth(index).inner_text()]
    assert all(cell.is_visible() for cell in shown)
    line = "cell => getComputedStyle(cell, '::before').content"
    assert [cell.evaluate(line) for cell in shown] == [f'"{cell.get_attribute("data-label")}"' for cell in shown]


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_pages_are_accessible(report: Path, folder: Path, size: tuple[int, int], scheme: str, visit: Open) -> None:
    """Every applicable rule of axe holds, with all details open: contrast, names, landmarks, headings."""
    for path in (report, folder):
        page = visit(path, size=size, color_scheme=scheme).page
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        found = axe.Axe().run(page).response
        assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]] == []
        ran = {rule["id"] for rule in found["passes"]}
        assert {"color-contrast", "html-has-lang", "landmark-one-main", "image-alt", "landmark-unique"} <= ran
        assert size == DESK or "scrollable-region-focusable" in ran


def test_the_page_is_complete_without_script(report: Path, visit: Open) -> None:
    """Without scripts the page has the newest samples, every curve, and no dead controls."""
    page = visit(report, java_script_enabled=False).page
    assert page.locator(".through-time img").is_visible()
    assert page.locator("figure.chart .line").count() > 6
    assert page.locator("input, button").count() == 0


def test_it_can_be_printed(report: Path, visit: Open) -> None:
    """A printed page has no controls."""
    page = visit(report).page
    page.emulate_media(media="print")
    assert page.locator("figure.chart .line").first.is_visible()
    assert not page.get_by_role("button").is_visible()
    assert not page.locator(".through-time input").is_visible()


# Hostile content


HOSTILE = (
    "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
    "</style><style>body{display:none}</style>'\"`--><svg onload=document.title='hacked'>\u2028\u2029"
)


def test_nothing_hostile_runs(tmp_path: Path, visit: Open) -> None:
    """Markup in a configuration, a plugin and rows is shown as text, and the page works."""
    manifest = {
        key: [{"distribution": HOSTILE, "alert": HOSTILE, "message": HOSTILE, "hint": HOSTILE}]
        if key in {"plugins", "health"}
        else {HOSTILE: HOSTILE, "gen": HOSTILE}
        if key in {"components", "versions", "hardware", "origins"}
        else HOSTILE
        for key in MANIFEST
    }
    run = make_run(tmp_path / "run", manifest=manifest)
    write_rows(run / "metrics.jsonl", [{"step": step, HOSTILE: 1.0, f"loss/{HOSTILE}": step} for step in range(9)])
    scores = [evaluation(step, 1.0, scores={HOSTILE: step}, protocol=protocol(split=HOSTILE)) for step in range(3)]
    write_rows(run / "evaluation.jsonl", scores)
    page = visit(report_run(run).path).page
    title = page.title()
    chart = page.locator("figure.chart").first
    chart.locator(".pointer").focus()
    assert "<script>" in chart.locator(".readout").inner_text()
    page.wait_for_timeout(50)
    assert page.title() == title
    assert page.locator("h1").is_visible()
    assert page.locator("[onerror], [onload]").count() == 0
    page = visit(report_folder(tmp_path).path).page
    assert page.locator("table.runs").is_visible()
    assert page.title() != "hacked"


def test_the_policy_stops_what_slips_in(report: Path, tmp_path: Path, browser: Any) -> None:
    """Injected markup cannot run a script or send a request."""
    text = report.read_text(encoding="utf-8")
    slipped = (
        "<script>document.title = 'hacked'</script><img src='http://127.0.0.1:9/x' onerror=\"document.title='hacked'\">"
    )
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace('<main id="content">', f'<main id="content">{slipped}'), encoding="utf-8")
    page = browser.new_page()
    requested: list[str] = []
    page.on("requestfinished", lambda request: requested.append(request.url))
    page.goto(changed.as_uri())
    assert "hacked" not in page.title()
    assert [url for url in requested if url.startswith("http")] == []
    assert page.locator(".pointer").count() > 0, "the page's own script still runs"
    page.close()
