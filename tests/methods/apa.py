"""Adaptive pseudo augmentation: some fakes are presented as real images.

References:
    Jiang et al. 2021, Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data, arXiv:2111.06849.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge import Augmentation, Component, TrainStep, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8"),
    *("augment=apa", "augment.images=120"),
)


class PseudoAugmentation(Augmentation):
    """Replace real images by fakes with a probability that follows the discriminator's overfitting."""

    class Options(Augmentation.Options):
        """Options of APA."""

        target: float = 0.6
        """Mean sign of the real images' logits that counts as overfitting."""
        images: int = 500_000
        """Images over which the probability grows from 0 to 1."""

    options: Options
    probability: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.register_buffer("probability", torch.zeros(()))

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> tuple[Tensor, Tensor] | None:
        """Return which images are replaced, `(N,)` bool, and the fakes; None for fakes, which stay."""
        if not real:
            return None
        draw = torch.rand(len(images), generator=step.rng).to(images.device)
        return draw < self.probability, step.fake.detach()

    def forward(self, images: Tensor, parameters: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        if parameters is None:
            return images
        replaced, fakes = parameters
        return torch.where(replaced.view(-1, 1, 1, 1), fakes.to(images.dtype), images)

    def observe(self, real_logits: Tensor) -> None:
        """Move the probability by the mean sign of the logits (Jiang et al. 2021, section 3.3)."""
        overfitting = real_logits.sign().mean() - self.options.target
        self.probability.add_(overfitting.sign() * len(real_logits) / self.options.images).clamp_(0, 1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide APA."""
    return [
        Component(
            kind="augmentation",
            name="apa",
            target=PseudoAugmentation,
            summary="Adaptive pseudo augmentation.",
            paper="arXiv:2111.06849",
        )
    ]
