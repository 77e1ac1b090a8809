"""What an augmentation must keep."""

from __future__ import annotations

import copy

import torch

from ganforge.components import Augmentation
from ganforge.testing.checks import Check, define, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject

CHECKS: list[Check] = []
COUNT = 6
STEPS = 50
#: Logits that it hears of at a time: enough for one that adapts slowly to have adapted.
HEARD = 4096


def busy(subject: Subject) -> Augmentation:
    """Return the augmentation, after it has heard a discriminator that is sure of real images for a while."""
    made: Augmentation = subject.make()
    for _ in range(STEPS):
        made.observe(torch.full((HEARD,), 4.0))
    return made


@define(CHECKS, "same-shape", "augmentation", fix="return images of the shape that came in")
def _same_shape(subject: Subject) -> None:
    """Images keep their shape and stay finite."""
    images = subject.pictures(COUNT)
    found = busy(subject)(images, rng=subject.rng())
    require(found.shape == images.shape, f"it turns {tuple(images.shape)} into {tuple(found.shape)}")
    require(bool(found.isfinite().all()), "its images are not finite")


@define(
    CHECKS, "differentiable", "augmentation", fix="round, quantise and detach nothing; index with grid_sample or gather"
)
def _differentiable(subject: Subject) -> None:
    """A finite gradient goes back through it to the images."""
    images = subject.pictures(COUNT).requires_grad_()
    found = busy(subject)(images, rng=subject.rng())
    weighted = (found * torch.randn(found.shape, generator=subject.rng(4))).sum()
    (slope,) = torch.autograd.grad(weighted, images, allow_unused=True) if weighted.requires_grad else (None,)
    require(slope is not None and bool(slope.any()), "no gradient comes back to the images")
    assert slope is not None  # noqa: S101 - just required
    require(bool(slope.isfinite().all()), "the gradient that comes back to the images is not finite")


@define(
    CHECKS, "augments-from-rng", "augmentation", fix="pass generator=rng to everything that draws; it is on the CPU"
)
def _augments_from_rng(subject: Subject) -> None:
    """Whatever it draws it draws from the generator that it is given."""
    made, images = busy(subject), subject.pictures(COUNT)
    state = torch.get_rng_state()
    one, two = (made(images, rng=subject.rng(5)) for _ in range(2))
    drew = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    require(not drew, "it draws from torch's global generator")
    require(torch.equal(one, two), "the same random generator gives other images each time")


@define(CHECKS, "originals-unchanged", "augmentation", fix="avoid operations in place on the images that come in")
def _originals_unchanged(subject: Subject) -> None:
    """The images that it is given stay as they were."""
    images = subject.pictures(COUNT)
    before = images.clone()
    busy(subject)(images, rng=subject.rng())
    unchanged(before, images, "its images")


@define(
    CHECKS, "state-is-saved", "augmentation", fix="keep what adapts in a buffer: self.register_buffer(name, tensor)"
)
def _state_is_saved(subject: Subject) -> None:
    """What it has adapted to survives its state dict: loaded into a fresh one, it changes images as before."""
    made, fresh = busy(subject), subject.make()
    fresh.load_state_dict(made.state_dict())
    images = subject.pictures(COUNT)
    expected = made(images, rng=subject.rng())
    for what, twin in (("loaded from its state dict", fresh), ("copied deeply", copy.deepcopy(made))):
        same = torch.equal(twin(images, rng=subject.rng()), expected)
        require(same, f"{what}, it changes images in another way than the one that has adapted")
