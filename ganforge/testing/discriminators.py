"""What a discriminator must keep."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge.components import DiscriminatorOutput
from ganforge.testing.checks import Check, define, does_not_apply, require
from ganforge.testing.fixture import Subject
from ganforge.testing.generators import label_of
from ganforge.testing.networks import COUNT, answers, inputs, labels_for

CHECKS: list[Check] = []
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@define(CHECKS, "logits-shape", "discriminator", fix="give one logit per image: end with .squeeze(1), or nn.Flatten(0)")
def _logits_shape(subject: Subject) -> None:
    """One image in evaluation mode, and two or five in training, give as many logits, `(N,)`."""
    network = subject.network()
    for count in (1, 2, 5):
        network.train(count > 1)
        found = tuple(answers(subject, network, inputs(subject, network, count)).shape)
        require(found == (count,), f"{count} images give logits of shape {found}; ({count},) is needed")


@define(CHECKS, "logits-finite", "discriminator", fix="look for divisions by zero, and square roots of zero")
def _logits_finite(subject: Subject) -> None:
    """Logits are finite, for usual images and for blank ones."""
    network = subject.network()
    given = inputs(subject, network)
    for images in (given, torch.zeros_like(given), torch.full_like(given, -1)):
        require(bool(answers(subject, network, images).isfinite().all()), "its logits are not finite")


@define(CHECKS, "logits-unbounded", "discriminator", fix="leave the sigmoid out: the loss applies it")
def _logits_unbounded(subject: Subject) -> None:
    """Logits are not squashed into [0, 1]: larger weights make larger logits."""
    network = subject.network().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(20)
        logits = torch.cat([answers(subject, network, inputs(subject, network, 8, number)) for number in range(4)])
    squashed = bool((logits >= 0).all() and (logits <= 1).all()) and float(logits.abs().max()) > 0
    require(not squashed, "whatever its weights are, its logits lie in [0, 1], as after a sigmoid")


@define(CHECKS, "images-matter", "discriminator", fix="use the images in forward")
def _images_matter(subject: Subject) -> None:
    """Other images get other logits, and a gradient comes back to the images."""
    network = subject.network()
    images = inputs(subject, network).requires_grad_()
    logits = answers(subject, network, images)
    weights = torch.arange(1.0, 1 + len(logits))
    (slope,) = (
        torch.autograd.grad((logits * weights).sum(), images, allow_unused=True) if logits.requires_grad else (None,)
    )
    require(slope is not None and bool((slope != 0).any()), "no gradient comes back to the images")
    assert slope is not None  # noqa: S101 - just required
    require(bool(slope.isfinite().all()), "the gradient that comes back to the images is not finite")


@define(
    CHECKS,
    "double-backward",
    "discriminator",
    fix="use operations with a second derivative; gradient penalties need it",
)
def _double_backward(subject: Subject) -> None:
    """A penalty on the gradient at the images reaches the weights, and is finite."""
    network = subject.network()
    images = inputs(subject, network).requires_grad_()
    logits = answers(subject, network, images)
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True, allow_unused=True)
    require(slope is not None, "no gradient comes back to the images")
    assert slope is not None  # noqa: S101 - just required
    require(slope.requires_grad, "the gradient at the images does not depend on the weights: it has no derivative")
    slope.square().sum().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    require(gradients, "a penalty on the gradient at the images reaches no weight")
    require(all(bool(found.isfinite().all()) for found in gradients), "its second derivatives are not finite")


@define(
    CHECKS,
    "order-equivariant",
    "discriminator",
    fix="let no image's logit depend on its place in the batch",
)
def _order_equivariant(subject: Subject) -> None:
    """In evaluation mode images in another order get the same logits in that order."""
    network = subject.network().eval()
    images, labels = inputs(subject, network, 5), subject.labels(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        logits = network.judge(images, labels_for(network, labels)).logits
        moved = network.judge(images[order], labels_for(network, labels[order])).logits
    require(torch.allclose(moved, logits[order], rtol=1e-4, atol=1e-5), "in another order images get other logits")


@define(
    CHECKS,
    "per-image",
    "discriminator",
    fix="leave batch_independent at False: real and fake images are then judged apart",
)
def _per_image(subject: Subject) -> None:
    """If it says that it judges each image by itself, it does."""
    network = subject.network().eval()
    if not network.batch_independent:
        does_not_apply("it does not say so: real and fake images are judged apart")
    norms = [name for name, part in network.named_modules() if isinstance(part, BATCH_NORMS)]
    require(not norms, f"it says that it judges each image by itself, but has batch norm ({norms[:1]})")
    images, labels = inputs(subject, network, 6), labels_for(network, subject.labels(6))
    with torch.no_grad():
        together = network.judge(images, labels).logits
        apart = torch.cat(
            [
                network.judge(images[part], None if labels is None else labels[part]).logits
                for part in (slice(2), slice(2, 6))
            ]
        )
    require(torch.allclose(together, apart, rtol=1e-3, atol=1e-4), "others in the batch change an image's logit")


@define(CHECKS, "judges-labels", "discriminator", fix="use labels in forward, give class_logits, or take no labels")
def _judges_labels(subject: Subject) -> None:
    """Labels change the logits, or it gives class logits `(N, K)` for the loss to compare them with."""
    network = subject.network().eval()
    if not network.conditional:
        does_not_apply("it takes no labels")
    images = inputs(subject, network)
    with torch.no_grad():
        one, two = (network.judge(images, label_of(subject, number)) for number in (0, 1))
    if one.class_logits is not None:
        found, expected = tuple(one.class_logits.shape), (len(images), subject.image.num_classes)
        require(found == expected, f"its class logits have shape {found}; {expected} is needed")
        return
    require(not torch.equal(one.logits, two.logits), "it takes labels, but neither judges by them nor classifies")


@define(CHECKS, "features", "discriminator", fix="give features with the batch first, attached to the graph")
def _features(subject: Subject) -> None:
    """Features, where it gives any, have one entry for each image, and carry a gradient."""
    network = subject.network()
    answer: Tensor | DiscriminatorOutput = network(
        inputs(subject, network, COUNT), labels_for(network, subject.labels(COUNT))
    )
    features = answer.features if isinstance(answer, DiscriminatorOutput) else ()
    if not features:
        does_not_apply("it gives none")
    for number, values in enumerate(features):
        found = tuple(values.shape)
        require(found[0] == COUNT, f"features[{number}] has shape {found}; the batch of {COUNT} comes first")
        require(values.requires_grad, f"features[{number}] carries no gradient")
