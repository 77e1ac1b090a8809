"""What a penalty must keep."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ganforge.components import Discriminator, ImageSpec, Network, Penalty
from ganforge.testing.checks import Check, define, does_not_apply, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject

CHECKS: list[Check] = []
COUNT = 5


class Linear(Discriminator):
    """D(x) = ⟨w, x⟩, whose gradient at every image is w."""

    def __init__(self, options: Network.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.weight = nn.Parameter(torch.randn(image.numel) / math.sqrt(image.numel))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        return images.flatten(1) @ self.weight


class Curved(Discriminator):
    """A small network without batch norm, smooth everywhere, so that each image has a slope of its own."""

    def __init__(self, options: Network.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(image.numel, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        logits: Tensor = self.layers(images * 3).squeeze(1)
        return logits


def measured(subject: Subject, discriminator: Discriminator, *, real: Tensor, fake: Tensor, number: int = 0) -> Tensor:
    """Return the penalty, `(N,)`."""
    penalty: Penalty = subject.make()
    labels = subject.labels(len(real)) if discriminator.conditional else None
    return penalty.measure(discriminator, real=real, fake=fake, labels=labels, rng=subject.rng(number))


def curved(subject: Subject) -> Curved:
    """Return a discriminator that is the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Curved(Discriminator.Options(), subject.image)


@define(CHECKS, "penalty-shape", "penalty", fix="return one number per image, (N,), unweighted and not reduced")
def _penalty_shape(subject: Subject) -> None:
    """It gives one finite number for each image, `(N,)`."""
    values = measured(subject, curved(subject), real=subject.pictures(COUNT), fake=subject.pictures(COUNT, 1))
    found = tuple(values.shape)
    require(found == (COUNT,), f"it has shape {found} for {COUNT} images; ({COUNT},) is needed")
    require(bool(values.isfinite().all()), "it is not finite")


@define(CHECKS, "non-negative", "penalty", fix="square it, or take its positive part; the engine adds it to D's loss")
def _non_negative(subject: Subject) -> None:
    """It is never negative."""
    for number in range(3):
        real, fake = subject.pictures(COUNT, number), subject.pictures(COUNT, number + 10)
        values = measured(subject, curved(subject), real=real, fake=fake, number=number).detach()
        require(bool((values >= 0).all()), f"it is negative, down to {float(values.min()):.3g}")


@define(CHECKS, "per-sample", "penalty", fix="flatten each image by itself: gradient.flatten(1).square().sum(1)")
def _per_sample(subject: Subject) -> None:
    """Each number depends on its own image alone."""
    discriminator = curved(subject)
    real, fake = subject.pictures(COUNT), subject.pictures(COUNT, 1)
    before = measured(subject, discriminator, real=real, fake=fake)
    real, fake = real.clone(), fake.clone()
    real[0], fake[0] = subject.pictures(1, 2)[0], subject.pictures(1, 3)[0]
    after = measured(subject, discriminator, real=real, fake=fake)
    same = torch.allclose(before[1:], after[1:], rtol=1e-4, atol=1e-6)
    require(same, "another first image changes the penalties of the others: it is taken over the batch")


@define(CHECKS, "linear-value", "penalty", fix="compare measure() and linear_value() with the paper's formula")
def _linear_value(subject: Subject) -> None:
    """For D(x) = ⟨w, x⟩ it is what the formula gives, which `linear_value(|w|)` says."""
    penalty: Penalty = subject.make()
    if penalty.linear_value(1.0) is None:
        does_not_apply("it declares no value for a linear discriminator: see Penalty.linear_value")
    linear = Linear(Discriminator.Options(), subject.image)
    for norm in (0.5, 1.0, 3.0):
        with torch.no_grad():
            linear.weight.mul_(norm / linear.weight.norm())
        values = measured(subject, linear, real=subject.pictures(COUNT), fake=subject.pictures(COUNT, 1)).detach()
        expected = penalty.linear_value(norm)
        assert expected is not None, "the same penalty gave one"  # noqa: S101
        near = torch.allclose(values, torch.full_like(values, expected), rtol=1e-3, atol=1e-5)
        found = f"{float(values.min()):.5g} to {float(values.max()):.5g}"
        require(near, f"for D(x) = ⟨w, x⟩ with |w| = {norm:g} it is {found}, not {expected:.5g}")


@define(CHECKS, "reaches-weights", "penalty", fix="take the gradient with create_graph=True, and detach nothing")
def _reaches_weights(subject: Subject) -> None:
    """Its gradient reaches the discriminator's weights, and is finite."""
    discriminator = curved(subject)
    values = measured(subject, discriminator, real=subject.pictures(COUNT), fake=subject.pictures(COUNT, 1))
    require(values.requires_grad, "no gradient comes out of it")
    values.mean().backward()  # type: ignore[no-untyped-call]
    found = [weight.grad for weight in discriminator.parameters() if weight.grad is not None]
    require(any(bool(gradient.any()) for gradient in found), "its gradient reaches no weight of the discriminator")
    require(all(bool(gradient.isfinite().all()) for gradient in found), "its gradient is not finite")


@define(CHECKS, "draws-from-rng", "penalty", fix="pass generator=rng to torch.rand; the rng is on the CPU")
def _draws_from_rng(subject: Subject) -> None:
    """Whatever it draws it draws from the generator that it is given."""
    discriminator = curved(subject)
    real, fake = subject.pictures(COUNT), subject.pictures(COUNT, 1)
    state = torch.get_rng_state()
    one, two = (measured(subject, discriminator, real=real, fake=fake) for _ in range(2))
    drew = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    require(not drew, "it draws from torch's global generator")
    require(torch.equal(one, two), "the same random generator gives other numbers each time")


@define(CHECKS, "images-unchanged", "penalty", fix="work on a copy: real.detach().clone().requires_grad_()")
def _images_unchanged(subject: Subject) -> None:
    """The images stay as they were, and require no gradient afterwards."""
    real, fake = subject.pictures(COUNT), subject.pictures(COUNT, 1)
    kept = real.clone(), fake.clone()
    measured(subject, curved(subject), real=real, fake=fake)
    unchanged(kept[0], real, "the real images")
    unchanged(kept[1], fake, "the fake images")
    require(not (real.requires_grad or fake.requires_grad), "afterwards the images that it was given require gradients")


@define(
    CHECKS, "with-labels", "penalty", fix="judge with discriminator.judge(images, labels), the labels that are given"
)
def _with_labels(subject: Subject) -> None:
    """It passes labels on to a discriminator that takes them."""
    image = replace(subject.image, num_classes=subject.image.num_classes or 2)
    discriminator = Labelled(Discriminator.Options(), image)
    measured(subject, discriminator, real=subject.pictures(COUNT), fake=subject.pictures(COUNT, 1))
    require(discriminator.missed == 0, "it judges images without the labels that they were made for")


class Labelled(Curved):
    """The same network, which counts how often it is asked without labels."""

    def __init__(self, options: Network.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.missed = 0

    @property
    def conditional(self) -> bool:
        """It wants to see them."""
        return True

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        self.missed += labels is None or len(labels) != len(images)
        return super().forward(images)
