"""Command `ganforge project`: files, progress, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ganforge import TrainedRun
from ganforge.runs.latents import Latents
from tests.helpers.latent_spaces import PLUGIN, train_one_step
from tests.helpers.plugins import command


@pytest.fixture
def run(tmp_path: Path) -> TrainedRun:
    """Train a generator with styles for one step."""
    return train_one_step(tmp_path / "run", "layered")


def test_pictures_are_projected(run: TrainedRun) -> None:
    """The picture has target, result and difference; the latents are next to it; progress goes to stderr."""
    Image.new("RGB", (28, 28), (200, 200, 200)).save("gray.png")
    words = ("project", run.path, "gray.png", "3:1", "--plugin", PLUGIN, "--steps", "10", "-o", "x.png")
    done = command(*words, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["num_images"], document["space"], len(document["distances"])) == (2, "w", 2)
    assert len(Latents.load("x.npz")) == 2
    assert "image 2/2: step 10/10, distance" in done.stderr
    with Image.open("x.png") as picture:
        assert picture.size == (3 * 30 + 2, 2 * 30 + 2)
    path = command("interpolate", run.path, "gray.png", "0", "--steps", "3", "--plugin", PLUGIN, "-o", "i.png")
    assert path.returncode == 0, path.stderr


def test_nearest_training_images_are_shown(run: TrainedRun) -> None:
    """The picture has the image and its neighbors, and nothing else is written."""
    words = ("project", run.path, "0", "--nearest", "4", "--plugin", PLUGIN, "-o", "n.png", "--json")
    done = command(*words)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (len(document["indices"][0]), len(document["distances"][0])) == (4, 4)
    with Image.open("n.png") as picture:
        assert picture.size == (5 * 30 + 2, 32)
    assert not Path("n.npz").exists()
    lines = command(*words[:-1], "--force").stdout.splitlines()
    assert lines[0].startswith(f"image 1: nearest training images (distances): {document['indices'][0][0]} (")


def test_invalid_requests_are_one_message(run: TrainedRun) -> None:
    """Pictures of another size, other files and unknown features have exit code 2."""
    Image.new("L", (9, 8)).save("wide.png")
    Path("text.png").write_text("no picture")
    for arguments, message in (
        (("wide.png",), "wide.png has 9×8 pixels; images of this run have 28×28"),
        (("text.png",), "text.png cannot be read as a picture"),
        (("missing.jpg",), "missing.jpg cannot be read as a picture: No such file"),
        (("one",), "invalid point 'one'"),
        (("0", "--features", "pixel"), "did you mean 'pixels'"),
        (("0", "--condition", "3"), "this generator takes no condition"),
    ):
        done = command("project", run.path, *arguments, "--plugin", PLUGIN)
        assert (done.returncode, message in done.stderr) == (2, True), (arguments, done.stderr)
