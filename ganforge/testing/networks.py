"""Checks of generators and discriminators alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganforge.components import ConditionSpec, DiscriminatorOutput, GeneratorOutput
from ganforge.errors import IncompatibleError
from ganforge.testing.checks import (
    CheckFailed,
    Checks,
    require,
    require_finite,
    skip,
    tensors_of,
    twins,
    unchanged,
    weighted,
)
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness
from ganforge.testing.stubs import condition_specs
from ganforge.utils.tracebacks import summarize_exception

#: Without the shape of its output no other check of a network is meaningful.
checks = Checks("generator", "discriminator", needs="image-shape logits-shape")
COUNT = 4
ROUNDING = 1e-6
#: Steps at which a network with stages is examined: its first stage, its last one, and those between.
STAGES = (0, *(10**exponent for exponent in range(1, 10)))


def condition_for(fixture: Fixture, network: Any, count: int = COUNT, number: int = 0) -> Tensor | None:  # noqa: ANN401 - a Generator or Discriminator
    """Return conditions for a network that is conditional, in the type of its weights, else None."""
    condition = fixture.batch(count, number).condition if network.conditional else None
    if condition is not None and condition.is_floating_point():
        return condition.to(next(network.parameters()).dtype)
    return condition


def inputs(fixture: Fixture, network: Any, count: int = COUNT) -> Tensor:  # noqa: ANN401 - as above
    """Return inputs of a network: latents `(N, Z)`, or images `(N, C, H, W)`."""
    if fixture.kind == "generator":
        return fixture.gan.latent.sample(count, network.latent_dim, fixture.rng())
    return fixture.batch(count).images


def run(fixture: Fixture, network: Any, given: Tensor, number: int = 0) -> Tensor:  # noqa: ANN401 - as above
    """Return a network's images or logits for the conditions of a number."""
    output = network(given, condition_for(fixture, network, len(given), number))
    return output.logits if isinstance(output, DiscriminatorOutput) else GeneratorOutput.of(output).images


@checks.add("avoid operations in place (x.add_, inplace=True) on the input itself", needs="builds initialized-weights")
def input_unchanged(fixture: Fixture) -> None:
    """Its input stays unchanged."""
    network = fixture.network()
    given = inputs(fixture, network)
    with unchanged({"its input": given}):
        run(fixture, network, given)


@checks.add("let nothing draw random numbers in evaluation mode")
def same_answer_in_eval(fixture: Fixture) -> None:
    """In evaluation mode the same input gives the same bits."""
    network = fixture.network().eval()
    given = inputs(fixture, network)
    with torch.no_grad():
        one, two = run(fixture, network, given), run(fixture, network, given)
    require(torch.equal(one, two), "in evaluation mode the same input gives other numbers each time")


@checks.add(
    "use every weight in forward, name the term that uses it in `partners`, or declare it in `frozen`",
    needs="image-shape logits-shape stage-key",
)
def gradients(fixture: Fixture) -> None:
    """A finite gradient reaches every trainable weight, at one of its stages at least."""
    network = fixture.network()
    trainable = [name for name, weight in network.named_parameters() if weight.requires_grad]
    require(trainable, "it has no trainable weights")
    reached: set[str] = set()
    for slopes in _gradients_by_stage(fixture):
        for name, slope in slopes.items():
            require_finite(slope, f"the gradient of {name} is")
        reached |= slopes.keys()
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
        output = network(inputs(fixture, network), condition_for(fixture, network))
        parts = [weighted(values) for values in tensors_of(output).values() if values.requires_grad]
        require(parts, "no gradient comes out of it: something is detached")
        torch.stack(parts).sum().backward()
        yield _slopes(network)
    if {"loss", "term"} & fixture.partners.keys():
        harness = Harness(fixture)
        for phase in harness.phases:
            harness.update(phase, 0)
            yield _slopes(harness.component)


def _slopes(network: Any) -> dict[str, Tensor]:  # noqa: ANN401 - as above
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


@checks.add(
    "keep everything that matters in parameters and registered buffers", needs="registered-state same-answer-in-eval"
)
def state_round_trip(fixture: Fixture) -> None:
    """Its state dict, loaded into a network of another seed, and its deep copy give the same outputs."""
    network = fixture.network()
    given = inputs(fixture, network)
    with torch.no_grad():
        run(fixture, network, given)  # batch norm updates its statistics
        expected = run(fixture, network.eval(), given)
        for how, twin in twins(fixture, network):
            difference = float((run(fixture, twin, given) - expected).abs().max())
            require(difference <= ROUNDING, f"{how}, it gives other numbers (by up to {difference:.3g})")


@checks.add("take the type from the input or the weights; write no .float() in forward")
def float64(fixture: Fixture) -> None:
    """In float64 it computes in float64 throughout."""
    network = fixture.network().double().eval()
    with torch.no_grad():
        values = run(fixture, network, inputs(fixture, network).double())
    require(values.dtype == torch.float64, f"with weights and input in float64 it returns {values.dtype}")


@checks.add(
    "let torch's layers choose the type under autocast; avoid epsilons below 1e-3",
    needs="image-shape logits-shape gradients",
)
def bfloat16(fixture: Fixture) -> None:
    """Under bfloat16 autocast, the engine's low precision, forward and backward pass stay finite."""
    network = fixture.network()
    with torch.autocast("cpu", torch.bfloat16):
        values = run(fixture, network, inputs(fixture, network))
    require_finite(values, "under bfloat16 autocast its output is")
    weighted(values).backward()
    for name, slope in _slopes(network).items():
        require_finite(slope, f"under bfloat16 autocast the gradient of {name} is")


@checks.add("raise ganforge.errors.IncompatibleError in check_image, naming sizes")
def unsupported_size(fixture: Fixture) -> None:
    """Any size and channel count either works, or is refused with an IncompatibleError before it is built."""
    shape = fixture.image.shape
    for channels, height, width in (
        *((shape[0], *sides) for sides in ((1, 1), (5, 7), (27, 27), (28, 32), (50, 50))),
        *((channels, *shape[1:]) for channels in (2, 4)),
    ):
        image = replace(fixture.image, channels=channels, height=height, width=width)
        if image.condition is not None and image.condition.shape == shape:  # the condition is an image like these
            image = replace(image, condition=ConditionSpec.tensor(image.shape, image.condition.dtype))  # type: ignore[arg-type]
        _require_works(fixture.at(image))


@checks.add("raise ganforge.errors.IncompatibleError in check_image unless image.condition is of a kind that it takes")
def conditions(fixture: Fixture) -> None:
    """Conditions of each kind (classes, vectors, images, other tensors, none) work, are ignored, or are refused."""
    for spec in (*condition_specs(fixture.image), None):
        try:
            _require_works(fixture.at(replace(fixture.image, condition=spec)))
        except CheckFailed:
            raise
        except Exception as error:  # noqa: BLE001 - any exception of the network
            kind = "data without a condition" if spec is None else f"a condition of {spec}"
            raise CheckFailed(f"for {kind} it raises {summarize_exception(error)}") from None


def _require_works(fixture: Fixture) -> None:
    """Raise CheckFailed unless a network refuses images and conditions, or works with them."""
    try:
        network = fixture.make()
        shape = tuple(run(fixture, network, inputs(fixture, network, 2)).shape)
    except IncompatibleError:
        return
    expected = (2, *fixture.image.shape) if fixture.kind == "generator" else (2,)
    several_logits = fixture.kind == "discriminator" and shape[:1] == expected and len(shape) == len("NK")
    at = f"{fixture.image} and {fixture.image.condition or 'no condition'}"
    require(shape == expected or several_logits, f"for images of {at} its output is {shape}, not {expected}")


@checks.add("let `conditional` be True or False, and the same in both modes", needs="builds")
def declares_conditional(fixture: Fixture) -> None:
    """`conditional` is True or False, in training and in evaluation mode alike."""
    network = fixture.network()
    values = {network.train(mode).conditional for mode in (True, False)}
    require(values in ({True}, {False}) and isinstance(network.conditional, bool), f"conditional is {values}")


@checks.add("nothing is required: networks that do not compile run uncompiled")
def compiles(fixture: Fixture) -> None:
    """It compiles as one graph. This is reported, not required."""
    network = fixture.network().eval()
    torch.compiler.reset()
    try:
        compiled: Any = torch.compile(network, backend="eager", fullgraph=True)
        compiled(inputs(fixture, network), condition_for(fixture, network))
    except Exception as error:  # noqa: BLE001 - anything may stop the tracing
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        skip(f"it does not compile as one graph, which is not required: {reason}")
    finally:
        torch.compiler.reset()
