"""Projected GAN: heads on several layers of a frozen network.

References:
    Sauer et al. 2021, Projected GANs Converge Faster, arXiv:2111.01007.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from ganforge import Component, Discriminator, ImageSpec, IncompatibleError, hookimpl

SETTINGS = ("gen=mlp", "gen.hidden=[32]", "disc=projected", "batch_size=8")


class ProjectedDiscriminator(Discriminator):
    """Small heads on each layer of a frozen network; one logit per head and place."""

    batch_independent: ClassVar[bool] = True
    frozen: ClassVar[tuple[str, ...]] = ("backbone",)

    @classmethod
    def check_image(cls, options: Discriminator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for images that are too small for the frozen network."""
        if min(image.height, image.width) < 4:
            raise IncompatibleError(f"images of {image} are too small", fix="use at least 4 pixels a side")

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        widths = (image.channels, 8, 16)
        self.backbone = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()) for inputs, outputs in pairwise(widths)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 3, 2, 1) for width in widths[1:])

    @torch.no_grad()
    def initialize(self) -> None:
        """Load the frozen weights: fixed random numbers, in place of a pretrained network."""
        rng = torch.Generator().manual_seed(0)
        for weight in self.backbone.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) / weight[0].numel() ** 0.5)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N, K)`."""
        logits = []
        for layer, head in zip(self.backbone, self.heads, strict=True):
            images = layer(images)
            logits.append(head(images).flatten(1))
        return torch.cat(logits, 1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide a projected discriminator."""
    return [
        Component(
            kind="discriminator",
            name="projected",
            target=ProjectedDiscriminator,
            summary="Heads on a frozen network.",
            paper="arXiv:2111.01007",
        )
    ]
