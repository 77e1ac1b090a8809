"""The textbook's MLP GAN with the condition as a second input of both networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge_conditional.embedding import ConditionEmbedding


class ConditionalMlpGenerator(Generator):
    """Z + E → 256 → 512 → 1024 → C·H·W, LeakyReLU 0.2 between, tanh at the end; E numbers for the condition."""

    class Options(Generator.Options):
        """Options of the conditional MLP generator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (256, 512, 1024)
        """Widths of the hidden layers, from the latents to the image."""
        condition_dim: PositiveInt = 10
        """Numbers for the condition concatenated with the latents."""

    options: Options
    conditional = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((options.latent_dim + options.condition_dim, *options.hidden)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], image.numel), nn.Tanh())
        self.embedding = ConditionEmbedding(image, options.condition_dim)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`.

        Args:
            z: Latents, `(N, Z)`.
            condition: `(N,)` int64 classes, or `(N, D)` vectors.
        """
        images: Tensor = self.layers(torch.cat([z, self.embedding(condition)], 1))
        return images.view(len(z), *self.image.shape)


class ConditionalMlpDiscriminator(Discriminator):
    """C·H·W + E → 1024 → 512 → 256 → 1, LeakyReLU 0.2 and dropout 0.5 after each hidden layer.

    Features are the last hidden layer before dropout, `(N, 256)`.
    """

    class Options(Discriminator.Options):
        """Options of the conditional MLP discriminator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1024, 512, 256)
        """Widths of the hidden layers, from the image to the logit."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        """Dropout rate of each hidden layer."""
        condition_dim: PositiveInt = 10
        """Numbers for the condition concatenated with the pixels."""

    options: Options
    conditional = True
    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        first, *widths = options.hidden
        layers: list[nn.Module] = [nn.Linear(image.numel + options.condition_dim, first), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise((first, *widths)):
            layers += [nn.Dropout(options.dropout), nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(options.hidden[-1], 1), nn.Flatten(0))
        self.embedding = ConditionEmbedding(image, options.condition_dim)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features.

        Args:
            images: `(N, C, H, W)`.
            condition: `(N,)` int64 classes, or `(N, D)` vectors.
        """
        features = self.trunk(torch.cat([images.flatten(1), self.embedding(condition)], 1))
        return DiscriminatorOutput(self.head(features), features=(features,))
