"""Augmentations at the command line: listed, trained, resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

FLAGS = ("--gen", "mlp", "--disc", "mlp", "--data.source", "sample", "--batch-size", "20", "--precision", "fp32")
NARROW = ("--gen.hidden", "[32]", "--disc.hidden", "[32]")


def ganforge(*arguments: str, code: int = 0) -> str:
    """Run the command line and return its output, or its messages if it is expected to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def run(path: Path, *arguments: str) -> dict[str, Any]:
    """Train and return the result of `run --json`."""
    result: dict[str, Any] = json.loads(ganforge("run", *FLAGS, *NARROW, *arguments, "--out", str(path), "--json"))
    assert result["status"] == "finished"
    return result


def tensors(path: Path, step: int, part: str) -> dict[str, Tensor]:
    """Return the tensors of a component in a checkpoint."""
    state: dict[str, Tensor] = load_file(path / "checkpoints" / f"step-{step:08d}" / f"{part}.safetensors")
    return state


def test_they_are_listed_with_their_distribution() -> None:
    """`ganforge list` shows both with the plugin's name."""
    entries = json.loads(ganforge("list", "augmentation", "--json"))
    names = {entry["name"] for entry in entries if entry["distribution"] == "ganforge-augment"}
    assert names == {"ada", "diffaugment"}


def test_ada_adapts_and_resumes_exactly(tmp_path: Path) -> None:
    """Stopped within an interval and resumed, a run ends with the bits of an uninterrupted one; p has moved."""
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
    """In bfloat16, both run one after the other, with a policy from the command line."""
    flags = ("--augment", "diffaugment,ada", "--augment.diffaugment.policy", "translation,cutout")
    run(tmp_path / "run", *flags, "--augment.ada.initial", "0.8", "--precision", "bf16", "--steps", "3")
    assert '"translation",' in (tmp_path / "run" / "run.toml").read_text()


def test_a_wrong_policy_is_one_clear_line() -> None:
    """The message for a misspelled word lists the three."""
    message = ganforge("run", *FLAGS, "--augment", "diffaugment", "--augment.policy", "tint", "--dry-run", code=2)
    assert "'tint'" in message
    assert "'color', 'translation' or 'cutout'" in message
    assert "Traceback" not in message


def test_gradient_accumulation_changes_nothing(tmp_path: Path) -> None:
    """In two parts, a batch has the augmentations that it has as a whole: losses and p agree to 1e-5."""
    flags = ("--augment", "ada,diffaugment", "--augment.ada.initial", "0.5", "--augment.ada.interval", "1")
    ends = []
    for parts in ("1", "2"):
        path = tmp_path / parts
        run(path, *flags, "--disc.dropout", "0", "--steps", "3", "--log-every", "1", "--gradient-accumulation", parts)
        rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        losses = [row[f"loss/{network}"] for row in rows for network in ("discriminator", "generator")]
        ends.append([*losses, float(tensors(path, 3, "augmentation-ada")["p"])])
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
