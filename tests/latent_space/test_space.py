"""Latent space of a trained run: points and their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ganforge.errors import IncompatibleError, UsageError
from ganforge.latent_space.points import PointReader
from ganforge.latent_space.space import LatentSpace
from ganforge.runs import rebuild
from ganforge.runs.latents import Latents, concatenate
from tests.helpers.latent_spaces import PLUGIN, train_one_step
from tests.helpers.plugins import command


def test_points_are_those_of_samples(tmp_path: Path) -> None:
    """A seed's latents have the images of `sample`, in z and in w, and the first ones are the same for every count."""
    run = train_one_step(tmp_path / "run", "layered")
    space, samples = LatentSpace(run), run.sample(3, seed=4)
    z = space.draw(3, seed=4)
    w = space.to_space(z, "w")
    assert (z.space, w.space, tuple(w.values.shape)) == ("z", "w", (3, 3, 5))
    assert np.array_equal(z.values.numpy(), samples.latents)
    assert torch.equal(space.draw(1, seed=4).values, z.values[:1])
    for latents in (z, w):
        assert np.array_equal(space.pictures(latents).permute(0, 2, 3, 1).numpy(), samples.images)
    read = concatenate(PointReader(space).read(["4:2", "4"], "z"))
    assert torch.equal(read.values, z.values[[2, 0]])
    assert read.seeds is not None
    assert read.seeds.tolist() == [[4, 2], [4, 0]]


def test_the_picture_of_one_latent_is_its_image(tmp_path: Path) -> None:
    """One image has no border; several are a grid. The space has the step and the weights of its checkpoint."""
    space = LatentSpace(train_one_step(tmp_path / "run", "layered"), ema=False)
    latents = space.draw(2)
    assert torch.equal(space.picture(latents[:1], 1), space.pictures(latents[:1])[0])
    assert space.picture(latents, 2).shape == (1, 28 + 4, 2 * 28 + 6)
    assert (space.loaded.step, space.ema) == (1, False)


def test_all_images_have_the_same_noise(tmp_path: Path) -> None:
    """Equal latents have equal images, unlike those of `sample`; another seed has other noise."""
    run = train_one_step(tmp_path / "run", "layered", "gen.noise=0.5")
    latents = LatentSpace(run).draw(1)[[0, 0]]
    images = LatentSpace(run).images(latents)
    torch.testing.assert_close(images[0], images[1])
    assert not torch.allclose(images, LatentSpace(run, seed=1).images(latents), atol=0.1)
    samples = run.sample(latents=latents).images
    assert not np.array_equal(samples[0], samples[1])


def test_a_copy_on_another_device_shares_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights move in place, so that a shared one would leave the CPU, too."""
    loaded = LatentSpace(train_one_step(tmp_path / "run", "layered")).loaded
    monkeypatch.setattr(rebuild, "choose_device", torch.device)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, _: module)
    own = {weight.data_ptr() for weight in loaded.generator.parameters()}
    assert own.isdisjoint(weight.data_ptr() for weight in loaded.on("cuda").parameters())


def test_images_are_computed_on_the_chosen_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device gets a copy of the generator, and the same images; a missing device is one error."""
    run = train_one_step(tmp_path / "run", "layered")
    assert LatentSpace(run, device="cpu").loaded.on("cpu") is run.generator()
    for command_of in (["sample", "run"], ["interpolate", "run", "0", "1"], ["project", "run", "0"]):
        done = command(*command_of, "--device", "tpu", "--plugin", PLUGIN)
        assert done.returncode == 2
        assert "no device 'tpu'" in done.stderr
    moved: list[torch.device] = []

    def to(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
        moved.append(device)
        return module

    monkeypatch.setattr(rebuild, "choose_device", torch.device)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    images = run.sample(3, seed=4, device="cuda:7").images
    assert moved == [torch.device("cuda:7")]
    assert np.array_equal(images, run.sample(3, seed=4).images)


def test_sampling_options_hold_in_both_spaces(tmp_path: Path) -> None:
    """Truncation of a generator's own applies when w is computed."""
    run = train_one_step(tmp_path / "run", "layered")
    space = LatentSpace(run, sampling={"truncation": 0.5})
    latents = space.draw(2)
    torch.testing.assert_close(space.images(space.to_space(latents, "w")), space.images(latents))
    whole = LatentSpace(run).to_space(latents, "w").values
    torch.testing.assert_close(space.to_space(latents, "w").values, whole / 2)


def test_conditions_of_points(tmp_path: Path) -> None:
    """The first class is the default, files keep theirs, and given ones take turns; w contains the class."""
    run = train_one_step(tmp_path / "run", "layered", "gen.conditional=true")
    space = LatentSpace(run)
    latents = space.draw(3)
    assert space.conditioned(latents).condition.tolist() == [0, 0, 0]  # type: ignore[union-attr]
    given = space.conditioned(latents, torch.tensor([7, 2]))
    assert given.condition is not None
    assert given.condition.tolist() == [7, 2, 7]
    given.save(tmp_path / "given.npz")
    read = concatenate(PointReader(space).read([str(tmp_path / "given.npz"), "0"], "w"))
    assert read.condition is not None
    assert read.condition.tolist() == [7, 2, 7, 0]
    seven = concatenate(PointReader(space).read(["0"], "w", torch.tensor([7])))
    torch.testing.assert_close(seven.values[0], read.values[0])
    assert not torch.equal(seven.values[0], read.values[3])
    with pytest.raises(IncompatibleError, match="invalid class 10"):
        space.pictures(space.conditioned(latents, torch.tensor([10])))


def test_w_is_z_without_a_mapping_network(tmp_path: Path) -> None:
    """Such a generator has one space, under both names."""
    space = LatentSpace(train_one_step(tmp_path / "run", "matrix"))
    latents = space.draw(2)
    assert space.own_space == "z"
    assert space.to_space(latents, "w").space == "z"
    assert space.to_space(Latents(latents.values, "w"), "z").space == "z"
    assert torch.equal(space.to_space(latents, "w").values, latents.values)


def test_invalid_points_are_refused(tmp_path: Path) -> None:
    """Each has one message: texts, numbers beyond a file, and w where z is required."""
    space = LatentSpace(train_one_step(tmp_path / "run", "layered"))
    space.to_space(space.draw(2), "w").save(tmp_path / "w.npz")
    file = str(tmp_path / "w.npz")
    for text, message in (
        ("seven", "invalid point 'seven'"),
        ("-1", "invalid point '-1'"),
        (f"{2**70}", "the largest seed"),
        ("0:100000", "the largest number 99999"),
        (f"{file}:2", "has no latent 2; it has 2"),
        (file, "latents in w have no z"),
        ("missing.npz", "missing.npz cannot be read: No such file"),
    ):
        with pytest.raises(UsageError, match=message):
            PointReader(space).read([text], "z")


def test_the_run_and_the_random_state_stay_unchanged(tmp_path: Path) -> None:
    """Drawing points and pictures writes no file of the run and draws no global random number."""
    run = train_one_step(tmp_path / "run", "layered", "gen.noise=0.5")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    state = torch.get_rng_state()
    space = LatentSpace(run)
    space.pictures(space.to_space(space.draw(3), "w"))
    assert torch.equal(torch.get_rng_state(), state)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
