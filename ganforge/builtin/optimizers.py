"""Optimizers of torch, with the textbook's options for Adam and torch's defaults for the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import nn
from torch.optim import Optimizer

from ganforge.components import OptimizerFactory

Beta = Annotated[float, Field(ge=0, lt=1)]

#: Devices that torch has fused optimizers for.
FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


class _TorchOptimizer(OptimizerFactory):
    """Factory of one of torch's optimizers.

    Attributes:
        optimizer: Class of the optimizer.
        fusible: Whether one fused pass over all weights exists; the same formula, rounded in another order.
    """

    needs_closure = False
    optimizer: ClassVar[type[Optimizer]]
    fusible: ClassVar[bool] = True

    class Options(OptimizerFactory.Options):
        """Options of torch's optimizers."""

        model_config = ConfigDict(allow_inf_nan=False)

        weight_decay: NonNegativeFloat = 0.0
        """Share of each weight that is added to its gradient."""

    options: Options

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
        """Return the optimizer, fused if torch supports it on the device of the parameters."""
        weights = [weight for _, weight in parameters]
        formula: dict[str, Any] = self.options.model_dump(exclude={*OptimizerFactory.Options.model_fields} - {"lr"})
        if self.fusible and weights[0].device.type in FUSED_DEVICES:
            formula["fused"] = True
        return self.optimizer(weights, **formula)


class Adam(_TorchOptimizer):
    """Adam with the textbook's learning rate and betas.

    References:
        Kingma & Ba 2014, arXiv:1412.6980; Radford et al. 2015, arXiv:1511.06434.
    """

    optimizer: ClassVar[type[Optimizer]] = torch.optim.Adam

    class Options(_TorchOptimizer.Options):
        """Options of Adam."""

        betas: tuple[Beta, Beta] = (0.5, 0.999)
        """Decay rates of the first and second moment estimates."""
        eps: PositiveFloat = 1e-8
        """Number added to the denominator, so that it is never 0."""

    options: Options


class AdamW(Adam):
    """Adam with decoupled weight decay.

    References:
        Loshchilov & Hutter 2017, arXiv:1711.05101.
    """

    optimizer = torch.optim.AdamW

    class Options(Adam.Options):
        """Options of AdamW."""

        weight_decay: NonNegativeFloat = 1e-2
        """Share of the learning rate by which each weight shrinks in every update."""

    options: Options


class RMSprop(_TorchOptimizer):
    """RMSprop, which the first Wasserstein GANs were trained with.

    References:
        Arjovsky et al. 2017, arXiv:1701.07875.
    """

    optimizer = torch.optim.RMSprop
    fusible = False

    class Options(_TorchOptimizer.Options):
        """Options of RMSprop."""

        lr: PositiveFloat = 5e-5
        """Learning rate."""
        alpha: Beta = 0.99
        """Decay rate of the second moment estimate."""
        eps: PositiveFloat = 1e-8
        """Number added to the denominator, so that it is never 0."""
        momentum: Beta = 0.0
        """Share of the last update that is added to the current one."""

    options: Options


class Sgd(_TorchOptimizer):
    """Stochastic gradient descent, with or without momentum."""

    optimizer = torch.optim.SGD

    class Options(_TorchOptimizer.Options):
        """Options of SGD."""

        lr: PositiveFloat = 1e-2
        """Learning rate."""
        momentum: Beta = 0.0
        """Share of the last update that is added to the current one."""
        nesterov: bool = False
        """Use Nesterov momentum; it needs a momentum above 0."""

        @model_validator(mode="after")
        def _nesterov_needs_momentum(self) -> Self:
            if self.nesterov and self.momentum == 0:
                raise ValueError("nesterov needs a momentum above 0")
            return self

    options: Options
