"""DCGAN, the textbook's at 1×28×28, with the same rule for other sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge.components import ComponentOptions, Discriminator, Generator, ImageSpec
from ganforge.errors import IncompatibleError

MIN_BASE, MAX_BASE = 4, 7


def halvings(size: int) -> int | None:
    """Return the number of halvings of a size until it is 4 to 7 pixels, or None if a halving leaves a remainder."""
    count = 0
    while size > MAX_BASE:
        if size % 2:
            return None
        size //= 2
        count += 1
    return count if count and size >= MIN_BASE else None


def check_size(network: str, image: ImageSpec) -> int:
    """Return the number of halvings that both sides share. Raises IncompatibleError, with the nearest sizes."""
    count = halvings(image.height)
    if count is None or count != halvings(image.width):
        side = max(image.height, image.width)
        below = next((size for size in range(side, 0, -1) if halvings(size)), None)
        above = next(size for size in range(max(side, 1), 2 * side + 16) if halvings(size))
        nearest = " or ".join(f"{size}×{size}" for size in dict.fromkeys((below, above)) if size)
        raise IncompatibleError(
            f"{network} cannot work with images of {image.height}×{image.width} pixels: both sides must halve equally "
            f"often until they are {MIN_BASE} to {MAX_BASE} pixels wide",
            fix=f"the nearest sizes are {nearest}; --data.size resizes the pictures of a folder",
        )
    return count


def initialize(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch norm's scales from N(1, 0.02) (Radford et al. 2015, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


class _DcganOptions(ComponentOptions):
    """Options of both networks."""

    base_channels: PositiveInt = 112
    """Channels of the map next to the image; they double with every map towards the base."""
    init: Literal["default", "normal"] = "default"
    """Initial weights: PyTorch's default, or N(0, 0.02) as in the DCGAN paper."""


class DcganGenerator(Generator):
    """Projection of the latents to a small map, doubled until it is the image.

    At 1×28×28 with `base_channels` 112: ConvTranspose 100→224 (7, 1, 0), 224→112 (4, 2, 1), 112→1 (4, 2, 1), no biases,
    batch norm and ReLU after all but the last, tanh at the end.
    """

    class Options(_DcganOptions, Generator.Options):
        """Options of the DCGAN generator."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count = check_size("generator 'dcgan'", image)
        channels = [options.base_channels * 2**level for level in reversed(range(count))]  # from the base to the image
        self.base = (image.height // 2**count, image.width // 2**count)
        self.project = nn.ConvTranspose2d(options.latent_dim, channels[0], self.base, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for inputs, outputs in pairwise(channels):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers, nn.ConvTranspose2d(channels[-1], image.channels, 4, 2, 1, bias=False), nn.Tanh()
        )
        if options.init == "normal":
            initialize(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if the size cannot be halved to a base of 4 to 7 pixels."""
        check_size("generator 'dcgan'", image)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, of latents, `(N, Z)`; the condition is not used."""
        # A transposed convolution of a single pixel is a matrix product, which is much faster on every processor.
        # Channels last is the memory layout of the engine's weights and of the next layer's input: no copies.
        weight = self.project.weight.permute(0, 2, 3, 1).flatten(1)  # (Z, h·w·C)
        maps = (z @ weight).view(len(z), *self.base, -1).permute(0, 3, 1, 2)  # (N, C, h, w)
        images: Tensor = self.layers(maps)
        return images


class DcganDiscriminator(Discriminator):
    """Image halved to a small map, and one kernel of the map's size for the logit.

    At 1×28×28 with `base_channels` 112: Conv 1→112 (4, 2, 1), 112→224 (4, 2, 1), 224→1 (7, 1, 0), no biases, batch norm
    and LeakyReLU 0.2 after all but the last, the first included.
    """

    class Options(_DcganOptions, Discriminator.Options):
        """Options of the DCGAN discriminator."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count = check_size("discriminator 'dcgan'", image)
        channels = [image.channels, *(options.base_channels * 2**level for level in range(count))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        base = (image.height // 2**count, image.width // 2**count)
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, base, bias=False), nn.Flatten(0))
        if options.init == "normal":
            initialize(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if the size cannot be halved to a base of 4 to 7 pixels."""
        check_size("discriminator 'dcgan'", image)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, of images, `(N, C, H, W)`; the condition is not used."""
        logits: Tensor = self.layers(images)
        return logits
