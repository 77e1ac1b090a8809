"""PacGAN: a discriminator that sees several images at once.

References:
    Lin et al. 2018, PacGAN: The power of two samples in generative adversarial networks, arXiv:1712.04086.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge import Component, Discriminator, ImageSpec, hookimpl

SETTINGS = ("gen=mlp", "gen.hidden=[32]", "disc=packed", "batch_size=8")


class PackedDiscriminator(Discriminator):
    """MLP on packs of consecutive images; each image gets the logit of its pack."""

    class Options(Discriminator.Options):
        """Options of the discriminator."""

        pack: int = 2
        """Images in a pack."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Linear(options.pack * image.numel, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        count, pack = len(images), self.options.pack
        padding = images[: -count % pack]  # a last pack that is not full gets the first images again
        logits: Tensor = self.layers(torch.cat([images, padding]).reshape(-1, pack * self.image.numel))
        return logits.squeeze(1).repeat_interleave(pack)[:count]


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide PacGAN's discriminator."""
    return [
        Component(
            kind="discriminator",
            name="packed",
            target=PackedDiscriminator,
            summary="MLP on packs of images.",
            paper="arXiv:1712.04086",
        )
    ]
