"""Lookahead: slow weights that follow fast ones.

References:
    Zhang et al. 2019, Lookahead Optimizer: k steps forward, 1 step back, arXiv:1907.08610.
    Chavdarova et al. 2021, Taming GANs with Lookahead-Minmax, arXiv:2006.14567.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import nn

from ganforge import Component, OptimizerFactory, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    *("optimizer.gen=lookahead", "optimizer.disc=lookahead", "optimizer.gen.interval=3"),
)


class LookaheadAdam(torch.optim.Adam):
    """Adam whose weights go back towards slow weights every k steps (Zhang et al. 2019, algorithm 1)."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, interval: int, share: float, **adam: Any) -> None:
        super().__init__(parameters, **adam)
        for group in self.param_groups:
            group.update(interval=interval, share=share)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # gradients are given
        """Take a step of Adam; in every k-th one, move the slow weights and go back to them."""
        weights = [
            (group, weight) for group in self.param_groups for weight in group["params"] if weight.grad is not None
        ]
        before = {weight: weight.clone() for _, weight in weights if "slow" not in self.state[weight]}
        super().step()
        for group, weight in weights:
            state = self.state[weight]
            slow = state.setdefault("slow", before.get(weight))
            if int(state["step"]) % group["interval"] == 0:
                slow.lerp_(weight, group["share"])
                weight.copy_(slow)


class Lookahead(OptimizerFactory):
    """Lookahead around Adam."""

    needs_closure: ClassVar[bool] = False

    class Options(OptimizerFactory.Options):
        """Options of lookahead."""

        betas: tuple[float, float] = (0.5, 0.999)
        """Adam betas: decay rates of the first and second moment estimates."""
        interval: int = 5
        """Steps k of Adam for one of the slow weights."""
        share: float = 0.5
        """Step size α of the slow weights."""

    options: Options

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return the optimizer of named parameters."""
        options = self.options
        weights = [parameter for _, parameter in parameters]
        return LookaheadAdam(
            weights, interval=options.interval, share=options.share, lr=options.lr, betas=options.betas
        )


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide lookahead."""
    return [
        Component(
            kind="optimizer",
            name="lookahead",
            target=Lookahead,
            summary="Adam that goes back towards slow weights.",
            paper="arXiv:1907.08610",
        )
    ]
