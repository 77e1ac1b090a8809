"""Command group `ganforge latent`: files and errors of its commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge import TrainedRun
from ganforge.runs.latents import Latents
from tests.helpers.latent_spaces import PLUGIN, train_one_step
from tests.helpers.plugins import command

SIDE = 30


@pytest.fixture
def run(tmp_path: Path) -> TrainedRun:
    """Train a generator with styles for one step."""
    return train_one_step(tmp_path / "run", "layered")


@pytest.mark.parametrize(
    ("arguments", "rows", "columns"),
    [
        (("traverse", "RUN", "--dims", "0-2,7", "--steps", "5"), 4, 5),
        (("traverse", "RUN", "--space", "z"), 6, 9),
        (("directions", "RUN", "-n", "2", "--steps", "3"), 2, 3),
        (("directions", "RUN", "--method", "sefa", "-n", "4", "--point", "3:1"), 4, 9),
        (("arithmetic", "RUN", "0 - 1 + 2*0:1"), 1, 4),
        (("truncation", "RUN", "0", "1", "--factors", "0,1.5,-1"), 2, 3),
        (("mix", "RUN", "--row", "0", "--row", "1", "--column", "2", "--layers", "1-2"), 3, 2),
        (("mix", "RUN"), 7, 7),
    ],
)
def test_pictures_and_latents(arguments: tuple[str, ...], rows: int, columns: int, run: TrainedRun) -> None:
    """Each command writes a picture of the expected rows and columns, and its latents, which `sample` draws."""
    words = [str(run.path) if word == "RUN" else word for word in arguments]
    done = command("latent", *words, "--plugin", PLUGIN, "-o", "x.png", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    with Image.open("x.png") as picture:
        assert picture.size == (columns * SIDE + 2, rows * SIDE + 2)
    latents = Latents.load(Path(document["latents"]))
    assert (document["out"], document["num_images"], document["space"]) == ("x.png", len(latents), latents.space)
    assert latents.checkpoint == run.load().checkpoint
    again = command(
        "sample", run.path, "--plugin", PLUGIN, "--latents", "x.npz", "--columns", str(columns), "-o", "y.png"
    )
    assert again.returncode == 0, again.stderr
    if "mix" not in words:
        assert Path("y.png").read_bytes() == Path("x.png").read_bytes()


def test_directions_are_used_elsewhere(tmp_path: Path) -> None:
    """A file of directions leads from any point; of attributes there is one for each class."""
    run = train_one_step(tmp_path / "classes", "layered", "gen.conditional=true")
    words = (run.path, "--plugin", PLUGIN)
    done = command("latent", "directions", *words, "--method", "attribute", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["directions"] == list("0123456789")
    file = run.path / "latent-attribute.npz"
    start = ("--point", "5", "--condition", "3", "-o", "t.png")
    done = command("latent", "traverse", *words, *start, "--directions", file)
    assert done.returncode == 0, done.stderr
    latents = Latents.load("t.npz")
    assert len(latents) == 9 * 10
    loaded = run.load()
    middle = loaded.generator.style(loaded.draw(1, 5).values, torch.tensor([3]))[0]
    assert np.allclose(latents.values[4], middle, atol=1e-5)


def test_fields_are_named(tmp_path: Path) -> None:
    """A field of the latent distribution is traversed, and mixed, by its name."""
    run = train_one_step(tmp_path / "codes", "matrix", "latent=codes")
    done = command("latent", "traverse", run.path, "--field", "category", "--plugin", PLUGIN, "-o", "f.png")
    assert done.returncode == 0, done.stderr
    with Image.open("f.png") as picture:
        assert picture.size == (3 * SIDE + 2, SIDE + 2)
    done = command("latent", "mix", run.path, "--field", "category", "--plugin", PLUGIN, "-o", "m.png")
    assert done.returncode == 0, done.stderr
    mixed = Latents.load("m.npz").values
    assert np.array_equal(mixed[0, :3], run.load().draw(7, 0).values[6, :3])


def test_plugins_may_stand_before_the_command(run: TrainedRun) -> None:
    """`ganforge --plugin FILE latent …` passes the plugin to the command."""
    done = command("--plugin", PLUGIN, "latent", "truncation", run.path, "-o", "x.png")
    assert done.returncode == 0, done.stderr


def test_invalid_requests_are_one_message(run: TrainedRun, tmp_path: Path) -> None:
    """Each has exit code 2 and names what is valid."""
    np.savez("other.npz", directions=np.zeros((1, 7), np.float32), scales=np.ones(1, np.float32), names=np.array(["a"]))
    flat = train_one_step(tmp_path / "flat", "matrix")
    for arguments, message in (
        (("traverse", run.path, "--dims", "2-x"), "invalid --dims '2-x'"),
        (("traverse", run.path, "--dims", "3-1"), "invalid --dims '3-1'"),
        (("traverse", run.path, "--dims", "15"), "no dimension 15; there are 15"),
        (("traverse", run.path, "--dims", "1", "--field", "x"), "exclude each other"),
        (("traverse", run.path, "--field", "x"), "the latent distribution of this run has none"),
        (("traverse", run.path, "--directions", "other.npz"), "directions have shape (7,) in z"),
        (("directions", run.path, "--method", "pcs"), "did you mean 'pca'"),
        (("directions", run.path, "--method", "attribute", "--features", "random-convolutionz"), "did you mean"),
        (("directions", run.path, "--method", "attribute", "--features", "digits"), "images have the same class"),
        (("arithmetic", run.path, "0 -1"), "invalid expression"),
        (("arithmetic", run.path, "class:7 + 0", "--features", "nothing"), "nothing"),
        (("arithmetic", run.path, "class:x + 0"), "no class 'x'"),
        (("truncation", run.path, "--factors", "0,nan"), "invalid --factors '0,nan'"),
        (("mix", run.path, "--dims", "1"), "the latents of this generator have layers"),
        (("mix", run.path, "--layers", "3"), "are 0 to 2"),
        (("mix", flat.path), "the latents of this generator have no layers"),
        (("truncation", run.path, "-o", "x.gif"), "the file is .png"),
    ):
        done = command("latent", *arguments, "--plugin", PLUGIN)
        assert (done.returncode, message in done.stderr) == (2, True), (arguments, done.stderr)
