"""What many tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.assembly import Assembly, build, resolve
from ganforge.config import command_line_layer
from ganforge.registry import Registry

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test looks for data outside itself, nor on the network; each has an empty working folder."""
    for name in list(os.environ):
        if name.startswith("GANFORGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry() -> Registry:
    """The registry with ganforge's own plugin alone."""
    return Registry.discover(no_plugins=True)


@pytest.fixture
def assemble(registry: Registry) -> Callable[..., Assembly]:
    """Build an assembly from settings as on the command line, on the sample that ships unless told otherwise."""

    def make(*settings: str) -> Assembly:
        return build(resolve([command_line_layer(["data.source=sample", *settings])], registry))

    return make


@pytest.fixture
def ganforge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line in a process of its own."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "ganforge", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env={**os.environ, "COLUMNS": "200", **environment},
        )

    return run
