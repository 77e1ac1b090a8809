"""Checks of augmentations."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Augmentation, TrainStep
from ganforge.testing.checks import Check, register_check, require
from ganforge.testing.common import BUILDS, no_global_draws, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness
from ganforge.testing.snapshots import snapshot

CHECKS: list[Check] = []
SHAPE = "same-shape"
#: Calls of `observe`, and logits in each: enough for an augmentation that adapts slowly.
CALLS, LOGITS = 50, 4096


def adapted(harness: Harness) -> Augmentation:
    """Return the augmentation after a discriminator that is certain of real images."""
    augmentation: Augmentation = harness.component
    for _ in range(CALLS):
        augmentation.observe(torch.full((LOGITS,), 4.0))
    return augmentation


def augmented(augmentation: Augmentation, step: TrainStep, number: int = 0) -> Tensor:
    """Return the real images with new parameters."""
    step.use_rng(f"augment/{number}")
    return augmentation(step.real, augmentation.sample_parameters(step.real, step, real=True))  # type: ignore[no-any-return]


@register_check(
    CHECKS, SHAPE, "augmentation", fix="return images of the shape that came in", needs=(BUILDS, "originals-unchanged")
)
def _same_shape(fixture: Fixture) -> None:
    """Images keep their shape and stay finite, also while it adapts to one or several logits per image."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("disc")
    images = augmented(augmentation, step)
    require(images.shape == step.real.shape, f"it turns {tuple(step.real.shape)} into {tuple(images.shape)}")
    require(bool(images.isfinite().all()), "its images are not finite")
    augmentation.observe(torch.full((4, 2), 4.0))
    require(bool(augmented(augmentation, step).isfinite().all()), "its images are not finite after logits (N, K)")


@register_check(
    CHECKS,
    "differentiable",
    "augmentation",
    fix="round, quantize and detach nothing; index with grid_sample or gather",
    needs=(SHAPE,),
)
def _differentiable(fixture: Fixture) -> None:
    """A finite gradient passes through it to the images."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("gen")
    images = step.fake.detach().requires_grad_()
    values = augmentation(images, augmentation.sample_parameters(images, step, real=False))
    weighted = (values * torch.randn(values.shape, generator=fixture.rng(4))).sum()
    (slope,) = torch.autograd.grad(weighted, images, allow_unused=True) if weighted.requires_grad else (None,)
    require(slope is not None and bool(slope.any()), "no gradient reaches the images")
    assert slope is not None  # noqa: S101 - just required
    require(bool(slope.isfinite().all()), "the gradient at the images is not finite")


@register_check(
    CHECKS,
    "augments-from-rng",
    "augmentation",
    fix="pass generator=step.rng to everything that draws, in sample_parameters; it is on the CPU",
    needs=(SHAPE,),
)
def _augments_from_rng(fixture: Fixture) -> None:
    """It draws random numbers from `step.rng` only: the same random generator gives the same parameters."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("disc")
    parameters = []
    with no_global_draws():
        for _ in range(2):
            step.use_rng("augment")
            parameters.append(snapshot(augmentation.sample_parameters(step.real, step, real=True)))
    require(parameters[0] == parameters[1], "the same random generator gives other parameters each time")


@register_check(
    CHECKS,
    "parameters-decide",
    "augmentation",
    fix="draw everything in sample_parameters; forward is a function of images and parameters, and changes neither",
    needs=("augments-from-rng",),
)
def _parameters_decide(fixture: Fixture) -> None:
    """`forward` with the same parameters gives the same images, draws nothing, and leaves the parameters unchanged."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("disc")
    parameters = augmentation.sample_parameters(step.real, step, real=True)
    before, state = snapshot(parameters), step.rng.get_state()
    with no_global_draws():
        one, two = (augmentation(step.real, parameters) for _ in range(2))
    require(torch.equal(state, step.rng.get_state()), "forward draws from step.rng")
    require(torch.equal(one, two), "the same parameters give other images on the second call")
    require(snapshot(parameters) == before, "forward changes its parameters")


@register_check(
    CHECKS,
    "originals-unchanged",
    "augmentation",
    fix="avoid operations in place on the images that come in",
    needs=(BUILDS,),
)
def _originals_unchanged(fixture: Fixture) -> None:
    """The images that it gets stay unchanged."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("disc")
    before = step.real.clone()
    augmented(augmentation, step)
    unchanged(before, step.real, "its images")


@register_check(
    CHECKS,
    "state-is-saved",
    "augmentation",
    fix="keep what adapts in a buffer: self.register_buffer(name, tensor)",
    needs=("registered-state", "python-state", "parameters-decide"),
)
def _state_is_saved(fixture: Fixture) -> None:
    """Its state survives its state dict: loaded into a new one, it changes images as before."""
    harness = Harness(fixture)
    augmentation, step = adapted(harness), harness.step("disc")
    loaded: Any = fixture.make()
    loaded.load_state_dict(augmentation.state_dict())
    expected = augmented(augmentation, step)
    for how, twin in (("loaded from its state dict", loaded), ("copied deeply", copy.deepcopy(augmentation))):
        require(torch.equal(augmented(twin, step), expected), f"{how}, it changes images in another way")
