"""Form of docs/: five groups, titles that agree with the navigation, one sentence per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.docs import BLOCK, DOCS, ROOT

ENGLISH = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *DOCS.glob("recipes/*.md")]
#: End of a sentence within a line, unless it is that of an initial or an abbreviation.
END = re.compile(r"(?<!\b[A-Z])(?<!et al)[.!?]\)?(?:\*\*)? +(?=[A-Z`\"(*\[])")
CODE = re.compile(r"`[^`]*`")


class Loader(yaml.SafeLoader):
    """Loader that reads the names of Python functions in mkdocs.yml as text."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, suffix, _node: suffix)
NAVIGATION: list[dict[str, Any]] = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)["nav"]  # noqa: S506


def pages(entries: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the titles and the pages of a navigation, groups within groups included."""
    for entry in entries:
        for title, content in entry.items():
            if isinstance(content, str):
                yield title, content
            else:
                yield from pages(content)


def test_navigation_has_five_groups() -> None:
    """The site is a home page and five groups, and has every page once."""
    assert [title for entry in NAVIGATION for title in entry] == [
        "Home",
        "Getting started",
        "User guide",
        "Plugin author guide",
        "Reference",
        "Internals",
    ]
    listed = [path for _, path in pages(NAVIGATION)]
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_titles_are_those_of_the_navigation() -> None:
    """Each page's heading is its title in the navigation."""
    for title, path in pages(NAVIGATION):
        heading = (DOCS / path).read_text(encoding="utf-8").splitlines()[0]
        assert heading == ("# ganforge" if title == "Home" else f"# {title}")


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.name)
def test_one_sentence_per_line(page: Path) -> None:
    """A line of prose, outside of tables, has one sentence."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    lines = [re.sub(r"^ *\d+\. ", "", line) for line in text.splitlines() if not line.startswith(("|", "    "))]
    assert [line for line in lines if END.search(CODE.sub("c", line))] == []
