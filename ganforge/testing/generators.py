"""Checks of generators."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Generator, GeneratorOutput
from ganforge.testing.checks import Check, register_check, require, skip
from ganforge.testing.common import near, no_global_draws
from ganforge.testing.fixture import Fixture
from ganforge.testing.networks import COUNT, condition_for, inputs, outputs, run, tensors_of
from ganforge.utils.rng import fork_torch_rng

CHECKS: list[Check] = []
#: As in preflight: a tanh in low precision stays well within.
SLACK = 1e-3


@register_check(
    CHECKS,
    "image-shape",
    "generator",
    fix="follow image.channels, image.height and image.width",
    needs=("input-unchanged",),
)
def _image_shape(fixture: Fixture) -> None:
    """One latent in evaluation mode, and two or five in training mode, give as many images of the data's shape."""
    network = fixture.network()
    for count in (1, 2, 5):
        network.train(count > 1)  # batch norm cannot train on one
        shape = tuple(run(fixture, network, inputs(fixture, network, count)).shape)
        expected = (count, *fixture.image.shape)
        require(shape == expected, f"{count} latents give images of shape {shape}; {expected} is needed")


@register_check(
    CHECKS,
    "image-finite",
    "generator",
    fix="look for divisions by zero, and square roots of zero",
    needs=("image-shape",),
)
def _image_finite(fixture: Fixture) -> None:
    """Images are finite, for usual latents and for zero."""
    network = fixture.network()
    given = inputs(fixture, network)
    for z in (given, torch.zeros_like(given)):
        require(bool(run(fixture, network, z).isfinite().all()), "its images contain numbers that are not finite")


@register_check(
    CHECKS,
    "image-range",
    "generator",
    fix="end it with a tanh, or set bounded = False on the class",
    needs=("image-shape",),
)
def _image_range(fixture: Fixture) -> None:
    """Images of a bounded generator lie in [-1, 1], however large the latents are."""
    network = fixture.network()
    if not network.bounded:
        skip("it is not bounded; its images are clamped when they become bytes")
    for training in (True, False):
        network.train(training)
        given = inputs(fixture, network, 8)
        for z in (given, given * 100):
            with torch.no_grad():
                images = run(fixture, network, z)
            low, high = float(images.min()), float(images.max())
            require(low >= -1 - SLACK and high <= 1 + SLACK, f"its images lie in [{low:.3g}, {high:.3g}]")


@register_check(
    CHECKS,
    "generator-output",
    "generator",
    fix="return GeneratorOutput(images, features={name: (N, …) or ()}, discriminator_input=tensor or tuple of tensors)",
    needs=("image-shape",),
)
def _generator_output(fixture: Fixture) -> None:
    """Features are finite, `(N, …)` or `()`; each tensor of the discriminator's input has the batch first."""
    network = fixture.network()
    output = network(inputs(fixture, network), condition_for(network, fixture.conditions(COUNT)))
    if not isinstance(output, GeneratorOutput):
        skip("it returns images only")
    for name, values in tensors_of(output):
        require(isinstance(values, Tensor), f"{name} is a {type(values).__name__}; a tensor is needed")
        shape, scalar = tuple(values.shape), name.startswith("features") and values.ndim == 0
        require(scalar or shape[:1] == (COUNT,), f"{name} has shape {shape}; the batch of {COUNT} comes first")
        require(bool(values.isfinite().all()), f"{name} is not finite")


@register_check(CHECKS, "latents-matter", "generator", fix="use z in forward, all of it", needs=("image-shape",))
def _latents_matter(fixture: Fixture) -> None:
    """Every number of a latent influences the images; of a translator of images none needs to."""
    network = fixture.network()
    z = inputs(fixture, network, 8).requires_grad_()
    images = run(fixture, network, z)
    weighted = (images * torch.randn(images.shape, generator=fixture.rng(5))).sum()
    (gradient,) = torch.autograd.grad(weighted, z, allow_unused=True) if weighted.requires_grad else (None,)
    translates = (
        network.conditional and fixture.image.condition is not None and fixture.image.condition.kind == "tensor"
    )
    if gradient is None and translates:
        skip("it translates its condition, without latents")
    require(gradient is not None and bool((gradient != 0).any()), "its images do not depend on the latents")
    assert gradient is not None  # noqa: S101 - just required
    unused = (gradient == 0).all(0).nonzero().flatten().tolist()
    require(not unused, f"{len(unused)} of the {z.shape[1]} numbers of a latent have no influence")


@register_check(
    CHECKS,
    "condition-matters",
    "generator",
    fix="use the condition in forward, or leave conditional False",
    needs=("image-shape", "same-answer-in-eval"),
)
def _condition_matters(fixture: Fixture) -> None:
    """Another condition gives another image for the same latent."""
    network = fixture.network().eval()
    if not network.conditional:
        skip("it is not conditional")
    z = inputs(fixture, network)
    with torch.no_grad():
        one, two = (outputs(network, z, fixture.conditions(COUNT, number)) for number in (0, 1))
    require(not torch.equal(one, two), "it is conditional, but its images do not depend on the condition")


@register_check(
    CHECKS,
    "style-and-synthesis",
    "generator",
    fix="compute forward as self.synthesis(self.style(z, condition), condition)",
    needs=("image-shape", "same-answer-in-eval"),
)
def _style_and_synthesis(fixture: Fixture) -> None:
    """In evaluation mode `synthesis(style(z, c), c)` returns the same images as `forward(z, c)`."""
    cls = fixture.cls
    if cls.style is Generator.style and cls.synthesis is Generator.synthesis:
        skip("it has no mapping network")
    network = fixture.network().eval()
    z, condition = inputs(fixture, network), condition_for(network, fixture.conditions(COUNT))
    with torch.no_grad():
        w = network.style(z, condition)
        require(tuple(w.shape[:1]) == (COUNT,), f"style returns {tuple(w.shape)}; the batch of {COUNT} comes first")
        images = GeneratorOutput.of(network.synthesis(w, condition)).images
        expected = outputs(network, z, condition)
    close = images.shape == expected.shape and near(images, expected)
    require(close, "synthesis(style(z, c), c) returns other images than forward(z, c)")


@register_check(
    CHECKS,
    "sampling-options",
    "generator",
    fix="give every sampling option a default that changes nothing, such as truncation 1.0",
    needs=("image-shape", "same-answer-in-eval"),
)
def _sampling_options(fixture: Fixture) -> None:
    """Sampling options have defaults, with which it samples as it trains."""
    fields = fixture.cls.SamplingOptions.model_fields
    if not fields:
        skip("it has no sampling options")
    required = [name for name, item in fields.items() if item.is_required()]
    require(not required, f"sampling option {required[:1]} has no default")
    network = fixture.network()
    require(network.sampling == network.SamplingOptions(), "`sampling` does not start with the defaults")
    network.eval()
    trained = _images(fixture, network, training=True)
    require(
        near(trained, _images(fixture, network, training=False)),
        "with the defaults it samples other images than it trains on",
    )


def _images(fixture: Fixture, network: Any, *, training: bool) -> Tensor:  # noqa: ANN401 - a Generator
    """Return images of the network's own code in a mode; its layers stay in evaluation mode."""
    network.training = training
    with torch.no_grad(), fork_torch_rng(0, "layers"):
        return run(fixture, network, inputs(fixture, network))


@register_check(
    CHECKS,
    "prepare-sampling",
    "generator",
    fix="change buffers of self only, and draw random numbers from rng only",
    needs=("image-shape",),
)
def _prepare_sampling(fixture: Fixture) -> None:
    """`prepare_sampling` changes only the copy that it is called on, draws from `rng` only, and keeps the weights."""
    if fixture.cls.prepare_sampling is Generator.prepare_sampling:
        skip("it does not prepare sampling")
    network = fixture.network()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    copies = [copy.deepcopy(network) for _ in range(2)]
    for twin in copies:
        with no_global_draws():
            twin.prepare_sampling(fixture.rng(3))
    for name, values in network.state_dict().items():
        require(torch.equal(values, before[name]), f"prepare_sampling of a copy changes {name} of the original")
    one, two = (twin.state_dict() for twin in copies)
    for name, values in one.items():
        require(torch.equal(values, two[name]), f"with the same random generator {name} becomes another one each time")
    for name, weight in copies[0].named_parameters():
        require(torch.equal(weight, before[name]), f"prepare_sampling changes the weight {name}")
