"""SNGAN's residual generator."""

from __future__ import annotations

from itertools import pairwise

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ganforge import Generator, ImageSpec
from ganforge_resnet.conditional_batch_norm import batch_norm
from ganforge_resnet.layers import convolution, prepared
from ganforge_resnet.plans import class_count, labels_needed, plan_for

NAME = "generator 'resnet'"


class UpBlock(nn.Module):
    """Double a map: batch norm, ReLU, doubling, conv, batch norm, ReLU, conv, beside a shortcut of doubling and conv.

    As Gulrajani et al. 2017, appendix F, have it.
    """

    def __init__(self, inputs: int, outputs: int, *, classes: int | None, spectral_norm: bool) -> None:
        super().__init__()
        self.norm1 = batch_norm(inputs, classes)
        self.conv1 = convolution(inputs, outputs, 3, spectral_norm=spectral_norm)
        self.norm2 = batch_norm(outputs, classes)
        self.conv2 = convolution(outputs, outputs, 3, spectral_norm=spectral_norm)
        self.shortcut = convolution(inputs, outputs, 1, spectral_norm=spectral_norm, gain=1.0)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """Return maps, `(N, C', 2h, 2w)`, for maps, `(N, C, h, w)`, and labels, `(N,)`, None without classes."""
        given = () if labels is None else (labels,)
        residual: Tensor = self.conv1(doubled(relu(self.norm1(maps, *given))))
        residual = self.conv2(relu(self.norm2(residual, *given)))
        # The paper doubles first. A convolution of single pixels gives the same afterwards, at a quarter of the cost.
        return residual + doubled(self.shortcut(maps))


def doubled(maps: Tensor) -> Tensor:
    """Return maps, `(N, C, 2h, 2w)`, with each pixel four times, for maps, `(N, C, h, w)`."""
    return interpolate(maps, scale_factor=2, mode="nearest")


class ResnetGenerator(Generator):
    """Project latents to a small map, double it by residual blocks, end with batch norm, ReLU, a convolution and tanh.

    At 3×32×32: dense 4·4·256, three blocks of 256 (Miyato et al. 2018, table 4). Where it is conditional, batch norm
    in the blocks is by class.
    """

    class Options(Generator.Options):
        """How wide the network is, and whether it makes images by class."""

        latent_dim: PositiveInt = 128
        """How many numbers a latent has."""
        base_channels: PositiveInt | None = None
        """Channels of the map next to the image; none: the paper's, 256 at 28 and 32 pixels, else 64."""
        spectral_norm: bool = False
        """Whether dense layers and convolutions have spectral norm, as in SAGAN (Zhang et al. 2019)."""
        conditional: bool = False
        """Whether images are made by class, by conditional batch norm; the data must have labels."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        plan = plan_for(NAME, image)
        classes = class_count(NAME, image, conditional=options.conditional)
        base_channels = options.base_channels or plan.generator_channels
        channels = [base_channels * width for width in plan.generator_widths]
        spectral_norm = options.spectral_norm
        self.base = plan.base
        self.project = prepared(nn.Linear(options.latent_dim, plan.base**2 * channels[0]), spectral_norm=spectral_norm)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, classes=classes, spectral_norm=spectral_norm)
            for inputs, outputs in pairwise(channels)
        )
        self.norm = nn.BatchNorm2d(channels[-1])
        self.to_image = convolution(channels[-1], image.channels, 3, spectral_norm=spectral_norm, gain=1.0)

    @property
    def conditional(self) -> bool:
        """Whether it is conditional."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for a size without a table, and for a conditional one without labels."""
        plan_for(NAME, image)
        class_count(NAME, image, conditional=options.conditional)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from latents, `(N, Z)`, and, where it is conditional, labels, `(N,)`."""
        if not self.conditional:
            labels = None
        elif labels is None:
            raise labels_needed(NAME)
        # Channels go last, the layout in which the engine keeps weights and the next layer wants its maps: no copies.
        maps: Tensor = self.project(z).view(len(z), self.base, self.base, -1).permute(0, 3, 1, 2)
        for block in self.blocks:
            maps = block(maps, labels)
        images: Tensor = self.to_image(relu(self.norm(maps))).tanh()
        return images
