"""Interfaces of optimizers and of schedules of numeric options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from pydantic import NonNegativeInt, PositiveFloat
from torch import nn
from torch.optim import Optimizer

from ganforge.components.base import ComponentOptions, Configurable


class OptimizerFactory(Configurable, ABC):
    """Factory of a phase's `torch.optim.Optimizer`.

    Attributes:
        needs_closure: Whether the optimizer evaluates the gradient itself, through the closure of `step(closure)`, as
            extragradient and L-BFGS do. The closure clears the gradients, computes them again for the same batch and
            the same random numbers, averages them over ranks, clips them and returns the loss. False for optimizers
            that only read `.grad`: the engine then computes the gradients first and calls `step()`.
    """

    needs_closure: ClassVar[bool] = True

    class Options(ComponentOptions):
        """Options of every optimizer."""

        lr: PositiveFloat = 2e-4
        """Learning rate."""
        warmup_steps: NonNegativeInt = 0
        """Steps over which the learning rate grows linearly to `lr`."""
        clip_norm: PositiveFloat | None = None
        """Maximum norm of the gradient over all weights of the phase; None leaves it unclipped."""

    options: Options

    @abstractmethod
    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
        """Return an optimizer of named parameters, whose state lives in `state` and `param_groups` as torch's does."""


class Schedule(Configurable, ABC):
    """Factor of a numeric option as a function of the step."""

    class Options(ComponentOptions):
        """Options of every schedule."""

    options: Options

    @abstractmethod
    def factor(self, step: int, total_steps: int) -> float:
        """Return the factor of the update of `step`, counted from 0, of a training of `total_steps`."""
