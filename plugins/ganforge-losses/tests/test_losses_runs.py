"""Losses and penalties at the command line: recommendations, training, columns of metrics.jsonl."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

SMALL = (
    *("--gen", "mlp", "--gen.hidden", "[16]", "--disc", "mlp", "--disc.hidden", "[16]", "--disc.dropout", "0"),
    *("--data.source", "sample", "--batch-size", "10", "--precision", "fp32", "--device", "cpu", "--steps", "4"),
)
LOCAL = """
from ganforge import Component, LossTerm, hookimpl

class Mine(LossTerm):
    phases = ("disc",)

    def forward(self, step):
        return step.real.flatten(1).sum(1) * 0

@hookimpl
def ganforge_components():
    return [Component(kind="term", name=name, target=Mine) for name in ("r1", "gradient-penalty")]
"""
GAIN = """
import torch
from ganforge import Augmentation, Component, hookimpl

class Gain(Augmentation):
    def sample_parameters(self, images, step, *, real):
        return 1 + torch.rand(len(images), 1, 1, 1, generator=step.rng).to(images)

    def forward(self, images, parameters):
        return images * parameters

@hookimpl
def ganforge_components():
    return [Component(kind="augmentation", name="gain", target=Gain)]
"""


def ganforge(*arguments: str) -> dict[str, Any]:
    """Run the command line and return its JSON output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ganforge", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def train(folder: Path, *arguments: str) -> tuple[Path, list[dict[str, float]]]:
    """Train tiny networks for four steps; return the run directory and its four rows of metrics."""
    outcome = ganforge("run", *SMALL, *arguments, "--log-every", "1", "--out", str(folder / "run"))
    assert (outcome["status"], outcome["steps"]) == ("finished", 4)
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(math.isfinite(value) for row in rows for value in row.values())
    return folder / "run", rows


def test_wasserstein_gp_recommends_its_papers_settings() -> None:
    """The plan has the penalty with weight 10, five critic steps and Adam's betas, and names their origin."""
    plan = ganforge("run", *SMALL, "--loss", "wasserstein-gp", "--dry-run")
    experiment, origin = plan["experiment"], "recommended by loss wasserstein-gp"
    terms = [item for item in plan["components"] if item["kind"] == "term"]
    assert [(item["name"], item["distribution"], item["origin"]) for item in terms] == [
        ("gradient-penalty", "ganforge-losses", origin)
    ]
    assert experiment["term"]["names"] == ["gradient-penalty"]
    options = {"weight": 10.0, "every": 1, "own_step": False, "target": 1.0, "one_sided": False}
    assert experiment["term"]["gradient-penalty"] == options
    assert experiment["critic_steps"] == 5
    for network in ("gen", "disc"):
        optimizer = experiment["optimizer"][network]["adam"]
        assert (optimizer["lr"], optimizer["betas"]) == (1e-4, [0.0, 0.9])
    keys = ["term", "term.gradient-penalty.weight", "critic_steps", "optimizer.gen.betas", "optimizer.disc.lr"]
    assert {plan["origins"][key] for key in keys} == {origin}


def test_wasserstein_recommends_rmsprop() -> None:
    """The plan has five critic steps and RMSprop with learning rate 5e-5; settings of the user win."""
    plan = ganforge("run", *SMALL, "--loss", "wasserstein", "--critic-steps", "2", "--dry-run")
    for network in ("gen", "disc"):
        optimizer = plan["experiment"]["optimizer"][network]
        assert (optimizer["name"], optimizer["rmsprop"]["lr"]) == ("rmsprop", 5e-5)
        assert plan["origins"][f"optimizer.{network}.lr"] == "recommended by loss wasserstein"
    assert (plan["experiment"]["critic_steps"], plan["origins"]["critic_steps"]) == (2, "command line")
    assert plan["experiment"]["loss"]["wasserstein"]["clip"] == 0.01


def test_relativistic_recommends_its_own_penalties(tmp_path: Path) -> None:
    """R1 and R2 are this plugin's, at half of R3GAN's γ of 0.05, even if another plugin has an `r1` too."""
    (tmp_path / "mine.py").write_text(LOCAL)
    plan = ganforge("run", *SMALL, "--loss", "relativistic", "--plugin", str(tmp_path / "mine.py"), "--dry-run")
    terms = [(item["name"], item["distribution"]) for item in plan["components"] if item["kind"] == "term"]
    assert terms == [("r1", "ganforge-losses"), ("r2", "ganforge-losses")]
    table = plan["experiment"]["term"]
    assert [table[name]["weight"] for name in table["names"]] == [0.05 / 2, 0.05 / 2]


@pytest.mark.parametrize("name", ["minimax", "least-squares", "hinge"])
def test_a_loss_trains(name: str, tmp_path: Path) -> None:
    """A short run finishes with finite numbers."""
    train(tmp_path, "--loss", name)


def test_weights_stay_clipped(tmp_path: Path) -> None:
    """After a run with `wasserstein`, no weight of D exceeds `clip`, and some have reached it."""
    run, _ = train(tmp_path, "--loss", "wasserstein", "--loss.clip", "0.02")
    (checkpoint,) = (run / "checkpoints").iterdir()
    weights = load_file(checkpoint / "discriminator.safetensors")
    largest = {name: float(weight.abs().max()) for name, weight in weights.items()}
    assert len(largest) == 4  # two layers, each with biases
    assert max(largest.values()) == pytest.approx(0.02, rel=1e-6)


def test_lazy_penalty_in_the_rows(tmp_path: Path) -> None:
    """With `every` 2, each value stands in two rows: it is computed in every second update of D."""
    _, rows = train(tmp_path, "--loss", "wasserstein-gp", "--critic-steps", "1", "--term.every", "2")
    first, second, third, fourth = (row["term/gradient-penalty"] for row in rows)
    assert first == second != third == fourth


def test_relativistic_trains_with_both_penalties(tmp_path: Path) -> None:
    """Both penalties are computed in each step, at different images."""
    _, rows = train(tmp_path, "--loss", "relativistic")
    assert len({row["term/r1"] for row in rows} | {row["term/r2"] for row in rows}) == 8
    assert all(row["term/r1"] > 0 for row in rows)


def test_penalties_with_an_augmentation_and_accumulation(tmp_path: Path) -> None:
    """Penalties of augmented images are the same with and without gradient accumulation, to 1e-5."""
    (tmp_path / "gain.py").write_text(GAIN)
    flags = ("--loss", "relativistic", "--term", "r1,r2,gradient-penalty", "--plugin", str(tmp_path / "gain.py"))
    rows = [train(tmp_path / parts, *flags, "--augment", "gain", "--gradient-accumulation", parts)[1] for parts in "12"]
    for one, two in zip(*rows, strict=True):
        for name in ("term/r1", "term/r2", "term/gradient-penalty", "loss/discriminator", "loss/generator"):
            assert one[name] == pytest.approx(two[name], rel=1e-5), name
