"""SNGAN's residual generator."""

from __future__ import annotations

from itertools import pairwise

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ganforge import Generator, ImageSpec
from ganforge_resnet.conditional_batch_norm import batch_norm
from ganforge_resnet.layers import convolution, initialized
from ganforge_resnet.plans import class_count, plan_for, required

NAME = "generator 'resnet'"


class UpBlock(nn.Module):
    """Batch norm, ReLU, doubling, conv, batch norm, ReLU, conv, plus a shortcut of doubling and conv.

    See Gulrajani et al. 2017, appendix F.
    """

    def __init__(self, inputs: int, outputs: int, *, classes: int | None, spectral_norm: bool) -> None:
        super().__init__()
        self.norm1 = batch_norm(inputs, classes)
        self.conv1 = convolution(inputs, outputs, 3, spectral_norm=spectral_norm)
        self.norm2 = batch_norm(outputs, classes)
        self.conv2 = convolution(outputs, outputs, 3, spectral_norm=spectral_norm)
        self.shortcut = convolution(inputs, outputs, 1, spectral_norm=spectral_norm, gain=1.0)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """Return maps, `(N, C', 2h, 2w)`, of maps, `(N, C, h, w)`, and class labels, `(N,)` int64, or None."""
        classes = () if labels is None else (labels,)
        residual: Tensor = self.conv1(doubled(relu(self.norm1(maps, *classes))))
        residual = self.conv2(relu(self.norm2(residual, *classes)))
        # The paper doubles first. A convolution of single pixels commutes with it; in this order it costs a quarter.
        return residual + doubled(self.shortcut(maps))


def doubled(maps: Tensor) -> Tensor:
    """Return maps, `(N, C, 2h, 2w)`, with each pixel of maps, `(N, C, h, w)`, four times."""
    return interpolate(maps, scale_factor=2, mode="nearest")


class ResnetGenerator(Generator):
    """Projection of the latents to a small map, residual blocks that double it, then a convolution and a tanh.

    At 3×32×32: dense 4·4·256, three blocks of 256 (Miyato et al. 2018, table 4). A conditional one has batch norm by
    class in the blocks.
    """

    class Options(Generator.Options):
        """Options of the residual generator."""

        latent_dim: PositiveInt = 128
        """Numbers in one latent."""
        base_channels: PositiveInt | None = None
        """Channels of the map next to the image; none: the paper's, 256 at 28 and 32 pixels, else 64."""
        spectral_norm: bool = False
        """Use spectral norm in dense layers and convolutions, as in SAGAN (Zhang et al. 2019)."""
        conditional: bool = False
        """Use class labels, by conditional batch norm."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        plan = plan_for(NAME, image)
        classes = class_count(NAME, image, conditional=options.conditional)
        base_channels = options.base_channels or plan.generator_channels
        channels = [base_channels * width for width in plan.generator_widths]
        spectral_norm = options.spectral_norm
        self.base = plan.base
        self.project = initialized(
            nn.Linear(options.latent_dim, plan.base**2 * channels[0]), spectral_norm=spectral_norm
        )
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, classes=classes, spectral_norm=spectral_norm)
            for inputs, outputs in pairwise(channels)
        )
        self.norm = nn.BatchNorm2d(channels[-1])
        self.to_image = convolution(channels[-1], image.channels, 3, spectral_norm=spectral_norm, gain=1.0)

    @property
    def conditional(self) -> bool:
        """Option `conditional`."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for a size without a table, or for a conditional network without classes."""
        plan_for(NAME, image)
        class_count(NAME, image, conditional=options.conditional)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`.

        Args:
            z: Latents, `(N, Z)`.
            condition: Classes, `(N,)` int64, of a conditional generator.
        """
        labels = required(NAME, condition) if self.conditional else None
        # Channels last is the memory layout of the engine's weights and of the next layer's input: no copies.
        maps: Tensor = self.project(z).view(len(z), self.base, self.base, -1).permute(0, 3, 1, 2)
        for block in self.blocks:
            maps = block(maps, labels)
        images: Tensor = self.to_image(relu(self.norm(maps))).tanh()
        return images
