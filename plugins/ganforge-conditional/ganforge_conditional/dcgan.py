"""DCGAN with the condition as a second input of both networks."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge_conditional.embedding import ConditionEmbedding
from ganforge_conditional.layers import DcganOptions, initialize_normal, trunk
from ganforge_conditional.sizes import channels_per_level, halve


class ConditionalDcganGenerator(Generator):
    """Projection of latents and condition to a small map, doubled until it is the image.

    At 1×28×28 with `base_channels` 112 and E numbers for the condition: ConvTranspose 100+E→224 (7, 1, 0), 224→112
    (4, 2, 1), 112→1 (4, 2, 1), no biases, batch norm and ReLU after all but the last, tanh at the end.
    """

    class Options(DcganOptions, Generator.Options):
        """Options of the conditional DCGAN generator."""

        condition_dim: PositiveInt = 10
        """Numbers for the condition concatenated with the latents."""

    options: Options
    conditional = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, self.base = halve("generator 'conditional-dcgan'", image)
        channels = channels_per_level(options.base_channels, count)[::-1]
        self.project = nn.ConvTranspose2d(
            options.latent_dim + options.condition_dim, channels[0], self.base, bias=False
        )
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for inputs, outputs in pairwise([*channels, image.channels]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-2], nn.Tanh())
        if options.init == "normal":
            initialize_normal(self)
        self.embedding = ConditionEmbedding(image, options.condition_dim)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if the size cannot be halved to a map of 4 to 7 pixels."""
        halve("generator 'conditional-dcgan'", image)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`.

        Args:
            z: Latents, `(N, Z)`.
            condition: `(N,)` int64 classes, or `(N, D)` vectors.
        """
        inputs = torch.cat([z, self.embedding(condition)], 1)
        # A transposed convolution of a single pixel is a matrix product, which is faster. Channels last is the memory
        # layout of the engine's weights and of the next layer's input.
        weight = self.project.weight.permute(0, 2, 3, 1).flatten(1)  # (Z + E, h·w·C)
        small = (inputs @ weight).view(len(z), *self.base, -1).permute(0, 3, 1, 2)  # (N, C, h, w)
        images: Tensor = self.layers(small)
        return images


class ConditionalDcganDiscriminator(Discriminator):
    """Image and maps of the condition halved to a small map, and one kernel of the map's size for the logit.

    Each of the condition's E numbers fills a map concatenated with the image. At 1×28×28 with `base_channels` 112: Conv
    1+E→112 (4, 2, 1), 112→224 (4, 2, 1), 224→1 (7, 1, 0), no biases, batch norm and LeakyReLU 0.2 after all but the
    last. Features are the smallest map, `(N, 224, 7, 7)`.
    """

    class Options(DcganOptions, Discriminator.Options):
        """Options of the conditional DCGAN discriminator."""

        condition_dim: PositiveInt = 10
        """Maps of the condition concatenated with the image."""

    options: Options
    conditional = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, base = halve("discriminator 'conditional-dcgan'", image)
        channels = channels_per_level(options.base_channels, count)
        self.trunk = trunk([image.channels + options.condition_dim, *channels])
        self.head = nn.Sequential(nn.Conv2d(channels[-1], 1, base, bias=False), nn.Flatten(0))
        if options.init == "normal":
            initialize_normal(self)
        self.embedding = ConditionEmbedding(image, options.condition_dim)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if the size cannot be halved to a map of 4 to 7 pixels."""
        halve("discriminator 'conditional-dcgan'", image)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features.

        Args:
            images: `(N, C, H, W)`.
            condition: `(N,)` int64 classes, or `(N, D)` vectors.
        """
        maps = self.embedding(condition)[:, :, None, None].expand(-1, -1, *images.shape[2:])  # (N, E, H, W)
        features = self.trunk(torch.cat([images, maps], 1))
        return DiscriminatorOutput(self.head(features), features=(features,))
