"""The methods in tests/methods pass the conformance kit; a file of its own, since it takes as long as all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.methods_worker import FOLDER
from tests.helpers.plugins import command

FILES = sorted(FOLDER.glob("*.py"))


SLOW = ("gat",)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem) for path in FILES],
)
def test_method_conforms(path: Path) -> None:
    """`check` finds no failure in any component of the file."""
    checked = command("check", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
