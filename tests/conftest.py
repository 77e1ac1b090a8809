"""Fixtures of all tests."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # processes that share the cores wait for each other's threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from ganforge.training.build import GANComponents, build
from tests.helpers.plugins import in_process
from tests.helpers.runs import tiny

# Background jobs of a script ignore SIGINT, those of nohup SIGHUP, and their children would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test an empty working folder and cache, without network and settings of the environment."""
    for name in list(os.environ):
        if name.startswith("GANFORGE_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # set by the entry point for its children
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry() -> Registry:
    """Return the registry with ganforge's own plugin alone."""
    return Registry.discover(no_plugins=True)


@pytest.fixture
def assemble(registry: Registry) -> Callable[..., GANComponents]:
    """Build a GAN from settings as on the command line, on the sample that ships by default."""

    def make(*settings: str) -> GANComponents:
        return build(tiny(registry, *settings))

    return make


@pytest.fixture
def ganforge() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line in a process of its own."""
    return lambda *arguments, **environment: in_process(Path.cwd(), *arguments, **environment)
