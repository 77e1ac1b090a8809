"""The smallest generator there is."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge import Generator, ImageSpec


class LinearGenerator(Generator):
    """Z → C·H·W, tanh: images are a mean and Z directions, squashed into [-1, 1]."""

    class Options(Generator.Options):
        """One option beside those of every generator."""

        bias: bool = True
        """Whether there is a mean image."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(options.latent_dim, image.numel, bias=options.bias)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from latents, `(N, Z)`; labels are not used."""
        images: Tensor = self.layer(z).tanh()
        return images.view(len(z), self.image.channels, self.image.height, self.image.width)
