"""Orthogonal regularization of the generator's weights.

References:
    Brock et al. 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv:1809.11096.
"""

from __future__ import annotations

from torch import Tensor

from ganforge import Component, LossTerm, TrainStep, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    "term=orthogonal",
)


class Orthogonal(LossTerm):
    """Squared cosines without normalization between the filters of a layer (Brock et al. 2019, eq. 3)."""

    class Options(LossTerm.Options):
        """Options of orthogonal regularization."""

        weight: float = 1e-4
        """Factor of the term in the loss."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return |WᵀW ⊙ (1 - I)|² summed over layers, `()`."""
        total = step.z.new_zeros(())
        for weight in step.generator.parameters():
            if weight.ndim > 1:
                filters = weight.flatten(1)
                products = filters @ filters.T
                total = total + (products - products.diag().diag()).square().sum()
        return total


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide orthogonal regularization."""
    return [
        Component(
            kind="term",
            name="orthogonal",
            target=Orthogonal,
            summary="Orthogonal regularization of the generator.",
            paper="arXiv:1809.11096",
        )
    ]
