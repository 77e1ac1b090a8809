"""Residual networks at the command line: listed, trained, sampled."""

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
    """Run the command line and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_with_its_distribution() -> None:
    """`ganforge list` shows both networks and the preset with the plugin's name and version."""
    entries = [entry for entry in json.loads(ganforge("list", "--json")) if entry["distribution"] == "ganforge-resnet"]
    assert {(entry["kind"], entry["name"], entry["version"]) for entry in entries} == {
        ("discriminator", "resnet", "0.1.0"),
        ("generator", "resnet", "0.1.0"),
        ("preset", "best", "0.1.0"),
    }


@pytest.mark.parametrize("conditional", ["false", "true"])
def test_it_trains(tmp_path: Path, conditional: str) -> None:
    """A run finishes, has the paper's settings by default, and can be sampled, with classes if it is conditional."""
    run, out = str(tmp_path / "run"), tmp_path / "images.npz"
    by_class = ("--gen.conditional", conditional, "--disc.conditional", conditional)
    summary = json.loads(ganforge("run", *NETWORKS, *by_class, *SHORT, "--out", run, "--json"))
    assert (summary["status"], summary["images_seen"]) == ("finished", 3 * 5 * 4)
    experiment = tomllib.loads(Path(run, "run.toml").read_text(encoding="utf-8"))
    for network in ("gen", "disc"):
        assert experiment["optimizer"][network]["adam"]["betas"] == [0.0, 0.9]
    ganforge("sample", run, "-n", "4", "--out", str(out))
    with np.load(out) as drawn:
        assert drawn["images"].shape == (4, 28, 28, 1)
        assert ("condition" in drawn) == (conditional == "true")


def test_the_authors_command_of_the_readme(tmp_path: Path) -> None:
    """Flags of the README's command of the authors' training: larger batches of G, and a linear decay of both rates."""
    flags = ("--generator-batch-size", "8", "--optimizer.schedule", "linear", "--log-every", "1")
    ganforge("run", *NETWORKS, *SHORT, *flags, "--critic-steps", "1", "--out", str(tmp_path / "run"), "--quiet")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for network in ("gen", "disc"):
        assert [row[f"lr/{network}"] for row in rows] == pytest.approx([2e-4, 2e-4 * 2 / 3, 2e-4 / 3])


def test_the_preset_best_trains_by_class(tmp_path: Path) -> None:
    """Preset `best` trains small conditional networks with the hinge loss, and its learning rates end at 0."""
    run = tmp_path / "run"
    ganforge("run", "--preset", "best", *SHORT, "--log-every", "1", "--out", str(run), "--quiet")
    experiment = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    assert experiment["loss"]["name"] == "hinge"
    assert all(experiment[network]["resnet"]["conditional"] for network in ("gen", "disc"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for network in ("gen", "disc"):
        assert [row[f"lr/{network}"] for row in rows] == pytest.approx([1e-3, 7.5e-4, 2.5e-4])
