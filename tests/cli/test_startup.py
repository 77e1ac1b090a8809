"""Laws of startup time: commands without networks, data and arrays import none of their libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.plugins import distribution, provides

HEAVY = ("torch", "torchvision", "numpy", "PIL")
#: Libraries and parts of ganforge that a list of components and of commands do without, although others need them.
UNUSED = (
    *("importlib.metadata", "packaging", "platformdirs", "tomllib", "rich.table", "rich.markdown", "pydantic.types"),
    *("ganforge.config", "ganforge.testing", "ganforge.training"),
)
COMMAND_LINE = "import sys; from ganforge.cli.app import main; sys.argv[0] = 'ganforge'; main()"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a plugin as one should be: its light module names a class in a heavy one."""
    folder = distribution(
        tmp_path_factory.mktemp("site"), "good-losses", provides("loss", "hinge", "good_losses_hinge:Hinge")
    )
    (folder / "good_losses_hinge.py").write_text("import torch, torchvision, numpy\nclass Hinge: pass\n")
    return folder


def imported(site: Path, program: str, *arguments: str) -> tuple[set[str], str]:
    """Run a program in a fresh process; return what it has imported when it ends, and its output."""
    said = site / "modules.json"
    at_exit = (
        "import atexit, json, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(said)!r}).write_text(json.dumps(list(sys.modules))))\n"
    )
    said.unlink(missing_ok=True)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", at_exit + program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert finished.stderr == ""
    return set(json.loads(said.read_text())), finished.stdout


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "list", "list --json", "run --help", "evaluate --help", "doctor --help", "describe --help"],
)
def test_light_commands(arguments: str, site: Path) -> None:
    """Help, version and lists are answered without torch or numpy, also with a good plugin installed and shown."""
    modules, printed = imported(site, COMMAND_LINE, *arguments.split())
    assert modules & set(HEAVY) == set()
    assert ("hinge" in printed) == (arguments in {"list", "list --json", "run --help"})
    assert printed.strip()


@pytest.mark.parametrize("arguments", ["--help", "--version", "list", "list loss", "list losses --json"])
def test_lists_import_what_they_need(arguments: str, site: Path) -> None:
    """Lists of commands and components import only the parts of ganforge and of libraries that they show."""
    modules, _ = imported(site, COMMAND_LINE, *arguments.split())
    assert modules & set(UNUSED) == set()


def test_importing_ganforge_is_light(site: Path) -> None:
    """`import ganforge`, its names for plugin authors and `dir()` import nothing heavy."""
    program = "import ganforge as g; g.hookimpl, g.Component, g.RunInfo, g.GanforgeError; dir(g)"
    assert imported(site, program)[0] & set(HEAVY) == set()


def test_the_instrument_sees(site: Path) -> None:
    """An imported heavy library is detected."""
    assert imported(site, "import numpy")[0] & set(HEAVY) == {"numpy"}
