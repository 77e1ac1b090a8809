"""Projection of images into a latent space, and nearest training images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganforge.latent_space.features import Features
from ganforge.latent_space.projection import nearest_training_images, project
from ganforge.latent_space.space import LatentSpace
from ganforge.utils.images import normalize
from tests.helpers.latent_spaces import train_one_step


@pytest.mark.parametrize("generator", ["matrix", "layered"])
def test_a_known_latent_is_recovered(generator: str, tmp_path: Path) -> None:
    """The image of a latent of another seed is found nearly exactly, the same by every run of the same seed."""
    space = LatentSpace(train_one_step(tmp_path / "run", generator))
    known = space.to_space(space.draw(2, seed=9), space.own_space)
    targets = space.images(known)
    state = torch.get_rng_state()
    result, again = (project(space, targets, steps=200, starts=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(result.latents.values, again.latents.values)
    assert float(result.distances.max()) < 0.01
    assert float(result.pixel_rms.max()) < 0.1
    if generator == "matrix":
        torch.testing.assert_close(result.latents.values, known.values, atol=0.3, rtol=0)
    torch.testing.assert_close(result.images, space.images(result.latents))


def test_features_are_part_of_the_distance(tmp_path: Path) -> None:
    """With features the distance is that of pixels and features; of pixels as features it is twice that of pixels."""
    space = LatentSpace(train_one_step(tmp_path / "run", "mlp", "gen.hidden=[8]"))
    targets = space.images(space.draw(1, seed=9))
    pixels, both = (project(space, targets, features=each, steps=1) for each in (None, Features(space, "pixels")))
    torch.testing.assert_close(both.distances, 2 * pixels.distances, rtol=1e-3, atol=0)
    steps: list[int] = []
    project(space, targets, steps=3, starts=1, progress=lambda _number, step, _distance: steps.append(step))
    assert steps == [0, 1, 2, 3]


def test_nearest_training_images(tmp_path: Path) -> None:
    """A training image is its own nearest one; all are ordered by their distance."""
    space = LatentSpace(train_one_step(tmp_path / "run", "matrix"))
    features = Features(space)
    targets = normalize(features.training_images([7, 1234]).images)
    indices, distances = nearest_training_images(features, targets, 4)
    assert indices[:, 0].tolist() == [7, 1234]
    torch.testing.assert_close(distances[:, 0], torch.zeros(2).double(), atol=1e-4, rtol=0)
    assert bool((distances.diff(dim=1) >= 0).all())
