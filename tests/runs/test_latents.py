"""Files of latents, and samples of them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.errors import UsageError
from ganforge.latent_space.directions import Directions
from ganforge.runs.latents import Latents
from ganforge.utils.arrays import write_npz
from tests.helpers.latent_spaces import PLUGIN, train_one_step
from tests.helpers.plugins import command, notes


def test_latents_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A file holds values, space, conditions, seeds and the checkpoint."""
    values = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    seeds = torch.tensor([[1, 0], [1, 1], [2, 0], [2**63 - 1, 9]])
    latents = Latents(values, "w", torch.tensor([1, 2, 3, 4]), seeds, "a" * 64)
    latents.save(tmp_path / "w.npz")
    read = Latents.load(tmp_path / "w.npz")
    assert (read.space, read.checkpoint) == ("w", "a" * 64)
    for one, other in ((read.values, values), (read.condition, latents.condition), (read.seeds, seeds)):
        assert isinstance(one, torch.Tensor)
        assert torch.equal(one, other)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.npz"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((2, 3))}, "has neither an array z nor w"),
        ({"z": np.zeros((0, 3))}, r"numbers \(N, …\) are required"),
        ({"z": np.zeros(3)}, r"numbers \(N, …\) are required"),
        ({"z": np.array([["a", "b"]])}, r"numbers \(N, …\) are required"),
        ({"z": np.full((2, 3), np.nan)}, "numbers that are not finite"),
        ({"z": np.zeros((2, 3)), "condition": np.zeros(3, np.int64)}, "3 conditions for 2 latents"),
        ({"z": np.zeros((2, 3)), "condition": np.zeros(2, np.float16)}, "conditions are float16"),
        ({"z": np.zeros((2, 3)), "seeds": np.zeros(2, np.int64)}, r"seeds are int64 of shape \(2,\)"),
        ({"z": np.array([[object()]])}, "cannot be read: Object arrays"),
    ],
)
def test_files_of_other_content_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Each is one message that names the file."""
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UsageError, match=message) as caught:
        Latents.load(tmp_path / "x.npz")
    assert "x.npz" in caught.value.message


def test_latents_of_a_gigabyte_are_refused(tmp_path: Path) -> None:
    """The header decides, before memory is taken: a megabyte of a file can hold a gigabyte of zeros."""
    for name, load in (("z", Latents.load), ("directions", Directions.load)):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open(f"{name}.npy", "w") as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 256)}
            np.lib.format.write_array_header_1_0(member, header)
        with pytest.raises(UsageError, match="declares arrays of 1,073,741,824 bytes; the limit is 536,870,912"):
            load(tmp_path / "a.npz")


def test_images_next_to_latents_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of `sample` holds images as well, which count for no limit of its latents."""
    monkeypatch.setattr("ganforge.runs.latents.MAX_LATENTS_BYTES", 1000)
    np.savez(tmp_path / "a.npz", z=np.zeros((2, 3), np.float32), images=np.zeros((2, 3, 32, 32), np.uint8))
    assert Latents.load(tmp_path / "a.npz").values.shape == (2, 3)


def test_samples_of_a_file_are_those_of_its_latents(tmp_path: Path) -> None:
    """`sample --latents` draws the images of a file of `sample`, in z or w, in their order and with their classes."""
    run = train_one_step(tmp_path / "run", "layered", "gen.conditional=true")
    words = ("sample", run.path, "--plugin", PLUGIN)
    done = command(*words, "-n", "4", "--condition", "3", "--condition", "5", "--seed", "2", "-o", "one.npz")
    assert done.returncode == 0, done.stderr
    done = command(*words, "--latents", "one.npz", "-o", "two.npz")
    assert (done.returncode, notes(done)) == (0, [])
    with np.load("one.npz") as one, np.load("two.npz") as two:
        assert one["condition"].tolist() == two["condition"].tolist() == [3, 5, 3, 5]
        for name in ("images", "z", "seeds", "checkpoint"):
            assert np.array_equal(one[name], two[name])
    done = command(*words, "--latents", "one.npz", "--condition", "7", "-n", "2", "-o", "seven.npz")
    assert done.returncode == 0, done.stderr
    with np.load("seven.npz") as seven:
        assert np.array_equal(seven["images"], run.sample(2, seed=2, condition=7).images)
    assert command(*words, "--latents", "one.npz", "-o", "grid.png").returncode == 0


def test_latents_of_another_shape_are_refused(tmp_path: Path) -> None:
    """In z and in w the message has both shapes; latents of other weights are drawn with a notice."""
    run = train_one_step(tmp_path / "run", "layered")
    words = ("sample", run.path, "--plugin", PLUGIN, "-o", "x.png", "--force", "--latents")
    for name, shape, required in (("z", (2, 7), "(N, 6)"), ("w", (2, 3, 6), "(N, 3, 5)"), ("w", (2, 15), "(N, 3, 5)")):
        write_npz(Path("wrong.npz"), {name: np.zeros(shape)})
        done = command(*words, "wrong.npz")
        assert (done.returncode, f"latents have shape {shape}; {required} is required" in done.stderr) == (2, True)
    np.savez("other.npz", w=np.zeros((2, 3, 5)), checkpoint=np.array("b" * 64))
    done = command(*words, "other.npz")
    assert done.returncode == 0, done.stderr
    assert notes(done) == ["the latents of other.npz were found with other weights; their images differ here"]
    done = command(*words, "other.npz", "-n", "3")
    assert (done.returncode, "other.npz has 2 latents; --num-samples is 3" in done.stderr) == (2, True)


def test_a_run_without_a_checkpoint_is_a_usage_error(tmp_path: Path) -> None:
    """The message names the command that trains it."""
    run = train_one_step(tmp_path / "run", "matrix")
    for path in (run.path / "checkpoints").iterdir():
        path.rename(tmp_path / path.name)
    done = command("sample", run.path, "--plugin", PLUGIN)
    assert (done.returncode, "has no checkpoint yet" in done.stderr) == (2, True)
    assert "ganforge resume" in done.stderr
