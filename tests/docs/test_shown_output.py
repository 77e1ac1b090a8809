"""Outputs that docs/ shows are those of real commands; docs/from-the-tutorial.md has tests of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.docs import DOCS, assert_shown, blocks
from tests.helpers.image_folders import equal_pictures
from tests.helpers.plugins import command

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

ON_SAMPLE = ("--data", "mnist", "--data.source", "sample", "--precision", "fp32")
#: A generator whose images do not depend on the latents.
STILL = """
import torch
from torch import nn

from ganforge import Component, Generator, hookimpl


class Still(Generator):
    def __init__(self, options, image):
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Linear(self.latent_dim, image.numel), nn.Tanh(), nn.Unflatten(1, image.shape))

    def forward(self, z, condition=None):
        return self.layers(0 * z)


@hookimpl
def ganforge_components():
    return [Component(kind="generator", name="still", target=Still)]
"""


def shown(name: str, beginning: str) -> str:
    """Return the block of a page that begins with a text."""
    (text,) = (block.text for block in blocks(DOCS / name, "text") if block.text.lstrip().startswith(beginning))
    return text


def edited(old: str, new: str) -> None:
    """Save the plugin of plugins.md in the working folder, with one change."""
    (text,) = (block.text for block in blocks(DOCS / "plugins.md") if block.title == "my_gan.py")
    assert text.count(old) == 1
    Path("my_gan.py").write_text(text.replace(old, new), encoding="utf-8")


def test_first_line_of_the_quick_start(tmp_path: Path) -> None:
    """The first run of the quick start begins with the shown line."""
    command = [sys.executable, "-m", "ganforge", "run", "--gen", "dcgan", "--disc", "dcgan", *ON_SAMPLE]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("step "):
                break
        process.terminate()
    assert_shown(shown("quickstart.md", "step 10/"), "".join(lines), tolerance=0.05)


def test_evaluation(ganforge: Ganforge) -> None:
    """`evaluate` prints the shown table and lines, with other numbers."""
    narrow = ("--gen.base_channels", "4", "--disc.base_channels", "4")
    assert ganforge("run", "--gen", "dcgan", "--disc", "dcgan", *narrow, *ON_SAMPLE, "--steps", "2").returncode == 0
    done = ganforge("evaluate", "runs/dcgan-dcgan-bce-mnist-001", "--num-samples", "1000")
    assert_shown(shown("evaluation.md", "runs/dcgan-dcgan-bce-mnist-001, step"), done.stdout + done.stderr)


def test_latent_space(ganforge: Ganforge) -> None:
    """The commands of the latent space print the shown lines, and the page's Python code runs."""
    narrow = ("--gen.base_channels", "4", "--disc.base_channels", "4")
    assert ganforge("run", "--gen", "dcgan", "--disc", "dcgan", *narrow, *ON_SAMPLE, "--steps", "2").returncode == 0
    page = DOCS / "latent-space.md"
    outputs = iter(block.text for block in blocks(page, "text"))
    shown_commands = ("ganforge interpolate", "ganforge latent directions")
    for block in blocks(page, "bash"):
        if block.text.startswith(shown_commands):
            done = command(*shlex.split(block.text)[1:])
            assert done.returncode == 0, done.stderr
            assert_shown(next(outputs), done.stdout, tolerance=0)
    assert list(outputs) == []
    (code,) = [block.text for block in blocks(page, "python")]
    namespace: dict[str, Any] = {}
    exec(compile(code, page.name, "exec"), namespace)  # noqa: S102 - our own page
    assert tuple(namespace["pictures"].shape) == (10, 1, 28, 28)
    assert Path("path.npz").is_file()


def test_data(ganforge: Ganforge) -> None:
    """`data check` and `data convert` print the shown lines."""
    root = equal_pictures(Path("pictures"))
    shutil.copy(root / "cat" / "00.png", root / "dog" / "zz.png")
    (root / "dog" / "broken.png").write_bytes((root / "cat" / "01.png").read_bytes()[:300])
    (root / "dog" / "readme.txt").write_text("no picture")
    page = DOCS / "data.md"
    commands = [block.text for block in blocks(page, "bash") if block.text.startswith("ganforge data")]
    for text, output in zip(commands, blocks(page, "text"), strict=True):
        assert_shown(output.text, ganforge(*shlex.split(text)[1:]).stdout, tolerance=0.1)


@pytest.mark.slow
def test_separate_columns(ganforge: Ganforge) -> None:
    """`compare` gives the shown reason for a second column."""
    small = ("--gen", "mlp", "--gen.hidden", "[8]", "--disc", "mlp", "--disc.hidden", "[8]", *ON_SAMPLE, "--steps", "1")
    for name, count in (("a", "100"), ("b", "200")):
        assert ganforge("run", *small, "--out", name).returncode == 0
        assert ganforge("evaluate", name, "--metric", "fid", "--num-samples", count).returncode == 0
    done = ganforge("compare", "a", "b")
    assert_shown(shown("comparing.md", "note: fid (2)"), done.stdout + done.stderr)


def test_collapse(ganforge: Ganforge) -> None:
    """A generator of one image raises the shown alert, and the progress names it."""
    Path("still.py").write_text(STILL, encoding="utf-8")
    words = ("--plugin", "still.py", "--gen", "still", "--disc", "mlp", "--disc.hidden", "[16]", "--epochs", "1")
    done = ganforge("run", *words, *ON_SAMPLE)
    assert_shown(shown("health.md", "step 240"), done.stderr)


def test_nonconformant_loss(ganforge: Ganforge) -> None:
    """`check` prints the shown reason and fix for a loss that is reduced."""
    edited("(fake.logits - 1) ** 2 / 2", "((fake.logits - 1) ** 2 / 2).mean()")
    done = ganforge("check", "my_gan.py")
    assert done.returncode == 4
    assert_shown(shown("plugins.md", "✗ loss"), done.stdout, tolerance=0)


def test_generator_without_tanh(ganforge: Ganforge) -> None:
    """A generator whose images leave [-1, 1] gets the shown message."""
    edited("nn.Tanh()", "nn.LayerNorm(image.numel)")
    done = ganforge("run", "--plugin", "my_gan.py", "--gen", "small", "--disc", "mlp", *ON_SAMPLE)
    assert done.returncode == 2
    assert_shown(shown("plugins.md", "error: generator"), done.stderr)
