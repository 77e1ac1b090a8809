"""Short trainings at the command line."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

NETWORKS = ("--gen", "r3gan", "--disc", "r3gan", "--data.source", "sample", "--precision", "fp32", "--device", "cpu")
SMALL = ("--gen.base_channels", "16", "--disc.base_channels", "16")
SHORT = (*SMALL, "--batch-size", "16", "--steps", "4", "--log-every", "1")
#: Final factors of the recommended schedules.
RECOMMENDED = {
    "optimizer.gen.lr": 0.25,
    "optimizer.gen.betas.1": 1.1,
    "optimizer.disc.lr": 0.25,
    "optimizer.disc.betas.1": 1.1,
    "term.r1.weight": 0.1,
    "term.r2.weight": 0.1,
}
#: The preset as flags, without its data.
CIFAR10 = """
    --gen r3gan --disc r3gan --loss relativistic --batch-size 512 --steps 39063
    --gen.base_channels 768 --gen.widest_size 32 --gen.blocks 2 --gen.group_width 16 --gen.conditional true
    --disc.base_channels 768 --disc.widest_size 32 --disc.blocks 2 --disc.group_width 16 --disc.conditional true
    --optimizer.lr 2e-4 --optimizer.betas "[0, 0.9]"
    --schedules.optimizer.lr cosine --schedules.optimizer.lr.final 0.25
    --schedules.optimizer.betas.1 cosine --schedules.optimizer.betas.1.final 1.1
    --term.r1.weight 0.025 --schedules.term.r1.weight cosine --schedules.term.r1.weight.final 0.1
    --term.r2.weight 0.025 --schedules.term.r2.weight cosine --schedules.term.r2.weight.final 0.1
    --ema-halflife-images 1 --schedules.ema_halflife_images cosine --schedules.ema_halflife_images.final 5000000
"""


def ganforge(*arguments: str) -> str:
    """Run the command line and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(run: Path, *flags: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Train four steps; return the configuration and the rows of metrics.jsonl."""
    summary = json.loads(ganforge("run", *flags, "--out", str(run), "--json"))
    assert (summary["status"], summary["steps"]) == ("finished", 4)
    experiment = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    return experiment, rows


def schedules(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return the schedules of a configuration by target."""
    return {target: experiment["schedules"][target] for target in experiment["schedules"]["names"]}


def cosine(step: int, final: float) -> float:
    """Return the factor of the authors' schedule at a step of four."""
    return final + (1 - final) * (1 + math.cos(math.pi * step / 4)) / 2


def test_the_recipe_trains(tmp_path: Path) -> None:
    """The names alone give the paper's recipe, R1, R2 and schedules included; a run of it finishes and is sampled."""
    experiment, rows = train(tmp_path / "run", *NETWORKS, "--loss", "relativistic", *SHORT)
    assert experiment["term"]["names"] == ["r1", "r2"]
    for network in ("gen", "disc"):
        optimizer = experiment["optimizer"][network]["adam"]
        assert (optimizer["lr"], optimizer["betas"]) == (2e-4, [0.0, 0.9])
        assert [row[f"lr/{network}"] for row in rows] == pytest.approx([2e-4 * cosine(step, 0.25) for step in range(4)])
    assert experiment["ema_halflife_images"] == 500_000
    assert {target: options["cosine"]["final"] for target, options in schedules(experiment).items()} == RECOMMENDED
    assert all(row["term/r1"] > 0 and row["term/r2"] > 0 for row in rows)
    ganforge("sample", str(tmp_path / "run"), "-n", "4")


def test_the_preset_is_the_authors_training(tmp_path: Path) -> None:
    """The preset means the same as the authors' settings as flags; in a small size it finishes with every schedule."""
    plans = [
        json.loads(ganforge("run", *flags, "--data", "mnist", *NETWORKS, *SHORT, "--dry-run", "--json"))["experiment"]
        for flags in (("--preset", "r3gan-cifar10"), shlex.split(CIFAR10))
    ]
    assert plans[0] == plans[1]
    small = ("--data", "mnist", "--gen.blocks", "1", "--disc.blocks", "1")
    experiment, rows = train(tmp_path / "run", "--preset", "r3gan-cifar10", *small, *NETWORKS, *SHORT)
    finals = {target: options["cosine"]["final"] for target, options in schedules(experiment).items()}
    assert finals == RECOMMENDED | {"ema_halflife_images": 5_000_000}
    assert experiment["gen"]["r3gan"]["conditional"]
    assert [row["lr/gen"] for row in rows] == pytest.approx([2e-4 * cosine(step, 0.25) for step in range(4)])


def test_other_losses_need_no_terms() -> None:
    """Without R1 and R2, the recommended schedules of their weights are left out."""
    plan = json.loads(ganforge("run", *NETWORKS, *SHORT, "--loss", "bce", "--dry-run", "--json"))
    assert not any(target.startswith("term.") for target in plan["experiment"]["schedules"]["names"])
