"""DCGAN with the label as a second input of both networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge_conditional.convolutions import draw_normal, trunk
from ganforge_conditional.labels import LabelEmbedding
from ganforge_conditional.sizes import halve, widths


class ConditionalDcganGenerator(Generator):
    """Project latents and label to a small map, then double it until it is the image.

    At 1×28×28 with `base_channels` 112, and E numbers for the label: ConvTranspose 100+E→224 (7, 1, 0), 224→112
    (4, 2, 1), 112→1 (4, 2, 1), no biases, batch norm and ReLU after all but the last, tanh at the end.
    """

    class Options(Generator.Options):
        """How wide the network is, how its weights start, and how much room the label has."""

        base_channels: PositiveInt = 112
        """Channels of the map next to the image; they double with every map towards the base."""
        init: Literal["default", "normal"] = "default"
        """How weights start: PyTorch's default, or N(0, 0.02) as DCGAN's authors draw them."""
        label_dim: PositiveInt = 10
        """How many numbers stand for a label beside the latents."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, self.base = halve("generator 'conditional-dcgan'", image)
        channels = widths(options.base_channels, count)[::-1]
        self.label = LabelEmbedding(image, options.label_dim)
        self.project = nn.ConvTranspose2d(options.latent_dim + options.label_dim, channels[0], self.base, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for inputs, outputs in pairwise([*channels, image.channels]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-2], nn.Tanh())
        if options.init == "normal":
            draw_normal(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError where the size cannot be halved to a map of 4 to 7 pixels."""
        halve("generator 'conditional-dcgan'", image)

    @property
    def conditional(self) -> bool:
        """It makes images of the labels that it is given."""
        return True

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from latents, `(N, Z)`, and labels, `(N,)` int64."""
        inputs = torch.cat([z, self.label(labels)], 1)
        # On one pixel a transposed convolution is a matrix product, which is faster. Its map has channels last in
        # memory, as the engine's convolutions like them.
        weight = self.project.weight.permute(0, 2, 3, 1).flatten(1)  # (Z + E, h·w·C)
        small = (inputs @ weight).view(len(z), *self.base, -1).permute(0, 3, 1, 2)  # (N, C, h, w)
        images: Tensor = self.layers(small)
        return images


class ConditionalDcganDiscriminator(Discriminator):
    """Halve the image and its label's maps until they are a small map, then judge that with one kernel of its size.

    Each of the label's E numbers fills a map beside the image's channels. At 1×28×28 with `base_channels` 112: Conv
    1+E→112 (4, 2, 1), 112→224 (4, 2, 1), 224→1 (7, 1, 0), no biases, batch norm and LeakyReLU 0.2 after all but the
    last. Its features are the smallest map, `(N, 224, 7, 7)`.
    """

    class Options(Discriminator.Options):
        """How wide the network is, how its weights start, and how much room the label has."""

        base_channels: PositiveInt = 112
        """Channels of the map next to the image; they double with every map towards the base."""
        init: Literal["default", "normal"] = "default"
        """How weights start: PyTorch's default, or N(0, 0.02) as DCGAN's authors draw them."""
        label_dim: PositiveInt = 10
        """How many maps stand for a label beside the image's channels."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, base = halve("discriminator 'conditional-dcgan'", image)
        channels = widths(options.base_channels, count)
        self.label = LabelEmbedding(image, options.label_dim)
        self.trunk = trunk([image.channels + options.label_dim, *channels])
        self.head = nn.Sequential(nn.Conv2d(channels[-1], 1, base, bias=False), nn.Flatten(0))
        if options.init == "normal":
            draw_normal(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError where the size cannot be halved to a map of 4 to 7 pixels."""
        halve("discriminator 'conditional-dcgan'", image)

    @property
    def conditional(self) -> bool:
        """It judges whether an image is a real one of its label."""
        return True

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features for images, `(N, C, H, W)`, and labels, `(N,)` int64."""
        maps = self.label(labels)[:, :, None, None].expand(-1, -1, *images.shape[2:])  # (N, E, H, W)
        features = self.trunk(torch.cat([images, maps], 1))
        return DiscriminatorOutput(self.head(features), features=(features,))
