"""The textbook's MLP GAN: fully connected networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ganforge.builtin.models.dropout import Dropout
from ganforge.components import Discriminator, Generator, ImageSpec


class MlpGenerator(Generator):
    """Z → 256 → 512 → 1024 → C·H·W, LeakyReLU 0.2 between the layers, tanh at the end."""

    class Options(Generator.Options):
        """Options of the MLP generator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (256, 512, 1024)
        """Widths of the hidden layers, from the latents to the image."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((options.latent_dim, *options.hidden)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], image.numel), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, of latents, `(N, Z)`; the condition is not used."""
        images: Tensor = self.layers(z)
        return images.view(len(z), *self.image.shape)


class MlpDiscriminator(Discriminator):
    """C·H·W → 1024 → 512 → 256 → 1, LeakyReLU 0.2 and dropout 0.5 after each hidden layer."""

    class Options(Discriminator.Options):
        """Options of the MLP discriminator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1024, 512, 256)
        """Widths of the hidden layers, from the image to the logit."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        """Dropout rate of each hidden layer."""

    options: Options
    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((image.numel, *options.hidden)):
            # Not in place: autograd refuses an in-place dropout on the output of LeakyReLU, as the textbook has it.
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2), Dropout(options.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, of images, `(N, C, H, W)`; the condition is not used."""
        logits: Tensor = self.layers(images.flatten(1))
        return logits.squeeze(1)
