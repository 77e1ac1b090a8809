"""Pages of docs/ as the tests read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
#: A file that MkDocs includes. In this form it is not Python, so `ruff format` leaves it.
SNIPPET = re.compile(r"^--8<--\n(.+)\n--8<--\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Block of code in a page."""

    language: str
    title: str | None
    text: str


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return a page's blocks of code; files that it includes are inserted."""
    found = [
        Block(lang, title or None, SNIPPET.sub(lambda match: (ROOT / match[1]).read_text("utf-8"), text))
        for lang, title, text in BLOCK.findall(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if language in {None, block.language}]


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


#: Speeds and durations, which end a line of progress.
TIMES = re.compile(r" · [\d,]+ images/s.*| · [\d.]+ m?s · .*")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
#: Fingerprints, and the rules of tables, whose width depends on their cells.
VARYING = re.compile(r"\b[0-9a-f]{12}\b|(?<=[━─])[━─]+")


def assert_shown(shown: str, output: str, *, tolerance: float | None = None) -> None:
    """Check that the lines shown in a page are lines of the real output, in their order.

    Spaces, speeds, durations and fingerprints may differ. A line that ends with "…" is compared up to there.

    Args:
        shown: Block of the page.
        output: Output of the command.
        tolerance: Largest difference of a number; None to compare texts only.
    """
    lines = iter(output.splitlines())
    for line in filter(str.strip, shown.splitlines()):
        assert any(_is_alike(line, real, tolerance) for real in lines), f"{line!r} is not in:\n{output}"


def _is_alike(shown: str, real: str, tolerance: float | None) -> bool:
    shown, real = (" ".join(VARYING.sub("", TIMES.sub("", line)).split()) for line in (shown, real))
    forms = [NUMBER.sub("#", line) for line in (shown, real)]
    if shown.endswith("…"):
        return forms[1].startswith(forms[0].rstrip("… "))
    numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(line)] for line in (shown, real)]
    return forms[0] == forms[1] and (
        tolerance is None or all(abs(a - b) <= tolerance for a, b in zip(*numbers, strict=True))
    )
