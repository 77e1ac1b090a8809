"""What a generator must keep."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.testing.checks import Check, define, does_not_apply, require
from ganforge.testing.fixture import Subject
from ganforge.testing.networks import answers, inputs, outputs

CHECKS: list[Check] = []
#: As in preflight: a tanh in low precision stays well within.
SLACK = 1e-3


@define(CHECKS, "image-shape", "generator", fix="follow image.channels, image.height and image.width")
def _image_shape(subject: Subject) -> None:
    """One latent in evaluation mode, and two or five in training, give as many images of the data's shape."""
    network, image = subject.network(), subject.image
    z = network.sample_latents(3, subject.rng())
    require(tuple(z.shape) == (3, network.latent_dim), f"sample_latents(3, rng) gives {tuple(z.shape)}, not (3, Z)")
    for count in (1, 2, 5):
        network.train(count > 1)  # batch norm cannot train on one
        found = tuple(answers(subject, network, inputs(subject, network, count)).shape)
        expected = (count, image.channels, image.height, image.width)
        require(found == expected, f"{count} latents give images of shape {found}; {expected} is needed")


@define(
    CHECKS, "latents-from-rng", "generator", fix="draw in sample_latents from the rng that is given, and only there"
)
def _latents_from_rng(subject: Subject) -> None:
    """`sample_latents` draws from the generator that it is given: the same gives the same, another gives others."""
    network = subject.network()
    one, two, other = (network.sample_latents(4, subject.rng(number)) for number in (0, 0, 1))
    require(torch.equal(one, two), "the same random generator gives other latents each time")
    require(not torch.equal(one, other), "another random generator gives the same latents")


@define(CHECKS, "image-finite", "generator", fix="look for divisions by zero, and square roots of zero")
def _image_finite(subject: Subject) -> None:
    """Images are finite, for usual latents and for zero."""
    network = subject.network()
    given = inputs(subject, network)
    for z in (given, torch.zeros_like(given)):
        require(bool(answers(subject, network, z).isfinite().all()), "its images hold numbers that are not finite")


@define(CHECKS, "image-range", "generator", fix="end it with a tanh")
def _image_range(subject: Subject) -> None:
    """Images lie in [-1, 1], however large the latents are."""
    network = subject.network()
    for training in (True, False):
        network.train(training)
        given = inputs(subject, network, 8)
        for z in (given, given * 100):
            with torch.no_grad():
                found = answers(subject, network, z)
            low, high = float(found.min()), float(found.max())
            require(low >= -1 - SLACK and high <= 1 + SLACK, f"its images lie in [{low:.3g}, {high:.3g}]")


@define(CHECKS, "latents-matter", "generator", fix="use z in forward, all of it")
def _latents_matter(subject: Subject) -> None:
    """Every number of a latent has an influence on the images."""
    network = subject.network()
    z = inputs(subject, network, 8).requires_grad_()
    found = answers(subject, network, z)
    weighted = (found * torch.randn(found.shape, generator=subject.rng(5))).sum()
    (gradient,) = torch.autograd.grad(weighted, z, allow_unused=True) if weighted.requires_grad else (None,)
    require(gradient is not None and bool((gradient != 0).any()), "its images do not depend on the latents")
    assert gradient is not None  # noqa: S101 - just required
    unused = (gradient == 0).all(0).nonzero().flatten().tolist()
    require(not unused, f"{len(unused)} of the {z.shape[1]} numbers of a latent have no influence")


@define(CHECKS, "labels-matter", "generator", fix="use labels in forward, or leave conditional False")
def _labels_matter(subject: Subject) -> None:
    """Other labels give another image of the same latent."""
    network = subject.network().eval()
    if not network.conditional:
        does_not_apply("it takes no labels")
    z = inputs(subject, network)
    with torch.no_grad():
        one, two = (outputs(network, z, label_of(subject, number)) for number in (0, 1))
    require(not torch.equal(one, two), "it takes labels, but its images do not depend on them")


def label_of(subject: Subject, number: int, count: int = 4) -> Tensor:
    """Return one label for all, `(N,)`."""
    return torch.full((count,), number % (subject.image.num_classes or 1))
