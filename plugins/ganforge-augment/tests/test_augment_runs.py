"""The plugin as a user meets it: installed, listed, trained, resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

FLAGS = ("--gen", "mlp", "--disc", "mlp", "--data.source", "sample", "--batch-size", "20", "--precision", "fp32")
NARROW = ("--gen.hidden", "[32]", "--disc.hidden", "[32]")


def ganforge(*arguments: str, code: int = 0) -> str:
    """Run the command line and return what it prints; where it fails as expected, what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def run(path: Path, *arguments: str) -> dict[str, Any]:
    """Train, and return what `run --json` says."""
    told: dict[str, Any] = json.loads(ganforge("run", *FLAGS, *NARROW, *arguments, "--out", str(path), "--json"))
    assert told["status"] == "finished"
    return told


def tensors(path: Path, step: int, part: str) -> dict[str, Tensor]:
    """Return what a checkpoint holds of a part."""
    found: dict[str, Tensor] = load_file(path / "checkpoints" / f"step-{step:08d}" / f"{part}.safetensors")
    return found


def test_they_are_listed_with_their_distribution() -> None:
    """Once installed, `ganforge list` shows both and where they come from."""
    entries = json.loads(ganforge("list", "augmentation", "--json"))
    mine = {entry["name"] for entry in entries if entry["distribution"] == "ganforge-augment"}
    assert mine == {"ada", "diffaugment"}


def test_ada_adapts_and_resumes_exactly(tmp_path: Path) -> None:
    """Stopped within an interval and resumed, it ends with the bits of an uninterrupted run; p has moved."""
    # The mean of 80 signs is never 0.61, so that p moves by 80/2000 each time.
    flags = (
        "--augment",
        "ada",
        "--augment.initial",
        "0.5",
        "--augment.ramp_images",
        "2000",
        "--augment.target",
        "0.61",
    )
    run(tmp_path / "straight", *flags, "--steps", "12")
    run(tmp_path / "stopped", *flags, "--steps", "6")
    ganforge("resume", str(tmp_path / "stopped"), "--steps", "12")
    for part in ("generator", "discriminator", "augmentation-ada"):
        one, two = (tensors(tmp_path / name, 12, part) for name in ("straight", "stopped"))
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[name]) for name, value in one.items()), part
    half, end = (tensors(tmp_path / "stopped", step, "augmentation-ada") for step in (6, 12))
    assert int(half["updates"]) == 2
    moves = [round(abs(float(state["p"]) - 0.5) / 0.04, 3) for state in (half, end)]
    assert moves in ([1, 1], [1, 3])  # one change until step 6, three until step 12


def test_both_train_together_in_low_precision(tmp_path: Path) -> None:
    """In bfloat16, one after the other, with a policy from the command line."""
    flags = ("--augment", "diffaugment,ada", "--augment.diffaugment.policy", "translation,cutout")
    run(tmp_path / "run", *flags, "--augment.ada.initial", "0.8", "--precision", "bf16", "--steps", "3")
    assert '"translation",' in (tmp_path / "run" / "run.toml").read_text()


def test_a_wrong_policy_is_one_clear_line() -> None:
    """A misspelt word is answered with the three that there are."""
    told = ganforge("run", *FLAGS, "--augment", "diffaugment", "--augment.policy", "colour", "--dry-run", code=2)
    assert "'colour'" in told
    assert "'color', 'translation' or 'cutout'" in told
    assert "Traceback" not in told
