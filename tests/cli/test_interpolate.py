"""Command `ganforge interpolate`: files, points, errors."""

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


@pytest.fixture
def run(tmp_path: Path) -> TrainedRun:
    """Train a generator with styles for one step."""
    return train_one_step(tmp_path / "run", "layered")


def test_rows_grids_and_animations(run: TrainedRun) -> None:
    """Each form has its picture, and its latents next to it; `sample --latents` draws the same images."""
    words = ("interpolate", run.path, "--plugin", PLUGIN, "--steps", "3")
    assert command(*words, "-o", "rows.png").returncode == 0
    assert command(*words, "0", "1", "2", "3", "--grid", "-o", "grid.png", "--scale", "2").returncode == 0
    done = command(*words, "0", "1:2", "--space", "z", "--loop", "-o", "loop.gif", "--json")
    assert json.loads(done.stdout) == {
        "run": str(run.path),
        "out": "loop.gif",
        "latents": "loop.npz",
        "num_images": 4,
        "space": "z",
        "method": "spherical",
    }
    done = command(*words, "0", "1", "-o", "video.mp4")
    assert (done.returncode, done.stdout) == (0, "3 images: video.mp4 and video.npz\n"), done.stderr
    with Image.open("rows.png") as rows, Image.open("grid.png") as grid, Image.open("loop.gif") as loop:
        assert rows.size == (3 * 30 + 2, 3 * 30 + 2)
        assert grid.size == (2 * (3 * 30 + 2),) * 2
        assert (loop.size, loop.n_frames) == ((140, 140), 4)  # type: ignore[attr-defined]
    assert [len(Latents.load(Path(name))) for name in ("rows.npz", "grid.npz", "loop.npz", "video.npz")] == [9, 9, 4, 3]
    latents = Latents.load(Path("rows.npz"))
    assert (latents.space, latents.checkpoint) == ("w", run.load().checkpoint)
    done = command("sample", run.path, "--plugin", PLUGIN, "--latents", "rows.npz", "-o", "again.png", "--columns", "3")
    assert done.returncode == 0, done.stderr
    assert Path("again.png").read_bytes() == Path("rows.png").read_bytes()


def test_the_default_file_lies_in_the_run(run: TrainedRun) -> None:
    """Without --out the picture of the seed's first images is in the run directory, and is replaced by the next."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for _ in range(2):
        assert command("interpolate", run.path, "--plugin", PLUGIN, "--seed", "5").returncode == 0
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {path.name for path in after.keys() - before.keys()} == {"interpolation.png", "interpolation.npz"}
    assert {path: after[path] for path in before} == before
    loaded = run.load()
    first = loaded.generator.style(loaded.draw(1, 5).values)[0]
    torch.testing.assert_close(Latents.load(run.path / "interpolation.npz").values[0], first)


def test_invalid_requests_are_one_message(run: TrainedRun) -> None:
    """Each has exit code 2, and leaves existing files as they are."""
    Path("old.png").write_bytes(b"old")
    Path("half.npz").write_bytes(b"old")
    np.savez("wrong.npz", z=np.zeros((2, 7)))
    for arguments, message in (
        (("-o", "old.png"), "old.png exists already"),
        (("-o", "half.png"), "half.npz exists already"),
        (("-o", "x.jpg"), "the file is .gif or .mp4 or .png"),
        (("-o", "missing/x.png"), "the folder missing does not exist\n→ mkdir -p missing"),
        (("0",), "needs two points and two steps, not 1"),
        (("0", "1", "--grid"), "a grid needs four points, its corners, not 2"),
        (("--grid", "-o", "x.gif"), "--grid is one picture"),
        (("--method", "sperical"), "did you mean 'spherical'"),
        (("--space", "x"), "invalid space 'x'"),
        (("0", "wrong.npz"), "latents have shape (2, 7); (N, 6) is required"),
        (("0", "one"), "invalid point 'one'"),
        (("--condition", "3"), "this generator takes no condition"),
        (("--checkpoint", "7"), "no checkpoint of step 7"),
        (("--sampling.trunc", "1"), "did you mean 'truncation'"),
    ):
        done = command("interpolate", run.path, "--plugin", PLUGIN, *arguments)
        assert (done.returncode, message in done.stderr) == (2, True), (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert (Path("old.png").read_bytes(), Path("half.npz").read_bytes()) == (b"old", b"old")
    assert not Path("x.gif").exists()


def test_a_full_disk_is_one_message(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture or the latents that cannot be written keep their old content."""
    for name in ("a.png", "a.npz"):
        Path(name).write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganforge.utils.images.png_bytes", full)
    done = command("interpolate", run.path, "--plugin", PLUGIN, "-o", "a.png", "--force")
    assert (done.returncode, "a.png cannot be written: No space left on device" in done.stderr) == (2, True)
    assert [Path(name).read_bytes() for name in ("a.png", "a.npz")] == [b"old", b"old"]


def test_conditions_are_fixed_or_belong_to_points(tmp_path: Path) -> None:
    """One class holds for all points; in w each point may have its own."""
    run = train_one_step(tmp_path / "classes", "layered", "gen.conditional=true")
    words = ("interpolate", run.path, "--plugin", PLUGIN, "0", "1", "--steps", "4", "--force", "-o", "c.png")
    for more, expected in (
        ((), [0, 0, 0, 0]),
        (("--condition", "3"), [3, 3, 3, 3]),
        (("--condition", "3", "--condition", "4"), [3, 3, 4, 4]),
    ):
        done = command(*words, *more)
        assert done.returncode == 0, done.stderr
        condition = Latents.load(Path("c.npz")).condition
        assert condition is not None
        assert condition.tolist() == expected
    done = command(*words, "--space", "z", "--condition", "3", "--condition", "4")
    assert (done.returncode, "classes cannot be interpolated" in done.stderr) == (2, True)
