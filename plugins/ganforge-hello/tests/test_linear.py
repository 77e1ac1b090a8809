"""Linear generator at the command line: listed, trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from ganforge_hello.linear import LinearGenerator

from ganforge import ImageSpec


def ganforge(*arguments: str) -> str:
    """Run the command line and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_with_its_distribution() -> None:
    """`ganforge list` shows it with the plugin's name and version."""
    (entry,) = [entry for entry in json.loads(ganforge("list", "generator", "--json")) if entry["name"] == "linear"]
    assert (entry["distribution"], entry["version"]) == ("ganforge-hello", "0.1.0")


def test_it_trains(tmp_path: Path) -> None:
    """It trains with built-in components, and its run can be sampled."""
    run = str(tmp_path / "run")
    flags = ("--gen", "linear", "--disc", "mlp", "--data.source", "sample", "--steps", "3", "--precision", "fp32")
    assert json.loads(ganforge("run", *flags, "--out", run, "--json"))["status"] == "finished"
    ganforge("sample", run, "-n", "4")


def test_images_are_a_mean_and_directions() -> None:
    """Before the tanh, the image is affine in the latents."""
    generator = LinearGenerator(LinearGenerator.Options(latent_dim=3), ImageSpec(2, 4, 5))
    z = torch.randn(2, 3)
    middle = generator(z.mean(0, keepdim=True)).atanh()
    torch.testing.assert_close(middle[0], generator(z).atanh().mean(0), rtol=1e-4, atol=1e-5)
