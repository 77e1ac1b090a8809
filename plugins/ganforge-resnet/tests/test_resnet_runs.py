"""The plugin as a user meets it: installed, listed, trained, sampled."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

NETWORKS = ("--gen", "resnet", "--disc", "resnet", "--gen.base_channels", "4", "--disc.base_channels", "4")
SHORT = ("--data.source", "sample", "--steps", "3", "--batch-size", "4", "--precision", "fp32", "--device", "cpu")


def ganforge(*arguments: str) -> str:
    """Run the command line and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_with_its_distribution() -> None:
    """Once installed, `ganforge list` shows both networks and where they come from."""
    found = [entry for entry in json.loads(ganforge("list", "--json")) if entry["distribution"] == "ganforge-resnet"]
    assert {(entry["kind"], entry["name"], entry["version"]) for entry in found} == {
        ("discriminator", "resnet", "0.1.0"),
        ("generator", "resnet", "0.1.0"),
    }


@pytest.mark.parametrize("conditional", ["false", "true"])
def test_it_trains(tmp_path: Path, conditional: str) -> None:
    """A run ends, takes the paper's settings unless told otherwise, and can be sampled, by class where it knows any."""
    run, out = str(tmp_path / "run"), tmp_path / "images.npz"
    by_class = ("--gen.conditional", conditional, "--disc.conditional", conditional)
    summary = json.loads(ganforge("run", *NETWORKS, *by_class, *SHORT, "--out", run, "--json"))
    assert (summary["status"], summary["images_seen"]) == ("finished", 3 * 5 * 4)
    experiment = tomllib.loads(Path(run, "run.toml").read_text(encoding="utf-8"))
    for network in ("gen", "disc"):
        assert experiment["optimizer"][network]["betas"] == [0.0, 0.9]
    ganforge("sample", run, "-n", "4", "--out", str(out))
    with np.load(out) as drawn:
        assert drawn["images"].shape == (4, 28, 28, 1)
        assert ("labels" in drawn) == (conditional == "true")
