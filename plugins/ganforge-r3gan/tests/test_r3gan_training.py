"""A short training, as a person starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

NAMES = ("--gen", "r3gan", "--disc", "r3gan", "--loss", "relativistic", "--data.source", "sample")
SMALL = ("--gen.base_channels", "16", "--disc.base_channels", "16")
SHORT = (*SMALL, "--batch-size", "16", "--steps", "4", "--log-every", "1", "--precision", "fp32")


def ganforge(*arguments: str) -> str:
    """Run the command line and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recipe_trains(tmp_path: Path) -> None:
    """The names alone give the paper's recipe, R1 and R2 included; a short run of it finishes and can be sampled."""
    run = tmp_path / "run"
    summary = json.loads(ganforge("run", *NAMES, *SHORT, "--out", str(run), "--json"))
    assert (summary["status"], summary["steps"]) == ("finished", 4)
    experiment = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    assert experiment["penalty"]["names"] == ["r1", "r2"]
    for network in ("gen", "disc"):
        optimizer = experiment["optimizer"][network]
        assert (optimizer["name"], optimizer["lr"], optimizer["betas"]) == ("adam", 2e-4, [0.0, 0.99])
    assert experiment["ema_halflife_images"] == 500_000
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["penalty/r1"] > 0 and row["penalty/r2"] > 0 for row in rows)
    ganforge("sample", str(run), "-n", "4")
