"""What generators and discriminators have in common to keep."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import DiscriminatorOutput, ImageSpec
from ganforge.components.spec import Kind
from ganforge.errors import IncompatibleError
from ganforge.testing.checks import Check, define, does_not_apply, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject

CHECKS: list[Check] = []
NETWORKS: tuple[Kind, ...] = ("generator", "discriminator")
COUNT = 4
ROUNDING = 1e-6


def labels_for(network: Any, labels: Tensor) -> Tensor | None:  # noqa: ANN401 - a Generator or a Discriminator
    """Return labels for a network that takes them, else None."""
    return labels if network.conditional else None


def inputs(subject: Subject, network: Any, count: int = COUNT, number: int = 0) -> Tensor:  # noqa: ANN401
    """Return what a network is given: latents `(N, Z)`, or images `(N, C, H, W)`."""
    if subject.kind == "generator":
        latents: Tensor = network.sample_latents(count, subject.rng(number))
        return latents
    return subject.pictures(count, number)


def outputs(network: Any, given: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ANN401
    """Return a network's images or logits."""
    answer: Tensor | DiscriminatorOutput = network(given, labels)
    return answer.logits if isinstance(answer, DiscriminatorOutput) else answer


def answers(subject: Subject, network: Any, given: Tensor) -> Tensor:  # noqa: ANN401
    """Return a network's images or logits, for the classes in turn."""
    return outputs(network, given, labels_for(network, subject.labels(len(given))))


@define(
    CHECKS, "input-unchanged", *NETWORKS, fix="avoid operations in place (x.add_, inplace=True) on the input itself"
)
def _input_unchanged(subject: Subject) -> None:
    """What it is given stays as it was."""
    network = subject.network()
    given = inputs(subject, network)
    before = given.clone()
    answers(subject, network, given)
    unchanged(before, given, "its input")


@define(CHECKS, "same-answer-in-eval", *NETWORKS, fix="let nothing draw random numbers in evaluation mode")
def _same_answer_in_eval(subject: Subject) -> None:
    """In evaluation mode the same input gives the same bits."""
    network = subject.network().eval()
    given = inputs(subject, network)
    with torch.no_grad():
        one, two = answers(subject, network, given), answers(subject, network, given)
    require(torch.equal(one, two), "in evaluation mode the same input gives other numbers each time")


@define(CHECKS, "gradients", *NETWORKS, fix="use every weight in forward, or do not register it; detach nothing")
def _gradients(subject: Subject) -> None:
    """Every trainable weight gets a finite gradient."""
    network = subject.network()
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    require(weights, "it has no trainable weights")
    given = inputs(subject, network)
    answer = network(given, labels_for(network, subject.labels(COUNT)))
    parts = (
        [answer.logits, *(() if answer.class_logits is None else (answer.class_logits,))]
        if isinstance(answer, DiscriminatorOutput)
        else [answer]
    )
    total = sum((_weighted(part, subject) for part in parts), torch.zeros(()))
    require(total.requires_grad, "no gradient comes out of it: something is detached")
    total.backward()  # type: ignore[no-untyped-call]
    for name, weight in weights.items():
        require(weight.grad is not None, f"no gradient reaches {name}")
        require(bool(weight.grad.isfinite().all()), f"the gradient of {name} is not finite")


def _weighted(values: Tensor, subject: Subject) -> Tensor:
    """Return a sum with other weights for each number: a plain sum after batch norm has no gradient."""
    return (values.float() * torch.randn(values.shape, generator=subject.rng(7))).sum()


@define(CHECKS, "state-round-trip", *NETWORKS, fix="keep everything that matters in parameters and registered buffers")
def _state_round_trip(subject: Subject) -> None:
    """Its state dict, loaded into a network of another seed, and its deep copy give the same answers."""
    network = subject.network()
    given = inputs(subject, network)
    answers(subject, network, given)  # batch norm has seen a batch
    network.eval()
    other = subject.make(1)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = answers(subject, network, given)
        for what, twin in (("loaded from its state dict", other.eval()), ("copied deeply", copy.deepcopy(network))):
            difference = float((answers(subject, twin, given) - expected).abs().max())
            require(difference <= ROUNDING, f"{what}, it gives other numbers (by up to {difference:.3g})")


@define(CHECKS, "float64", *NETWORKS, fix="take the type from the input or the weights; write no .float() in forward")
def _float64(subject: Subject) -> None:
    """In float64 it computes in float64 throughout."""
    network = subject.network().double().eval()
    given = inputs(subject, network).double()
    with torch.no_grad():
        found = answers(subject, network, given)
    require(found.dtype == torch.float64, f"with weights and input in float64 it gives {found.dtype}")


@define(
    CHECKS, "bfloat16", *NETWORKS, fix="let torch's layers choose the type under autocast; avoid epsilons below 1e-3"
)
def _bfloat16(subject: Subject) -> None:
    """Under bfloat16 autocast, the engine's low precision, forward and backward pass stay finite."""
    network = subject.network()
    given = inputs(subject, network)
    with torch.autocast("cpu", torch.bfloat16):
        found = answers(subject, network, given)
    require(bool(found.isfinite().all()), "under bfloat16 autocast its output is not finite")
    _weighted(found, subject).backward()  # type: ignore[no-untyped-call]
    for name, weight in network.named_parameters():
        finite = weight.grad is None or bool(weight.grad.isfinite().all())
        require(finite, f"under bfloat16 autocast the gradient of {name} is not finite")


@define(
    CHECKS, "unsupported-size", *NETWORKS, fix="raise ganforge.errors.IncompatibleError in check_image, naming sizes"
)
def _unsupported_size(subject: Subject) -> None:
    """Any size and channel count either works, or is refused with an IncompatibleError before it is built."""
    sides = ((1, 1), (5, 7), (27, 27), (28, 32), (50, 50))
    shapes = [replace(subject.image, height=height, width=width) for height, width in sides]
    shapes += [replace(subject.image, channels=channels) for channels in (2, 4)]
    for image in shapes:
        try:
            network = subject.make(image=image)
        except IncompatibleError:
            continue
        _works_at(network, subject, image)


def _works_at(network: nn.Module, subject: Subject, image: ImageSpec) -> None:
    """Raise Failed unless a network that was built for a size works with it."""
    at_size = replace(subject, image=image, kept={})
    expected = (2, image.channels, image.height, image.width) if subject.kind == "generator" else (2,)
    try:
        found = tuple(answers(at_size, network, inputs(at_size, network, 2)).shape)
    except IncompatibleError:
        return
    require(found == expected, f"at {image} it gives {found}, not {expected}")


@define(CHECKS, "says-takes-labels", *NETWORKS, fix="let conditional return True or False, and the same in both modes")
def _says_takes_labels(subject: Subject) -> None:
    """`conditional` is True or False, whatever mode the network is in."""
    network = subject.network()
    said = {network.train(mode).conditional for mode in (True, False)}
    require(said in ({True}, {False}) and isinstance(network.conditional, bool), f"conditional says {said}")


@define(CHECKS, "compiles", *NETWORKS, fix="nothing needs to be done: what does not compile runs uncompiled")
def _compiles(subject: Subject) -> None:
    """It compiles as one graph. This is reported, not required."""
    network = subject.network().eval()
    given, labels = inputs(subject, network), labels_for(network, subject.labels(COUNT))
    torch.compiler.reset()
    try:
        outputs(torch.compile(network, backend="eager", fullgraph=True), given, labels)
    except Exception as error:  # noqa: BLE001 - anything may stop the tracing
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        does_not_apply(f"it does not compile as one graph, which is not required: {reason}")
    finally:
        torch.compiler.reset()
