"""Checks of generators and of latent distributions."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Generator, GeneratorOutput
from ganforge.testing.checks import Checks, near, require, require_finite, skip, tensors_of, unchanged, weighted
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.testing.networks import COUNT, condition_for, inputs, run
from ganforge.training.preflight_checks import TOLERANCE
from ganforge.utils.rng import fork_torch_rng

checks = Checks("generator", needs="image-shape")
latent_checks = Checks("latent", needs="latents-shape")


@checks.add("follow image.channels, image.height and image.width", needs="input-unchanged")
def image_shape(fixture: Fixture) -> None:
    """One latent in evaluation mode, and two or five in training mode, give as many images of the data's shape."""
    network = fixture.network()
    for count in (1, 2, 5):
        network.train(count > 1)  # batch norm cannot train on one
        shape = tuple(run(fixture, network, inputs(fixture, network, count)).shape)
        expected = (count, *fixture.image.shape)
        require(shape == expected, f"{count} latents give images of shape {shape}; {expected} is needed")


@checks.add("look for divisions by zero, and square roots of zero")
def image_finite(fixture: Fixture) -> None:
    """Images are finite, for usual latents and for zero."""
    network = fixture.network()
    given = inputs(fixture, network)
    for z in (given, torch.zeros_like(given)):
        require_finite(run(fixture, network, z), "its images contain numbers that are")


@checks.add("end it with a tanh, or set bounded = False on the class")
def image_range(fixture: Fixture) -> None:
    """Images of a bounded generator lie in [-1, 1], however large the latents are."""
    network = fixture.network()
    if not network.bounded:
        skip("it is not bounded; its images are clamped when they become bytes")
    given = inputs(fixture, network, 8)
    for training in (True, False):
        network.train(training)
        for z in (given, given * 100):
            with torch.no_grad():
                images = run(fixture, network, z)
            low, high = float(images.min()), float(images.max())
            require(max(-low, high) <= 1 + TOLERANCE, f"its images lie in [{low:.3g}, {high:.3g}]")


@checks.add(
    "return GeneratorOutput(images, features={name: (N, …) or ()}, discriminator_input=tensor or tuple of tensors)"
)
def generator_output(fixture: Fixture) -> None:
    """Features are finite, `(N, …)` or `()`; each tensor of the discriminator's input has the batch first."""
    network = fixture.network()
    output = network(inputs(fixture, network), condition_for(fixture, network))
    if not isinstance(output, GeneratorOutput):
        skip("it returns images only")
    for name, values in tensors_of(output).items():
        require(isinstance(values, Tensor), f"{name} is a {type(values).__name__}; a tensor is needed")
        shape, scalar = tuple(values.shape), name.startswith("features") and values.ndim == 0
        require(scalar or shape[:1] == (COUNT,), f"{name} has shape {shape}; the batch of {COUNT} comes first")
        require_finite(values, f"{name} is")


@checks.add("use z in forward, all of it")
def latents_matter(fixture: Fixture) -> None:
    """Every number of a latent influences the images; of a translator of images none needs to."""
    network = fixture.network()
    z = inputs(fixture, network, 8).requires_grad_()
    images, condition = run(fixture, network, z), fixture.image.condition
    translates = network.conditional and condition is not None and condition.kind == "tensor"
    (slope,) = torch.autograd.grad(weighted(images), z, allow_unused=True) if images.requires_grad else (None,)
    if slope is None and translates:
        skip("it translates its condition, without latents")
    slope = torch.zeros_like(z) if slope is None else slope
    require(bool((slope != 0).any()), "its images do not depend on the latents")
    unused = (slope == 0).all(0).nonzero().flatten().tolist()
    require(not unused, f"{len(unused)} of the {z.shape[1]} numbers of a latent have no influence")


@checks.add("use the condition in forward, or leave conditional False", needs="image-shape same-answer-in-eval")
def condition_matters(fixture: Fixture) -> None:
    """Another condition gives another image for the same latent."""
    network = fixture.network().eval()
    if not network.conditional:
        skip("it is not conditional")
    z = inputs(fixture, network)
    with torch.no_grad():
        one, two = (run(fixture, network, z, number) for number in (0, 1))
    require(not torch.equal(one, two), "it is conditional, but its images do not depend on the condition")


@checks.add(
    "compute forward as self.synthesis(self.style(z, condition), condition)", needs="image-shape same-answer-in-eval"
)
def style_and_synthesis(fixture: Fixture) -> None:
    """In evaluation mode `synthesis(style(z, c), c)` returns the same images as `forward(z, c)`."""
    cls = fixture.cls
    if cls.style is Generator.style and cls.synthesis is Generator.synthesis:
        skip("it has no mapping network")
    network = fixture.network().eval()
    z, condition = inputs(fixture, network), condition_for(fixture, network)
    with torch.no_grad():
        w = network.style(z, condition)
        require(tuple(w.shape[:1]) == (COUNT,), f"style returns {tuple(w.shape)}; the batch of {COUNT} comes first")
        images = GeneratorOutput.of(network.synthesis(w, condition)).images
        same = near(images, run(fixture, network, z))
    require(same, "synthesis(style(z, c), c) returns other images than forward(z, c)")


@checks.add(
    "give every sampling option a default that changes nothing, such as truncation 1.0",
    needs="image-shape same-answer-in-eval",
)
def sampling_options(fixture: Fixture) -> None:
    """Sampling options have defaults, with which it samples as it trains."""
    fields = fixture.cls.SamplingOptions.model_fields
    if not fields:
        skip("it has no sampling options")
    required = [name for name, item in fields.items() if item.is_required()]
    require(not required, f"sampling option {required[:1]} has no default")
    network = fixture.network()
    require(network.sampling == network.SamplingOptions(), "`sampling` does not start with the defaults")
    network.eval()
    trained, sampled = (_images(fixture, network, training=training) for training in (True, False))
    require(near(trained, sampled), "with the defaults it samples other images than it trains on")


def _images(fixture: Fixture, network: Any, *, training: bool) -> Tensor:  # noqa: ANN401 - a Generator
    """Return images of the network's own code in a mode; its layers stay in evaluation mode."""
    network.training = training
    with torch.no_grad(), fork_torch_rng(0, "layers"):
        return run(fixture, network, inputs(fixture, network))


@checks.add("change buffers of self only, and draw random numbers from rng only")
def prepare_sampling(fixture: Fixture) -> None:
    """`prepare_sampling` changes only the copy that it is called on, draws from `rng` only, and keeps the weights."""
    if fixture.cls.prepare_sampling is Generator.prepare_sampling:
        skip("it does not prepare sampling")
    network = fixture.network()
    twin, other = copy.deepcopy(network), copy.deepcopy(network)
    originals = {f"{name} of the original of its copy": values for name, values in network.state_dict().items()}
    weights = {f"the weight {name}": weight for name, weight in twin.named_parameters()}
    with unchanged(originals | weights), no_global_draws():
        twin.prepare_sampling(fixture.rng(3))
    other.prepare_sampling(fixture.rng(3))
    others = other.state_dict()
    for name, values in twin.state_dict().items():
        same = torch.equal(values, others[name])
        require(same, f"with the same random generator {name} becomes another one each time")


# Latent distributions


@latent_checks.add(
    "return float32 latents of shape (count, dim); name a generator in `partners` if dim is restricted",
    needs="builds initialized-weights",
)
def latents_shape(fixture: Fixture) -> None:
    """`sample(count, dim, rng)` returns finite float32 latents, `(count, dim)`, for any count."""
    gan = fixture.build()
    dim = gan.generator.latent_dim
    for count in (1, 2, 5):
        z = gan.latent.sample(count, dim, fixture.rng())
        fits = z.dtype == torch.float32 and tuple(z.shape) == (count, dim)
        returned = f"sample({count}, {dim}, rng) returns {z.dtype} {tuple(z.shape)}"
        require(fits, f"{returned}; float32 ({count}, {dim}) is needed")
        require_finite(z, "its latents are")


@latent_checks.add("pass generator=rng to everything that draws in sample")
def latents_from_rng(fixture: Fixture) -> None:
    """It draws from `rng` only: the same random generator gives the same latents, another one gives others."""
    gan = fixture.build()
    with no_global_draws():
        one, two, other = (gan.latent.sample(4, gan.generator.latent_dim, fixture.rng(number)) for number in (0, 0, 1))
    require(torch.equal(one, two), "the same random generator gives other latents each time")
    require(not torch.equal(one, other), "another random generator gives the same latents")


@latent_checks.add('name parts of a latent by slices: fields = {"category": slice(0, 10)}')
def fields(fixture: Fixture) -> None:
    """`fields` are named slices that lie within a latent."""
    gan = fixture.build()
    dim = gan.generator.latent_dim
    for name, part in gan.latent.fields.items():
        require(isinstance(name, str) and isinstance(part, slice), f"field {name!r} is {part!r}; a slice is needed")
        require(part.step in {None, 1}, f"field {name!r} is {part}; a slice without a step is needed")
        begin, end = part.start or 0, dim if part.stop is None else part.stop
        require(0 <= begin < end <= dim, f"field {name!r} is {part}, which does not lie within {dim} numbers")
