"""Checks of augmentations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganforge.components import Augmentation, TrainStep
from ganforge.testing.checks import Checks, require, require_finite, slope_of, twins, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.testing.harness import Harness
from ganforge.testing.snapshots import snapshot

checks = Checks("augmentation", needs="same-shape")
#: Calls of `observe`, and logits in each: enough for an augmentation that adapts slowly.
CALLS, LOGITS = 50, 4096


def adapted(fixture: Fixture, phase: str = "disc") -> tuple[Augmentation, TrainStep]:
    """Return the augmentation after a discriminator that is certain of real images, and an update."""
    harness = Harness(fixture)
    augmentation: Augmentation = harness.component
    for _ in range(CALLS):
        augmentation.observe(torch.full((LOGITS,), 4.0))
    return augmentation, harness.step(phase)


def parameters_for(augmentation: Augmentation, step: TrainStep) -> Any:  # noqa: ANN401 - of any type
    """Return parameters for the real images, the same each time."""
    step.use_rng("augment")
    return augmentation.sample_parameters(step.real, step, real=True)


def augmented(augmentation: Augmentation, step: TrainStep) -> Tensor:
    """Return the augmented real images."""
    images: Tensor = augmentation(step.real, parameters_for(augmentation, step))
    return images


@checks.add("return images of the shape that came in", needs="originals-unchanged")
def same_shape(fixture: Fixture) -> None:
    """Images keep their shape and stay finite, also while it adapts to one or several logits per image."""
    augmentation, step = adapted(fixture)
    images = augmented(augmentation, step)
    require(images.shape == step.real.shape, f"it turns {tuple(step.real.shape)} into {tuple(images.shape)}")
    require_finite(images, "its images are")
    augmentation.observe(torch.full((4, 2), 4.0))
    require_finite(augmented(augmentation, step), "after logits (N, K) its images are")


@checks.add("round, quantize and detach nothing; index with grid_sample or gather")
def differentiable(fixture: Fixture) -> None:
    """A finite gradient passes through it to the images."""
    augmentation, step = adapted(fixture, "gen")
    images = step.fake.detach().requires_grad_()
    parameters = augmentation.sample_parameters(images, step, real=False)
    slope_of(augmentation(images, parameters), images, "no gradient reaches the images")


@checks.add("pass generator=step.rng to everything that draws, in sample_parameters; it is on the CPU")
def augments_from_rng(fixture: Fixture) -> None:
    """It draws random numbers from `step.rng` only: the same random generator gives the same parameters."""
    augmentation, step = adapted(fixture)
    with no_global_draws():
        one, two = (snapshot(parameters_for(augmentation, step)) for _ in range(2))
    require(one == two, "the same random generator gives other parameters each time")


@checks.add(
    "draw everything in sample_parameters; forward is a function of images and parameters, and changes neither",
    needs="augments-from-rng",
)
def parameters_decide(fixture: Fixture) -> None:
    """`forward` with the same parameters gives the same images, draws nothing, and leaves the parameters unchanged."""
    augmentation, step = adapted(fixture)
    parameters = parameters_for(augmentation, step)
    before, state = snapshot(parameters), step.rng.get_state()
    with no_global_draws():
        one, two = (augmentation(step.real, parameters) for _ in range(2))
    require(torch.equal(state, step.rng.get_state()), "forward draws from step.rng")
    require(torch.equal(one, two), "the same parameters give other images on the second call")
    require(snapshot(parameters) == before, "forward changes its parameters")


@checks.add("avoid operations in place on the images that come in", needs="own-weights initialized-weights")
def originals_unchanged(fixture: Fixture) -> None:
    """The images that it gets stay unchanged."""
    augmentation, step = adapted(fixture)
    with unchanged({"its images": step.real}):
        augmented(augmentation, step)


@checks.add(
    "keep what adapts in a buffer: self.register_buffer(name, tensor)",
    needs="registered-state python-state parameters-decide",
)
def state_is_saved(fixture: Fixture) -> None:
    """Its state survives its state dict: loaded into a new one, it changes images as before."""
    augmentation, step = adapted(fixture)
    expected = augmented(augmentation, step)
    for how, twin in twins(fixture, augmentation):
        require(torch.equal(augmented(twin, step), expected), f"{how}, it changes images in another way")
