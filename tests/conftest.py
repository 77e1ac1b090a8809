"""What many tests share."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # processes that share the cores wait for each other's threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_parts import in_process

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.plugins.registry import Registry
from ganforge.training.build import GANComponents, build
from ganforge.utils.files import read_rows

ROOT = Path(__file__).parents[1]
TIMES = ("images_per_second", "elapsed_seconds", "seconds")


def tiny(registry: Registry, *settings: str) -> ResolvedConfig:
    """Resolve settings as on the command line, on the sample that ships and in float32 unless told otherwise."""
    return resolve([command_line_layer(["data.source=sample", "precision=fp32", "device=cpu", *settings])], registry)


def read_rows_without_times(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows without what the clock says."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(path)]


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
    """Return the registry with ganforge's own plugin alone."""
    return Registry.discover(no_plugins=True)


@pytest.fixture
def assemble(registry: Registry) -> Callable[..., GANComponents]:
    """Build an gan from settings as on the command line, on the sample that ships unless told otherwise."""

    def make(*settings: str) -> GANComponents:
        return build(tiny(registry, *settings))

    return make


@pytest.fixture
def ganforge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line in a process of its own."""
    return lambda *arguments, **environment: in_process(Path.cwd(), *arguments, **environment)
