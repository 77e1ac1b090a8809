"""The plugin as a user meets it: what is recommended arrives, and every loss trains."""

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
from ganforge import Component, Penalty, hookimpl

class Mine(Penalty):
    def measure(self, discriminator, *, real, fake, labels, rng):
        return real.flatten(1).sum(1) * 0

@hookimpl
def ganforge_components():
    return [Component(kind="penalty", name=name, target=Mine) for name in ("r1", "gradient-penalty")]
"""


def ganforge(*arguments: str) -> dict[str, Any]:
    """Run the command line and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ganforge", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def train(folder: Path, *arguments: str) -> tuple[Path, list[dict[str, float]]]:
    """Train for four steps with tiny networks; return the run directory and its rows, one for each step."""
    outcome = ganforge("run", *SMALL, *arguments, "--log-every", "1", "--out", str(folder / "run"))
    assert (outcome["status"], outcome["steps"]) == ("finished", 4)
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(math.isfinite(value) for row in rows for value in row.values())
    return folder / "run", rows


def test_wasserstein_gp_brings_its_papers_settings() -> None:
    """The plan has the penalty with weight 10, five critic steps and Adam's betas, and says who recommended them."""
    plan = ganforge("run", *SMALL, "--loss", "wasserstein-gp", "--dry-run")
    experiment, origin = plan["experiment"], "recommended by loss wasserstein-gp"
    chosen = [item for item in plan["components"] if item["kind"] == "penalty"]
    assert [(item["name"], item["distribution"], item["origin"]) for item in chosen] == [
        ("gradient-penalty", "ganforge-losses", origin)
    ]
    assert experiment["penalty"]["names"] == ["gradient-penalty"]
    assert experiment["penalty"]["gradient-penalty"] == {"weight": 10.0, "every": 1, "target": 1.0, "one_sided": False}
    assert experiment["critic_steps"] == 5
    for network in ("gen", "disc"):
        found = experiment["optimizer"][network]
        assert (found["name"], found["lr"], found["betas"]) == ("adam", 1e-4, [0.0, 0.9])
    keys = ["penalty", "penalty.gradient-penalty.weight", "critic_steps", "optimizer.gen.betas", "optimizer.disc.lr"]
    assert {plan["origins"][key] for key in keys} == {origin}


def test_wasserstein_brings_rmsprop() -> None:
    """The plan has five critic steps and RMSprop with learning rate 5e-5; what the person sets wins."""
    plan = ganforge("run", *SMALL, "--loss", "wasserstein", "--critic-steps", "2", "--dry-run")
    for network in ("gen", "disc"):
        found = plan["experiment"]["optimizer"][network]
        assert (found["name"], found["lr"]) == ("rmsprop", 5e-5)
        assert plan["origins"][f"optimizer.{network}.lr"] == "recommended by loss wasserstein"
    assert (plan["experiment"]["critic_steps"], plan["origins"]["critic_steps"]) == (2, "command line")
    assert plan["experiment"]["loss"]["wasserstein"] == {"clip": 0.01}


def test_relativistic_brings_both_penalties_beside_others_of_their_names(tmp_path: Path) -> None:
    """R1 and R2 are this plugin's, at half of R3GAN's γ of 0.05, even where another plugin gives an `r1` too."""
    (tmp_path / "mine.py").write_text(LOCAL)
    plan = ganforge("run", *SMALL, "--loss", "relativistic", "--plugin", str(tmp_path / "mine.py"), "--dry-run")
    chosen = [(item["name"], item["distribution"]) for item in plan["components"] if item["kind"] == "penalty"]
    assert chosen == [("r1", "ganforge-losses"), ("r2", "ganforge-losses")]
    penalties = plan["experiment"]["penalty"]
    assert [penalties[name]["weight"] for name in penalties["names"]] == [0.05 / 2, 0.05 / 2]


@pytest.mark.parametrize("name", ["minimax", "least-squares", "hinge"])
def test_it_trains(name: str, tmp_path: Path) -> None:
    """A short run ends well, and its numbers are finite."""
    train(tmp_path, "--loss", name)


def test_weights_stay_clipped(tmp_path: Path) -> None:
    """After a run with `wasserstein` no weight of D is beyond `clip`, and some have reached it."""
    run, _ = train(tmp_path, "--loss", "wasserstein", "--loss.clip", "0.02")
    (checkpoint,) = (run / "checkpoints").iterdir()
    weights = load_file(checkpoint / "discriminator.safetensors")
    furthest = {name: float(weight.abs().max()) for name, weight in weights.items()}
    assert len(furthest) == 4  # two layers, each with biases
    assert max(furthest.values()) == pytest.approx(0.02, rel=1e-6)


def test_lazy_penalty_shows_in_the_rows(tmp_path: Path) -> None:
    """With `every` 2, each value stands in two rows: it is measured in every second update of D."""
    _, rows = train(tmp_path, "--loss", "wasserstein-gp", "--critic-steps", "1", "--penalty.every", "2")
    first, second, third, fourth = (row["penalty/gradient-penalty"] for row in rows)
    assert first == second != third == fourth


def test_relativistic_trains_with_both_penalties(tmp_path: Path) -> None:
    """Both penalties are measured in each step, at different images."""
    _, rows = train(tmp_path, "--loss", "relativistic")
    assert len({row["penalty/r1"] for row in rows} | {row["penalty/r2"] for row in rows}) == 8
    assert all(row["penalty/r1"] > 0 for row in rows)
