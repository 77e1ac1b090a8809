"""Generators of the zoo: each opens, draws and carries its scores."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from ganforge import load
from ganforge.cli.app import app
from ganforge.errors import UsageError

BUNDLES = resources.files("ganforge_zoo") / "bundles"
NAMES = sorted(entry.name.removesuffix(".zip") for entry in BUNDLES.iterdir() if entry.name.endswith(".zip"))


@pytest.mark.parametrize("name", NAMES)
def test_each_generator_draws(name: str) -> None:
    """Its first images differ from each other, are the same every time, and come with scores and their reference."""
    run = load(f"zoo:{name}")
    images = run.sample(4).images
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4
    assert np.array_equal(images, load(f"zoo:{name}").sample(4).images)
    assert all(row.scores["fid"] is not None and row.reference["fid"] is not None for row in run.evaluations)
    assert run.evaluations


def test_pictures_of_the_zoo_and_of_a_bundle_have_different_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`zoo:digits` and a bundle digits.zip write into one folder without replacing each other's pictures."""
    monkeypatch.chdir(tmp_path)
    Path("digits.zip").write_bytes((BUNDLES / "digits.zip").read_bytes())
    for source in ("zoo:digits", "digits.zip"):
        with pytest.raises(SystemExit) as end:
            app(["sample", source, "-n", "4"])
        assert end.value.code == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "digits-sample-seed0.png",
        "zoo-digits-sample-seed0.png",
    ]


def test_bundles_are_small() -> None:
    """A generator has at most 1.5 MB."""
    assert NAMES
    assert all(len((BUNDLES / f"{name}.zip").read_bytes()) < 1_500_000 for name in NAMES)


def test_unknown_names_get_the_nearest() -> None:
    """A misspelled name is answered with the right one."""
    with pytest.raises(UsageError, match="no generator 'digit' in the zoo; did you mean 'digits'"):
        load("zoo:digit")
