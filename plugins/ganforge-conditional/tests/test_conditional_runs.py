"""Conditional networks at the command line: trained, sampled, refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SHORT = ("--data.source", "sample", "--steps", "3", "--batch-size", "20", "--precision", "fp32", "--device", "cpu")
NARROW = ("--gen.base_channels", "4", "--disc.base_channels", "4")
AC_GAN = ("--gen", "conditional-dcgan", "--disc", "ac-dcgan", *NARROW)


def ganforge(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done


def rows_of(run: Path, *flags: str) -> list[dict[str, float]]:
    """Train three steps and return the rows of metrics.jsonl."""
    ganforge("run", *flags, *SHORT, "--log-every", "1", "--out", str(run), "--quiet")
    rows: list[dict[str, float]] = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert np.isfinite([value for row in rows for value in row.values()]).all()
    return rows


def test_a_class_is_sampled(tmp_path: Path) -> None:
    """A conditional training finishes, and `sample --condition 7` gives images of class 7 only."""
    run, out = tmp_path / "run", tmp_path / "sevens.npz"
    networks = ("--gen", "conditional-dcgan", "--disc", "conditional-dcgan")
    done = ganforge("run", *networks, *NARROW, *SHORT, "--out", str(run), "--json")
    assert json.loads(done.stdout)["status"] == "finished"
    ganforge("sample", str(run), "--condition", "7", "-n", "6", "--out", str(out))
    with np.load(out) as drawn:
        assert drawn["condition"].tolist() == [7] * 6
        assert drawn["images"].shape == (6, 28, 28, 1)


@pytest.mark.parametrize(
    "flags",
    [
        ("--gen", "conditional-mlp", "--disc", "conditional-mlp", "--gen.hidden", "[8]", "--disc.hidden", "[8]"),
        (*AC_GAN, "--term", "ac-gan"),
        (*AC_GAN, "--term", "ac-gan,feature-matching", "--term.feature-matching.replace", "false"),
        (*AC_GAN, "--term", "feature-matching"),
    ],
    ids=("mlp", "ac-gan", "both", "feature-matching"),
)
def test_components_train_together(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The combinations of the README finish a run with finite numbers, and log their terms."""
    columns = rows_of(tmp_path / "run", *flags)[0].keys()
    assert {"term/ac-gan/disc", "term/ac-gan/gen"} <= columns or "term/ac-gan" not in str(flags)
    assert ("term/feature-matching" in columns) == ("feature-matching" in str(flags))


@pytest.mark.parametrize(("term", "is_reported"), [("ac-gan", False), ("feature-matching", True)])
def test_a_generator_without_a_signal_from_its_classes_is_reported(term: str, *, is_reported: bool) -> None:
    """The discriminator sees images alone; the auxiliary classifier's term compares them with their classes."""
    done = ganforge("run", *AC_GAN, "--term", term, *SHORT, "--dry-run")
    assert ("no training signal" in " ".join((done.stdout + done.stderr).split())) == is_reported


def test_feature_matching_replaces_the_adversarial_loss(tmp_path: Path) -> None:
    """By default the weight of the adversarial loss makes no difference to G; with `replace` False it does."""

    def last(replace: str, loss_weight: str) -> float:
        flags = ("--term", "feature-matching", "--term.replace", replace, "--loss", "bce", "--loss.weight", loss_weight)
        run = tmp_path / f"{replace}-{loss_weight}"
        rows = rows_of(run, *AC_GAN, *flags, "--optimizer.disc.lr", "1e-12")
        return rows[-1]["term/feature-matching"]

    assert last("true", "1.0") == pytest.approx(last("true", "100.0"), rel=1e-4)
    assert last("false", "1.0") != pytest.approx(last("false", "100.0"), rel=1e-4)


@pytest.mark.parametrize(("term", "message"), [("ac-gan", "gives no class logits"), ("feature-matching", "gives none")])
def test_a_term_refuses_a_discriminator_that_does_not_fit(tmp_path: Path, term: str, message: str) -> None:
    """Before training starts, the message names what the discriminator lacks, and one that has it."""
    run = tmp_path / "run"
    networks = ("--gen", "conditional-mlp", "--disc", "mlp")
    done = ganforge("run", *networks, "--term", term, *SHORT, "--out", str(run), status=2)
    assert message in done.stderr
    assert "--disc" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.exists()


def test_ac_gan_refuses_a_generator_without_classes(tmp_path: Path) -> None:
    """Before training starts, the message names a conditional generator."""
    flags = ("--gen", "mlp", "--disc", "ac-dcgan", "--disc.base_channels", "4", "--term", "ac-gan")
    done = ganforge("run", *flags, *SHORT, "--out", str(tmp_path / "run"), status=2)
    assert "not conditional" in done.stderr
    assert "--gen conditional-dcgan" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (("--gen", "dcgan", "--disc", "ac-dcgan"), "the data has no class labels"),
        (("--gen", "conditional-dcgan", "--disc", "dcgan"), "has no condition"),
    ],
)
def test_data_without_classes_is_refused(tmp_path: Path, networks: tuple[str, ...], message: str) -> None:
    """Networks that need classes are refused for pictures of a folder without any."""
    from PIL import Image  # noqa: PLC0415 - for this test alone

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.new("L", (28, 28), number * 30).save(pictures / f"{number}.png")
    flags = ("--data", "folder", "--data.path", str(pictures), "--data.size", "28", "--batch-size", "4", "--steps", "1")
    done = ganforge("run", *networks, *flags, "--out", str(tmp_path / "run"), status=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
