"""Checks of discriminators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput
from ganforge.testing.checks import Checks, near, require, require_finite, skip, slope_of, tensors_of
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness
from ganforge.testing.networks import COUNT, condition_for, inputs, run
from ganforge.training.preflight_checks import BATCH_NORMS

checks = Checks("discriminator", needs="logits-shape")
#: Whole batches, which work also for discriminators that judge images in pairs or groups.
COUNTS, ODD_COUNTS = (4, 8), (1, 2, 5)


@checks.add(
    "return one logit per image, (N,): end with .squeeze(1); or several, (N, K): logits.flatten(1)",
    needs="input-unchanged",
)
def logits_shape(fixture: Fixture) -> None:
    """Any number of images gives as many logits, `(N,)`, or `(N, K)` with one K > 1; one image in evaluation mode."""
    network = fixture.network()
    tails = {_logits_of_one_image(fixture, network, count) for count in COUNTS}
    for count in ODD_COUNTS:
        network.train(count > 1)
        try:
            run(fixture, network, inputs(fixture, network, count))
        except Exception:  # noqa: BLE001, S112 - it may judge groups of images, which do not divide this batch
            continue
        tails.add(_logits_of_one_image(fixture, network, count))
    require(len(tails) == 1, f"the number of logits per image depends on the batch: {sorted(tails)}")


def _logits_of_one_image(fixture: Fixture, network: Any, count: int) -> tuple[int, ...]:  # noqa: ANN401 - a Discriminator
    """Return `()` or `(K,)`. Raises CheckFailed for logits of another shape."""
    shape = tuple(run(fixture, network, inputs(fixture, network, count)).shape)
    hint = ""
    if shape[:2] == (count, 1) and len(shape) == len("NCHW"):
        hint = ": a map of patches; return logits.flatten(1), (N, K)"
    elif shape == (count, 1):
        hint = ": return logits.squeeze(1)"
    several = len(shape) == len("NK") and shape[0] == count and shape[1] > 1
    require(
        shape == (count,) or several,
        f"{count} images give logits of shape {shape}; ({count},) or ({count}, K) is needed{hint}",
    )
    return shape[1:]


@checks.add("look for divisions by zero, and square roots of zero")
def logits_finite(fixture: Fixture) -> None:
    """Logits are finite, for usual images and for blank ones."""
    network = fixture.network()
    given = inputs(fixture, network)
    for images in (given, torch.zeros_like(given), torch.full_like(given, -1)):
        require_finite(run(fixture, network, images), "its logits are")


@checks.add("leave the sigmoid out: the loss applies it")
def logits_unbounded(fixture: Fixture) -> None:
    """Logits are not squashed into [0, 1]: larger weights give larger logits."""
    network = fixture.network().eval()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.mul_(20)
        logits = run(fixture, network, inputs(fixture, network, 32))
    squashed = bool((logits >= 0).all() and (logits <= 1).all()) and float(logits.abs().max()) > 0
    require(not squashed, "for any weights its logits lie in [0, 1], as after a sigmoid")


@checks.add("use the images in forward, and detach nothing")
def images_matter(fixture: Fixture) -> None:
    """A finite gradient reaches the images."""
    network = fixture.network()
    images = inputs(fixture, network).requires_grad_()
    slope_of(run(fixture, network, images), images, "no gradient reaches the images")


@checks.add("use operations with a second derivative; gradient penalties need it", needs="images-matter")
def double_backward(fixture: Fixture) -> None:
    """A penalty on the gradient at the images reaches the weights, and is finite."""
    network = fixture.network()
    images = inputs(fixture, network).requires_grad_()
    (slope,) = torch.autograd.grad(run(fixture, network, images).sum(), images, create_graph=True)
    require(slope.requires_grad, "the gradient at the images does not depend on the weights: it has no derivative")
    slope.square().sum().backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    require(gradients, "a penalty on the gradient at the images reaches no weight")
    for gradient in gradients:
        require_finite(gradient, "its second derivatives are")


@checks.add("let no image's logit depend on its place in the batch", needs="logits-shape same-answer-in-eval")
def order_equivariant(fixture: Fixture) -> None:
    """In evaluation mode equal images get equal logits, and if it is independent of the batch, in any order."""
    network = fixture.network().eval()
    order = torch.tensor([3, 0, 4, 1, 2, 7, 5, 6]) if network.batch_independent else torch.zeros(8, dtype=torch.int64)
    moved = _logits_of(fixture, network, order)
    if network.batch_independent:
        expected = _logits_of(fixture, network, torch.arange(8))[order]
    else:
        expected = moved[:1].expand_as(moved)
    require(near(moved, expected), "at another place in the batch an image gets another logit")


@torch.no_grad()
def _logits_of(fixture: Fixture, network: Any, order: Tensor) -> Tensor:  # noqa: ANN401 - as above
    """Return the logits of some of eight images."""
    images, condition = inputs(fixture, network, 8), condition_for(fixture, network, 8)
    output: DiscriminatorOutput = network(images[order], None if condition is None else condition[order])
    return output.logits


@checks.add(
    "leave batch_independent at False: real images and fakes are then passed through apart", needs="order-equivariant"
)
def batch_independent(fixture: Fixture) -> None:
    """A declared independence of the batch holds for its outputs."""
    network = fixture.network()
    if not network.batch_independent:
        skip("it is not declared batch_independent: real images and fakes are passed through apart")
    norms = [name for name, part in network.named_modules() if isinstance(part, BATCH_NORMS) and part.training]
    require(not norms, f"it is declared batch_independent, but has batch norm ({', '.join(norms[:1])})")
    network.eval()
    together = _logits_of(fixture, network, torch.arange(8))
    apart = torch.cat([_logits_of(fixture, network, part) for part in (torch.arange(2), torch.arange(2, 8))])
    close = torch.allclose(together, apart, rtol=1e-3, atol=1e-4)
    require(close, "other images in the batch change an image's logit")


@checks.add(
    "use the condition in forward, return class_logits, or leave conditional False",
    needs="logits-shape same-answer-in-eval",
)
def condition_matters(fixture: Fixture) -> None:
    """Its output depends on the condition, or it returns class logits `(N, num_classes)` for the loss to compare."""
    network = fixture.network().eval()
    if not network.conditional:
        skip("it is not conditional")
    images = inputs(fixture, network)
    with torch.no_grad():
        one, two = (network(images, condition_for(fixture, network, number=number)) for number in (0, 1))
    if one.class_logits is not None:
        shape, expected = tuple(one.class_logits.shape), (COUNT, fixture.image.num_classes)
        require(shape == expected, f"its class logits have shape {shape}; {expected} is needed")
        return
    others = tensors_of(two)
    same = all(torch.equal(values, others[name]) for name, values in tensors_of(one).items())
    require(not same, "it is conditional, but its output does not depend on the condition")


@checks.add("return features with the batch first, attached to the graph")
def features(fixture: Fixture) -> None:
    """Features, if it returns any, have one entry per image, and depend on the images."""
    network = fixture.network()
    images = inputs(fixture, network).requires_grad_()
    output = network(images, condition_for(fixture, network))
    if not output.features:
        skip("it returns none")
    for number, values in enumerate(output.features):
        shape = tuple(values.shape)
        require(shape[:1] == (COUNT,), f"features[{number}] has shape {shape}; the batch of {COUNT} comes first")
        require(values.requires_grad, f"features[{number}] carries no gradient")


@checks.add("accept what the generator partner returns as discriminator_input, and real images")
def discriminator_input(fixture: Fixture) -> None:
    """It returns logits of one shape for real images and for the output of its generator partner."""
    if "gen" not in fixture.partners:
        skip("it names no generator in `partners`")
    step = Harness(fixture).step("disc")
    real, fake = tuple(step.real_output.logits.shape), tuple(step.fake_output.logits.shape)
    require(real == fake, f"its logits have shape {real} for real images, but {fake} for fakes")
