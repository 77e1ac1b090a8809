"""docs/from-the-tutorial.md shows the whole script, and real commands with their output; the Korean pages agree."""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.docs import DOCS, ROOT, assert_shown, blocks

PAGE = DOCS / "from-the-tutorial.md"
SCRIPT = "examples/textbook_gan.py"
#: A loss after forty steps of an MLP GAN differs by less between two processors.
TOLERANCE = 0.1

Ganforge = Callable[..., subprocess.CompletedProcess[str]]


def test_listings_are_the_whole_script() -> None:
    """The listings, in their order, are the script from its first function on."""
    rest = (ROOT / SCRIPT).read_text(encoding="utf-8").partition("def networks(")
    code = "".join(rest[1:])
    for block in blocks(PAGE, "python"):
        if block.title == SCRIPT:
            before, found, code = code.partition(block.text)
            assert found, f"not in the script, or out of order:\n{block.text}"
            assert not before.strip(), f"in no listing:\n{before}"
    assert not code.strip(), f"in no listing:\n{code}"


@pytest.mark.slow
def test_commands_give_the_shown_output(ganforge: Ganforge) -> None:
    """Each command and each Python block that is followed by output gives that output."""
    executed = 0
    for block, following in pairwise(blocks(PAGE)):
        if following.language == "text" and block.language in {"bash", "python"}:
            output = run(block.text, ganforge) if block.language == "bash" else evaluate(block.text)
            assert_shown(following.text, output, tolerance=TOLERANCE)
            executed += 1
    assert executed == 4
    folder = Path("runs/mlp-mlp-bce-mnist-001")
    (files,) = (block.text for block in blocks(PAGE, "text") if block.text.startswith(f"{folder}/run.toml"))
    assert [file for file in files.splitlines() if not Path(file).exists()] == []
    configuration = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    for block in blocks(PAGE, "toml"):
        assert_part(tomllib.loads(block.text), configuration)


def run(command: str, ganforge: Ganforge) -> str:
    """Run a command of the page on the CPU, on the digits that ship; return what a terminal shows."""
    words = shlex.split(command)[1:]
    done = ganforge(*words, *["--data.source", "sample"] * (words[0] == "run"), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def evaluate(source: str) -> str:
    """Run Python code of the page and return its output."""
    with redirect_stdout(StringIO()) as output:
        exec(compile(source, PAGE.name, "exec"), {})  # noqa: S102 - our own page
    return output.getvalue()


def assert_part(part: dict[str, Any], whole: dict[str, Any]) -> None:
    """Check that a table's values are those of another table, which may have more."""
    for key, value in part.items():
        if isinstance(value, dict):
            assert_part(value, whole[key])
        else:
            assert whole[key] == value, key


@pytest.mark.parametrize("name", [page.name for page in sorted((DOCS / "ko").glob("*.md"))])
def test_korean_pages_have_the_code_of_the_english_ones(name: str) -> None:
    """A Korean page has the same blocks of code in the same order."""
    assert blocks(DOCS / "ko" / name) == blocks(DOCS / name)
