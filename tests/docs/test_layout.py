"""Laws of the repository's layout: tests mirror the package and do not import each other; all packages are typed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.runs import ROOT

TESTS = ROOT / "tests"
#: Folders of tests that are not parts of the package.
OTHERS = {"docs", "heavy", "helpers", "methods"}


def imported_modules(source: str) -> Iterator[str]:
    """Yield the modules that a program imports, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_tests(source: str) -> list[str]:
    """Return the imported modules of tests/ other than helpers."""
    return [
        name
        for name in imported_modules(source)
        if name == "conftest" or (name.split(".")[0] == "tests" and not name.startswith("tests.helpers."))
    ]


def test_no_test_imports_another_test() -> None:
    """Tests import each other's code from tests/helpers alone."""
    files = {file: imported_tests(file.read_text(encoding="utf-8")) for file in TESTS.rglob("*.py")}
    assert len(files) > 100
    assert {str(file.relative_to(ROOT)): names for file, names in files.items() if names} == {}


def test_imports_of_tests_are_found() -> None:
    """All forms of an import of a test are found; imports of helpers and of other packages are allowed."""
    source = """
import conftest, tests.runs.test_damage
from tests.helpers.runs import tiny
from tests.helpers import plugins
from testing import tests
def f():
    from tests.runs import test_damage
"""
    assert imported_tests(source) == ["conftest", "tests.runs.test_damage", "tests.runs.test_damage"]


def test_tests_mirror_the_package() -> None:
    """Each file of tests lies in a folder that the package has, too."""
    files = sorted(TESTS.rglob("test_*.py"))
    folders = {file.parent.relative_to(TESTS) for file in files} - {Path(name) for name in OTHERS}
    assert Path() not in folders
    assert [str(folder) for folder in sorted(folders) if not (ROOT / "ganforge" / folder).is_dir()] == []


def test_every_package_is_typed() -> None:
    """The package and each plugin ship py.typed, so that type checkers use their annotations."""
    packages = [file.parent for file in [ROOT / "ganforge/__init__.py", *ROOT.glob("plugins/*/ganforge_*/__init__.py")]]
    assert len(packages) > 10
    assert [package.name for package in packages if not (package / "py.typed").is_file()] == []
