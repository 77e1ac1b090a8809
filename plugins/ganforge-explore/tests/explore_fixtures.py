"""Trained runs and a running page that all tests of the distribution share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from explore_parts import PLUGIN, Served, served, train


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the local plugin."""
    path = tmp_path_factory.mktemp("plugin") / "layered.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the textbook's DCGAN."""
    small = ("--gen", "dcgan", "--gen.base_channels", "4", "--data.source", "sample")
    return train(tmp_path_factory.mktemp("runs") / "digits", *small)


@pytest.fixture(scope="session")
def layered(tmp_path_factory: pytest.TempPathFactory, plugin: Path) -> Path:
    """Return a run with classes, a space w, fields and truncation."""
    parts = ("--gen", "layered", "--gen.latent_dim", "6", "--latent", "codes", "--data.source", "sample")
    return train(tmp_path_factory.mktemp("runs") / "layered", *parts, "--plugin", plugin)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory, plugin: Path) -> Path:
    """Return a run with two numbers as the condition of each image."""
    return train(
        tmp_path_factory.mktemp("runs") / "vectors", "--gen", "layered", "--data", "vectors", "--plugin", plugin
    )


@pytest.fixture(scope="session")
def page(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the run of the textbook's DCGAN."""
    with served(digits, folder=tmp_path_factory.mktemp("cwd")) as running:
        yield running
