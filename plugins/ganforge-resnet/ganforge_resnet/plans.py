"""Widths and depths of the networks at each image size: the tables of Miyato et al. 2018, appendix B.4."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError


@dataclass(frozen=True, slots=True)
class Plan:
    """Tables of one size. Widths are multiples of `base_channels`.

    Attributes:
        base: Side in pixels of the generator's first map.
        generator_channels: The paper's `base_channels` of the generator.
        generator_widths: Widths of the first map and of each block's result; every block doubles the map.
        discriminator_channels: The paper's `base_channels` of the discriminator.
        discriminator_widths: Widths of each block's result.
        halvings: Number of the discriminator's blocks that halve the map, the first ones.
    """

    base: int
    generator_channels: int
    generator_widths: tuple[int, ...]
    discriminator_channels: int
    discriminator_widths: tuple[int, ...]
    halvings: int


#: By the images' side in pixels. 32, 48 and 128 are the paper's tables 4 (CIFAR-10), 5 (STL-10) and 6 (ImageNet); 28
#: follows table 4; 64 is table 6 with one doubling less and without the last block, as in the authors' code.
PLANS = {
    28: Plan(7, 256, (1, 1, 1), 128, (1, 1, 1, 1), 2),
    32: Plan(4, 256, (1, 1, 1, 1), 128, (1, 1, 1, 1), 2),
    48: Plan(6, 64, (8, 4, 2, 1), 64, (1, 2, 4, 8, 16), 4),
    64: Plan(4, 64, (16, 8, 4, 2, 1), 64, (1, 2, 4, 8, 16), 5),
    128: Plan(4, 64, (16, 16, 8, 4, 2, 1), 64, (1, 2, 4, 8, 16, 16), 5),
}


def plan_for(network: str, image: ImageSpec) -> Plan:
    """Return the plan for an image's size, or raise IncompatibleError with the nearest sizes."""
    if image.height == image.width and image.height in PLANS:
        return PLANS[image.height]
    side = max(image.height, image.width)
    below = max((size for size in PLANS if size <= side), default=None)
    above = min((size for size in PLANS if size >= side), default=None)
    nearest = " or ".join(f"{size}×{size}" for size in dict.fromkeys((below, above)) if size)
    raise IncompatibleError(
        f"{network} cannot work with images of {image.height}×{image.width} pixels: it has tables for square images of "
        f"{', '.join(map(str, PLANS))}",
        fix=f"the nearest sizes are {nearest}; --data.size resizes the pictures of a folder",
    )


def class_count(network: str, image: ImageSpec, *, conditional: bool) -> int | None:
    """Return the number of classes of a conditional network, or None for one that is not.

    Raises:
        IncompatibleError: The network is conditional, but the data has no class labels.
    """
    if conditional and image.num_classes is None:
        raise IncompatibleError(
            f"{network} is conditional, but the data has no class labels",
            fix="leave conditional at false, or use data with class labels (subfolders of a folder are classes)",
        )
    return image.num_classes if conditional else None


def required(network: str, condition: Tensor | None) -> Tensor:
    """Return the condition of a conditional network, or raise IncompatibleError if it is None."""
    if condition is None:
        raise IncompatibleError(f"{network} was called without a condition", fix="pass class labels, (N,) int64")
    return condition
