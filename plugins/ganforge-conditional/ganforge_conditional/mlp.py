"""The textbook's MLP GAN with the label as a second input of both networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge_conditional.labels import LabelEmbedding


class ConditionalMlpGenerator(Generator):
    """Z + E → 256 → 512 → 1024 → C·H·W, LeakyReLU 0.2 between, tanh at the end; E numbers stand for the label."""

    class Options(Generator.Options):
        """How wide the network is, and how much room the label has."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (256, 512, 1024)
        """Widths of the hidden layers, from the latents to the image."""
        label_dim: PositiveInt = 10
        """How many numbers stand for a label beside the latents."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.label = LabelEmbedding(image, options.label_dim)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((options.latent_dim + options.label_dim, *options.hidden)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], image.numel), nn.Tanh())

    @property
    def conditional(self) -> bool:
        """It makes images of the labels that it is given."""
        return True

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from latents, `(N, Z)`, and labels, `(N,)` int64."""
        images: Tensor = self.layers(torch.cat([z, self.label(labels)], 1))
        return images.view(len(z), self.image.channels, self.image.height, self.image.width)


class ConditionalMlpDiscriminator(Discriminator):
    """C·H·W + E → 1024 → 512 → 256 → 1, LeakyReLU 0.2 and dropout 0.5 after each hidden layer.

    Its features are the last hidden layer before dropout, `(N, 256)`.
    """

    class Options(Discriminator.Options):
        """How wide the network is, how much dropout removes, and how much room the label has."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1024, 512, 256)
        """Widths of the hidden layers, from the image to the logit."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        """The share of each hidden layer that dropout removes; 0 for none."""
        label_dim: PositiveInt = 10
        """How many numbers stand for a label beside the pixels."""

    options: Options
    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.label = LabelEmbedding(image, options.label_dim)
        first, *widths = options.hidden
        layers: list[nn.Module] = [nn.Linear(image.numel + options.label_dim, first), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise((first, *widths)):
            layers += [nn.Dropout(options.dropout), nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(options.hidden[-1], 1), nn.Flatten(0))

    @property
    def conditional(self) -> bool:
        """It judges whether an image is a real one of its label."""
        return True

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features for images, `(N, C, H, W)`, and labels, `(N,)` int64."""
        features = self.trunk(torch.cat([images.flatten(1), self.label(labels)], 1))
        return DiscriminatorOutput(self.head(features), features=(features,))
