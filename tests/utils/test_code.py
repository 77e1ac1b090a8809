"""Hashes of code: what a class computes changes them, and nothing else does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganforge.builtin.metrics.fid import Fid, FidInfinity
from ganforge.utils.code import code_sha256

FILES = {
    "__init__.py": "",
    "scores.py": '''"""Scores."""

import math
from . import parts
from scored.numbers import SCALE, unused as other

OFFSET = 3


class Base:
    def shift(self):
        return OFFSET


class Score(Base):
    """A score."""

    def compute(self):
        # the sum
        return helper(self.shift()) * math.pi


def helper(value):
    return SCALE * parts.double(value)


def stranger():
    return 7
''',
    "numbers.py": "SCALE = 2\nunused = 5\n",
    "parts.py": "def double(value):\n    return value + value\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a package that can be imported."""
    folder = tmp_path / "scored"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    unload()


def unload() -> None:
    """Remove the package from the loaded modules."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scored"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def fresh_hash() -> str | None:
    """Import the package and return the hash of its score."""
    unload()
    cls: type = importlib.import_module("scored.scores").Score
    return code_sha256(cls)


@pytest.mark.parametrize(
    ("file", "old", "new", "differs"),
    [
        ("scores.py", "* math.pi", "* math.e", True),
        ("scores.py", "OFFSET = 3", "OFFSET = 4", True),
        ("scores.py", "return OFFSET", "return -OFFSET", True),
        ("scores.py", "return SCALE *", "return SCALE +", True),
        ("numbers.py", "SCALE = 2", "SCALE = 3", True),
        ("parts.py", "value + value", "value * value", True),
        ("scores.py", "# the sum", "# the product\n", False),
        ("scores.py", '"""A score."""', '"""A number.\n\n    Really.\n    """', False),
        ("scores.py", "return 7", "return 8", False),
        ("numbers.py", "unused = 5", "unused = 6", False),
    ],
)
def test_code_that_a_class_depends_on_changes_its_hash(
    *, file: str, old: str, new: str, differs: bool, package: Path
) -> None:
    """Methods, bases, constants and helpers count, in any module of the package; comments and other code do not."""
    before = fresh_hash()
    content = FILES[file]
    assert content.count(old) == 1
    (package / file).write_text(content.replace(old, new))
    assert (fresh_hash() != before) is differs


def test_classes_of_one_file_have_hashes_of_their_own() -> None:
    """Two metrics of a file differ, and one has the same hash every time."""
    assert code_sha256(Fid) == code_sha256(Fid) != code_sha256(FidInfinity)


def test_a_class_without_a_file_has_no_hash() -> None:
    """A class that was typed into an interpreter has no source."""
    scope: dict[str, type] = {}
    exec("class Typed: pass", {"__name__": "typed"}, scope)  # noqa: S102 - as an interpreter does
    assert code_sha256(scope["Typed"]) is None
