"""Extragradient: an optimizer that looks one step ahead.

References:
    Gidel et al. 2019, A Variational Inequality Perspective on Generative Adversarial Networks, arXiv:1802.10551.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import Component, OptimizerFactory, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    *("optimizer.gen=extragradient", "optimizer.disc=extragradient"),
)


class ExtraSgd(torch.optim.SGD):
    """Step along the gradient that is found one step ahead (Gidel et al. 2019, eq. 13)."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Tensor | None:  # type: ignore[override]  # a closure is required
        """Evaluate the gradient here and one step ahead; step from here along the latter."""
        assert closure is not None
        with torch.enable_grad():
            loss: Tensor = closure()
        before = [
            (weight, weight.clone())
            for group in self.param_groups
            for weight in group["params"]
            if weight.requires_grad
        ]
        super().step()
        with torch.enable_grad():
            closure()
        for weight, values in before:
            weight.copy_(values)
        super().step()
        return loss


class Extragradient(OptimizerFactory):
    """Extragradient of plain gradient descent."""

    class Options(OptimizerFactory.Options):
        """Options of extragradient."""

        lr: float = 0.05
        """Learning rate."""

    options: Options

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return the optimizer of named parameters."""
        return ExtraSgd([parameter for _, parameter in parameters], lr=self.options.lr)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide extragradient."""
    return [
        Component(
            kind="optimizer",
            name="extragradient",
            target=Extragradient,
            summary="One step ahead, then back.",
            paper="arXiv:1802.10551",
        )
    ]
