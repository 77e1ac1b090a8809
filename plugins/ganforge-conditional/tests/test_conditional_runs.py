"""The plugin as a user meets it: trained, sampled, refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SHORT = ("--data.source", "sample", "--steps", "3", "--batch-size", "20", "--precision", "fp32", "--device", "cpu")
NARROW = ("--gen.base_channels", "4", "--disc.base_channels", "4")


def ganforge(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done


def test_a_label_that_is_asked_for_is_sampled(tmp_path: Path) -> None:
    """A conditional training ends, and its run gives images of label 7, and no others, where 7 is asked for."""
    run, out = tmp_path / "run", tmp_path / "sevens.npz"
    networks = ("--gen", "conditional-dcgan", "--disc", "conditional-dcgan")
    done = ganforge("run", *networks, *NARROW, *SHORT, "--out", str(run), "--json")
    assert json.loads(done.stdout)["status"] == "finished"
    ganforge("sample", str(run), "--label", "7", "-n", "6", "--out", str(out))
    with np.load(out) as drawn:
        assert drawn["labels"].tolist() == [7] * 6
        assert drawn["images"].shape == (6, 28, 28, 1)


@pytest.mark.parametrize(
    "flags",
    [
        ("--gen", "conditional-mlp", "--disc", "conditional-mlp", "--gen.hidden", "[8]", "--disc.hidden", "[8]"),
        ("--gen", "conditional-dcgan", "--disc", "ac-dcgan", "--loss", "ac-gan", *NARROW),
        ("--gen", "conditional-dcgan", "--disc", "ac-dcgan", "--loss", "feature-matching", *NARROW),
    ],
    ids=("mlp", "ac-gan", "feature-matching"),
)
def test_parts_train_together(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The combinations that the README names go into a run, and every number that it logs is finite."""
    run = tmp_path / "run"
    ganforge("run", *flags, *SHORT, "--log-every", "1", "--out", str(run), "--quiet")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(np.isfinite([row["loss/discriminator"], row["loss/generator"]]).all() for row in rows)


@pytest.mark.parametrize(
    ("loss", "told"),
    [("ac-gan", "gives no class logits"), ("feature-matching", "gives none")],
)
def test_a_loss_refuses_a_discriminator_that_does_not_fit(tmp_path: Path, loss: str, told: str) -> None:
    """Before training starts the person is told what the discriminator lacks, and which one has it."""
    run = tmp_path / "run"
    done = ganforge("run", "--gen", "mlp", "--disc", "mlp", "--loss", loss, *SHORT, "--out", str(run), status=2)
    assert told in done.stderr
    assert "--disc" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.exists()


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    """A network that takes labels is refused for a folder's pictures that have none."""
    from PIL import Image  # noqa: PLC0415 - for this test alone

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.new("L", (28, 28), number * 30).save(pictures / f"{number}.png")
    flags = ("--data", "folder", "--data.path", str(pictures), "--data.size", "28", "--batch-size", "4", "--steps", "1")
    networks = ("--gen", "dcgan", "--disc", "ac-dcgan")
    done = ganforge("run", *networks, *flags, "--out", str(tmp_path / "run"), status=2)
    assert "takes labels" in done.stderr
    assert "has none" in done.stderr
