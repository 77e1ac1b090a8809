"""Latent consistency regularization.

References:
    Zhao et al. 2021, Improved Consistency Regularization for GANs, arXiv:2002.04724.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ganforge import Component, LossTerm, TrainStep, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    "term=zcr-discriminator,zcr-generator",
)


def perturb(step: TrainStep, scale: float) -> Tensor:
    """Return latents close to those of the batch, `(N, Z)`."""
    return step.z + scale * torch.randn(step.z.shape, generator=step.rng).to(step.z)


class ZcrDiscriminator(LossTerm):
    """Squared difference of the logits of images of nearby latents: the discriminator ignores small changes of z."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    class Options(LossTerm.Options):
        """Options of both terms."""

        weight: float = 5.0
        """Factor of the term in the loss."""
        scale: float = 0.1
        """Standard deviation of the change of a latent."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return |D(G(z)) - D(G(z'))|², in the shape of the logits (Zhao et al. 2021, section 3.2)."""
        nearby = step.discriminate(step.generate(perturb(step, self.options.scale)))
        return (step.fake_output.logits - nearby.logits).square()


class ZcrGenerator(LossTerm):
    """Negative squared difference of images of nearby latents: the generator shows small changes of z."""

    class Options(ZcrDiscriminator.Options):
        """Options of the generator's term."""

        weight: float = 0.5
        """Factor of the term in the loss."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return -|G(z) - G(z')|², `(N,)`."""
        nearby = step.generate(perturb(step, self.options.scale))
        return -(step.fake - nearby).square().flatten(1).mean(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide zCR's two terms."""
    paper = "arXiv:2002.04724"
    return [
        Component(
            kind="term", name="zcr-discriminator", target=ZcrDiscriminator, summary="zCR, discriminator.", paper=paper
        ),
        Component(kind="term", name="zcr-generator", target=ZcrGenerator, summary="zCR, generator.", paper=paper),
    ]
