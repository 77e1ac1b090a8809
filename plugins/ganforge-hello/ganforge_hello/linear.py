"""Linear generator."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge import Generator, ImageSpec


class LinearGenerator(Generator):
    """Z → C·H·W, tanh: images are a mean and Z directions, squashed into [-1, 1]."""

    class Options(Generator.Options):
        """Options of the linear generator."""

        bias: bool = True
        """Add a mean image."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(options.latent_dim, image.numel, bias=options.bias)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, of latents, `(N, Z)`; the condition is not used."""
        images: Tensor = self.layer(z).tanh()
        return images.view(len(z), *self.image.shape)
