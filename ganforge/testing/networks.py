"""Checks of generators and discriminators alike."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import ConditionSpec, DiscriminatorOutput, GeneratorOutput
from ganforge.components.spec import Kind
from ganforge.errors import IncompatibleError
from ganforge.testing.checks import Check, CheckFailed, register_check, require, skip
from ganforge.testing.common import BUILDS, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness
from ganforge.testing.stubs import condition_specs
from ganforge.utils.tracebacks import summarize_exception

CHECKS: list[Check] = []
NETWORKS: tuple[Kind, ...] = ("generator", "discriminator")
#: Shape of the output; without it no other check of a network is meaningful.
SHAPE = ("image-shape", "logits-shape")
COUNT = 4
ROUNDING = 1e-6
#: Steps at which a network with stages is examined: its first stage, its last one, and those between.
STAGES = (0, *(10**exponent for exponent in range(1, 10)))


def condition_for(network: Any, condition: Tensor | None) -> Tensor | None:  # noqa: ANN401 - a Generator or Discriminator
    """Return the condition for a network that is conditional, else None."""
    return condition if network.conditional else None


def inputs(fixture: Fixture, network: Any, count: int = COUNT, number: int = 0) -> Tensor:  # noqa: ANN401 - as above
    """Return inputs of a network: latents `(N, Z)`, or images `(N, C, H, W)`."""
    if fixture.kind == "generator":
        return fixture.latents(count, network.latent_dim, number)
    return fixture.pictures(count, number)


def outputs(network: Any, given: Any, condition: Tensor | None) -> Tensor:  # noqa: ANN401 - as above
    """Return a network's images or logits."""
    output = network(given, condition_for(network, condition))
    return output.logits if isinstance(output, DiscriminatorOutput) else GeneratorOutput.of(output).images


def run(fixture: Fixture, network: Any, given: Tensor) -> Tensor:  # noqa: ANN401 - as above
    """Return a network's images or logits for the fixture's conditions."""
    condition = fixture.conditions(len(given))
    if condition is not None and condition.is_floating_point():
        condition = condition.to(given.dtype)
    return outputs(network, given, condition)


def tensors_of(output: Any) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401 - what a network returned
    """Yield all tensors of a network's output except the condition, with their names."""
    if isinstance(output, DiscriminatorOutput):
        yield "logits", output.logits
        if output.class_logits is not None:
            yield "class_logits", output.class_logits
        yield from ((f"features[{number}]", values) for number, values in enumerate(output.features))
        return
    output = GeneratorOutput.of(output)
    yield "images", output.images
    yield from ((f"features[{name!r}]", values) for name, values in output.features.items())
    levels = output.discriminator_input
    if levels is not None:
        levels = (levels,) if isinstance(levels, Tensor) else levels
        yield from ((f"discriminator_input[{number}]", level) for number, level in enumerate(levels))


@register_check(
    CHECKS,
    "input-unchanged",
    *NETWORKS,
    fix="avoid operations in place (x.add_, inplace=True) on the input itself",
    needs=(BUILDS,),
)
def _input_unchanged(fixture: Fixture) -> None:
    """Its input stays unchanged."""
    network = fixture.network()
    given = inputs(fixture, network)
    before = given.clone()
    run(fixture, network, given)
    unchanged(before, given, "its input")


@register_check(
    CHECKS,
    "same-answer-in-eval",
    *NETWORKS,
    fix="let nothing draw random numbers in evaluation mode",
    needs=SHAPE,
)
def _same_answer_in_eval(fixture: Fixture) -> None:
    """In evaluation mode the same input gives the same bits."""
    network = fixture.network().eval()
    given = inputs(fixture, network)
    with torch.no_grad():
        one, two = run(fixture, network, given), run(fixture, network, given)
    require(torch.equal(one, two), "in evaluation mode the same input gives other numbers each time")


@register_check(
    CHECKS,
    "gradients",
    *NETWORKS,
    fix="use every weight in forward, name the term that uses it in `partners`, or declare it in `frozen`",
    needs=(*SHAPE, "stage-key"),
)
def _gradients(fixture: Fixture) -> None:
    """A finite gradient reaches every trainable weight, at one of its stages at least."""
    network = fixture.network()
    trainable = [name for name, weight in network.named_parameters() if weight.requires_grad]
    require(trainable, "it has no trainable weights")
    reached: set[str] = set()
    for gradients in _gradients_by_stage(fixture):
        for name, gradient in gradients.items():
            require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        reached |= gradients.keys()
    elsewhere = tuple(f"{name}." for name in network.optimized_in)
    unused = [name for name in trainable if name not in reached and not f"{name}.".startswith(elsewhere or ("\0",))]
    others = f" and {len(unused) - 1} other weights" if len(unused) > 1 else ""
    require(not unused, f"no gradient reaches {unused[0] if unused else None}{others}")


def _gradients_by_stage(fixture: Fixture) -> Iterator[dict[str, Tensor]]:
    """Yield the gradients of a weighted sum of all outputs at each stage, then those of updates with the partners."""
    seen = set()
    for step in STAGES:
        network = fixture.network()
        key = network.stage(step)
        if key in seen:
            continue
        seen.add(key)
        given = inputs(fixture, network)
        output = network(given, condition_for(network, fixture.conditions(COUNT)))
        parts = [_weighted(values, fixture) for _, values in tensors_of(output) if values.requires_grad]
        require(parts, "no gradient comes out of it: something is detached")
        torch.stack(parts).sum().backward()
        yield {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    if {"loss", "term"} & fixture.partners.keys():
        harness = Harness(fixture)
        for phase in harness.phases:
            gradients = harness.update(phase, 0)
            yield {name.removeprefix(f"{fixture.slot}."): gradient for name, gradient in gradients.items()}


def _weighted(values: Tensor, fixture: Fixture) -> Tensor:
    """Return a sum with other weights for each number: a plain sum after batch norm has no gradient."""
    return (values.float() * torch.randn(values.shape, generator=fixture.rng(7))).sum()


@register_check(
    CHECKS,
    "state-round-trip",
    *NETWORKS,
    fix="keep everything that matters in parameters and registered buffers",
    needs=("registered-state", "same-answer-in-eval"),
)
def _state_round_trip(fixture: Fixture) -> None:
    """Its state dict, loaded into a network of another seed, and its deep copy give the same outputs."""
    network = fixture.network()
    given = inputs(fixture, network)
    with torch.no_grad():
        run(fixture, network, given)  # batch norm updates its statistics
        network.eval()
        expected = run(fixture, network, given)
        loaded = fixture.make(1).eval()
        loaded.load_state_dict(network.state_dict())
        for how, twin in (("loaded from its state dict", loaded), ("copied deeply", copy.deepcopy(network))):
            difference = float((run(fixture, twin, given) - expected).abs().max())
            require(difference <= ROUNDING, f"{how}, it gives other numbers (by up to {difference:.3g})")


@register_check(
    CHECKS,
    "float64",
    *NETWORKS,
    fix="take the type from the input or the weights; write no .float() in forward",
    needs=SHAPE,
)
def _float64(fixture: Fixture) -> None:
    """In float64 it computes in float64 throughout."""
    network = fixture.network().double().eval()
    with torch.no_grad():
        values = run(fixture, network, inputs(fixture, network).double())
    require(values.dtype == torch.float64, f"with weights and input in float64 it returns {values.dtype}")


@register_check(
    CHECKS,
    "bfloat16",
    *NETWORKS,
    fix="let torch's layers choose the type under autocast; avoid epsilons below 1e-3",
    needs=(*SHAPE, "gradients"),
)
def _bfloat16(fixture: Fixture) -> None:
    """Under bfloat16 autocast, the engine's low precision, forward and backward pass stay finite."""
    network = fixture.network()
    given = inputs(fixture, network)
    with torch.autocast("cpu", torch.bfloat16):
        values = run(fixture, network, given)
    require(bool(values.isfinite().all()), "under bfloat16 autocast its output is not finite")
    _weighted(values, fixture).backward()
    for name, weight in network.named_parameters():
        finite = weight.grad is None or bool(weight.grad.isfinite().all())
        require(finite, f"under bfloat16 autocast the gradient of {name} is not finite")


@register_check(
    CHECKS,
    "unsupported-size",
    *NETWORKS,
    fix="raise ganforge.errors.IncompatibleError in check_image, naming sizes",
    needs=SHAPE,
)
def _unsupported_size(fixture: Fixture) -> None:
    """Any size and channel count either works, or is refused with an IncompatibleError before it is built."""
    shape = fixture.image.shape
    for channels, height, width in (
        *((shape[0], *sides) for sides in ((1, 1), (5, 7), (27, 27), (28, 32), (50, 50))),
        *((channels, *shape[1:]) for channels in (2, 4)),
    ):
        image = replace(fixture.image, channels=channels, height=height, width=width)
        if image.condition is not None and image.condition.shape == shape:  # the condition is an image like these
            image = replace(image, condition=ConditionSpec.tensor(image.shape, image.condition.dtype))  # type: ignore[arg-type]
        try:
            network = fixture.make(image=image)
        except IncompatibleError:
            continue
        _require_works(network, fixture.at(image))


@register_check(
    CHECKS,
    "conditions",
    *NETWORKS,
    fix="raise ganforge.errors.IncompatibleError in check_image unless image.condition is of a kind that it takes",
    needs=SHAPE,
)
def _conditions(fixture: Fixture) -> None:
    """Conditions of each kind (classes, vectors, images, other tensors, none) work, are ignored, or are refused."""
    for spec in (*condition_specs(fixture.image), None):
        image = replace(fixture.image, condition=spec)
        try:
            network = fixture.make(image=image)
            if spec is not None or not network.conditional:
                _require_works(network, fixture.at(image))
        except (IncompatibleError, CheckFailed) as error:
            if isinstance(error, CheckFailed):
                raise
        except Exception as error:  # noqa: BLE001 - any exception of the network
            kind = "data without a condition" if spec is None else f"a condition of {spec}"
            raise CheckFailed(f"for {kind} it raises {summarize_exception(error)}") from None


def _require_works(network: nn.Module, fixture: Fixture) -> None:
    """Raise CheckFailed unless a network works with the images and conditions that it was built for."""
    try:
        shape = tuple(run(fixture, network, inputs(fixture, network, 2)).shape)
    except IncompatibleError:
        return
    expected = (2, *fixture.image.shape) if fixture.kind == "generator" else (2,)
    several_logits = fixture.kind == "discriminator" and shape[:1] == expected and len(shape) == len("NK")
    at = f"{fixture.image} and {fixture.image.condition or 'no condition'}"
    require(shape == expected or several_logits, f"for images of {at} its output is {shape}, not {expected}")


@register_check(
    CHECKS,
    "declares-conditional",
    *NETWORKS,
    fix="let `conditional` be True or False, and the same in both modes",
    needs=(BUILDS,),
)
def _says_conditional(fixture: Fixture) -> None:
    """`conditional` is True or False, in training and in evaluation mode alike."""
    network = fixture.network()
    values = {network.train(mode).conditional for mode in (True, False)}
    require(values in ({True}, {False}) and isinstance(network.conditional, bool), f"conditional is {values}")


@register_check(
    CHECKS, "compiles", *NETWORKS, fix="nothing is required: networks that do not compile run uncompiled", needs=SHAPE
)
def _compiles(fixture: Fixture) -> None:
    """It compiles as one graph. This is reported, not required."""
    network = fixture.network().eval()
    given, condition = inputs(fixture, network), fixture.conditions(COUNT)
    torch.compiler.reset()
    try:
        compiled: Any = torch.compile(network, backend="eager", fullgraph=True)
        compiled(given, condition_for(network, condition))
    except Exception as error:  # noqa: BLE001 - anything may stop the tracing
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        skip(f"it does not compile as one graph, which is not required: {reason}")
    finally:
        torch.compiler.reset()
