"""Laws of a comparison's page: nothing in it is fetched, no text of runs becomes markup, and it stays small."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ganforge as package
from ganforge.report.comparison.result import MAX_LINES, MAX_PICTURES
from tests.helpers.comparisons import made, scored

HOSTILE = "\"'></td></script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}&amp;\u202e\x1b[31m"
MAX_BYTES = 5_000_000


class Outline(HTMLParser):
    """Elements of a page with the names of their attributes, its text, and the values of its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.contents: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data"}]
        self.contents += [value or "" for name, value in attrs if name == "content"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def runs_called(folder: Path, word: str) -> Path:
    """Write two runs in whose every word that people or plugins choose this one stands."""
    name = re.sub(r"[/\x00]", "_", word)
    written = json.dumps(word)
    for seed, loss in enumerate((word, "bce")):
        protocol = {"data": word, "split": f"{word}{seed}"}
        made(
            folder / f"{name}-{seed}",
            f"loss={loss}",
            f"best={written}",
            f"gen.mlp.note={json.dumps(f'{word}{seed}')}",
            seed=seed,
            rows=[scored(10, 2.0, score=word, **protocol), scored(20, 1.0, score=word, **protocol)],
            manifest={
                "error": word,
                "plugins": [{"distribution": word, "version": f"{word}{seed}", "path": word, "sha256": word}],
            },
            grids=1,
        )
    return folder


@pytest.mark.parametrize("form", ["html", "_repr_html_"])
def test_text_of_runs_is_escaped_in_comparison_page(form: str, tmp_path: Path) -> None:
    """With the most hostile words a page has the same elements and attributes, in order, as with harmless ones."""
    pages = []
    for folder, word in (("good", "word"), ("evil", HOSTILE)):
        comparison = package.compare(runs_called(tmp_path / folder, word))
        pages.append(Outline(getattr(comparison, form)()))
    good, evil = pages
    assert len(good.elements) > 20
    assert evil.elements == good.elements
    assert any("<script>alert(1)</script>" in text for text in evil.text)
    assert any("{{ 7*7 }}{% raw %}" in text for text in evil.text)


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    """Every address in it is a part of the page or data within it, and a policy forbids all others."""
    outline = Outline(package.compare(runs_called(tmp_path, "word")).html())
    assert all(address.startswith(("#", "data:,", "data:image/png;base64,")) for address in outline.addresses)
    assert any(policy.startswith("default-src 'none'") for policy in outline.contents)


def test_a_notebook_shows_the_table_alone(tmp_path: Path) -> None:
    """`_repr_html_` is a table and the notes, without a script or a page around it."""
    outline = Outline(package.compare(runs_called(tmp_path, "word"))._repr_html_())
    tags = {tag for tag, _ in outline.elements}
    assert "table" in tags
    assert tags.isdisjoint({"script", "style", "html", "body"})


def test_large_grids_make_no_large_page(tmp_path: Path) -> None:
    """Forty groups with megabytes of samples each: the page holds what fits, names the rest, and stays below 5 MB."""
    for number in range(40):
        made(tmp_path / f"run-{number:02d}", f"steps={number + 1}", rows=[scored(5, 1.0), scored(9, 2.0)])
    big = made(tmp_path / "first", "steps=99", grids=1, side=1200)
    grid = next((big / "samples").glob("*.png"))
    for number in range(40):
        (tmp_path / f"run-{number:02d}" / "samples" / grid.name).hardlink_to(grid)
    page = package.compare(tmp_path).html()
    assert grid.stat().st_size > 1_000_000
    assert len(page.encode()) < MAX_BYTES
    assert page.count('<figure class="card">') == MAX_PICTURES
    assert f"{MAX_PICTURES} of 41 groups are shown" in page
    assert f"The first {MAX_LINES} groups are drawn" in page


def test_a_damaged_grid_is_left_out(tmp_path: Path) -> None:
    """The next seed's samples stand in for a picture that cannot be read."""
    for seed in (0, 1):
        run = made(tmp_path / f"run-{seed}", seed=seed, grids=1)
        if seed == 0:
            next((run / "samples").glob("*.png")).write_bytes(b"no picture")
    page = package.compare(tmp_path).html()
    assert "run-1, step 0" in page
    (uri,) = re.findall(r'<img class="pixels" src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(uri).startswith(b"\x89PNG")
