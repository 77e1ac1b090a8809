"""Phases of a training step: the updates of one set of weights each, and their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import TrainStep
from ganforge.data.loader import Batch
from ganforge.training.loss_scaling import LossScaler
from ganforge.training.stats import Stats


@dataclass(frozen=True, slots=True)
class Update:
    """Position of one update in the training, and the terms that are due in it.

    Attributes:
        index: Number of the phase's update, from 0.
        step: Number of the step, from 0.
        weights: Factors of the due terms by name, `weight` times `every`; tensors on the device for scheduled ones.
    """

    index: int
    step: int
    weights: Mapping[str, float | Tensor]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the due terms."""
        return tuple(self.weights)


@dataclass(frozen=True, slots=True)
class Part:
    """Inputs of one part of a batch.

    Attributes:
        real: Real images, `(N, C, H, W)`.
        z: Latents, `(N, Z)`.
        condition: Conditions, or None.
        extras: Further tensors of the dataset, by name.
    """

    real: Tensor
    z: Tensor
    condition: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


#: Loss of a part, `()`, its numbers, and the step that its terms received.
LossFunction: TypeAlias = Callable[[Part, Update, int], tuple[Tensor, Stats, TrainStep]]
#: Numbers and step of each part.
UpdateResult: TypeAlias = list[tuple[Stats, TrainStep]]


@dataclass(slots=True)
class Phase:
    """One set of weights, its optimizer, and the functions that update it.

    Attributes:
        name: `disc`, `gen`, or a phase that `optimized_in` adds.
        parameters: Its weights, by name.
        optimizer: Their optimizer.
        scaler: Scaler of its loss in float16.
        needs_closure: Whether the optimizer evaluates the gradient itself.
        clip_norm: Maximum norm of the gradient at the current step, or None.
        frozen: Weights of the other phases, which get no gradient.
        loss_fn: `GANStep.loss`, or its compiled form.
        update_fn: `GANStep.optimize`, or its recorded form.
    """

    name: str
    parameters: dict[str, nn.Parameter]
    optimizer: Optimizer
    scaler: LossScaler
    needs_closure: bool
    clip_norm: float | None
    frozen: list[nn.Parameter]
    loss_fn: LossFunction
    update_fn: Callable[[Sequence[Part], Update], UpdateResult]


def long_name(phase: str) -> str:
    """Return the name of a phase in columns and random streams."""
    return {"disc": "discriminator", "gen": "generator"}.get(phase, phase)


def split_batch(batch: Batch, z: Tensor, parts: int) -> list[Part]:
    """Return the equal parts of a batch, for gradient accumulation."""
    if parts == 1:
        return [Part(batch.images, z, batch.condition, batch.extras)]
    return [
        Part(
            images,
            z.chunk(parts)[number],
            None if batch.condition is None else batch.condition.chunk(parts)[number],
            {key: values.chunk(parts)[number] for key, values in batch.extras.items()},
        )
        for number, images in enumerate(batch.images.chunk(parts))
    ]


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Disable the gradients of parameters within the block."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
