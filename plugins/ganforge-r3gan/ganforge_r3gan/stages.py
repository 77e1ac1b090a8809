"""Stages of the networks: their maps from the base to the image, the same for both networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import PositiveInt

from ganforge import ComponentOptions, ImageSpec
from ganforge.errors import IncompatibleError

MIN_BASE, MAX_BASE = 4, 7


class StageOptions(ComponentOptions):
    """Width and depth of a network. In parentheses: the authors' values for 32×32 pixels."""

    base_channels: PositiveInt = 96
    """Channels of the base map, and of every map up to `widest_size` (768)."""
    widest_size: PositiveInt = 8
    """Size in pixels beyond which channels halve with every doubling of the map (32)."""
    blocks: PositiveInt = 1
    """Residual blocks at each size (2)."""
    expansion: PositiveInt = 2
    """Factor of the channels within a block (2)."""
    group_width: PositiveInt = 8
    """Channels in each group of a block's 3×3 convolution (16); a block's inner channels are a multiple of it."""
    conditional: bool = False
    """Use class labels."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One map: its channels, and its height and width in pixels."""

    channels: int
    size: tuple[int, int]


def halvings(size: int) -> int | None:
    """Return the number of halvings, at least one, of a size until it is 4 to 7 pixels, or None if there is none."""
    count = 0
    while size > MAX_BASE and size % 2 == 0:
        size //= 2
        count += 1
    return count if count and MIN_BASE <= size <= MAX_BASE else None


def plan(network: str, options: StageOptions, image: ImageSpec) -> tuple[Stage, ...]:
    """Return the stages from the base map, 4 to 7 pixels wide, to the image.

    28 pixels are 7 → 14 → 28, 32 are 4 → 8 → 16 → 32, 64 one more.

    Args:
        network: Name of the network, for messages.
        options: Width and depth.
        image: Shape of the images.

    Raises:
        IncompatibleError: Size, classes or widths do not fit; the message names the nearest that do.
    """
    count = halvings(image.height)
    if count is None or count != halvings(image.width):
        raise IncompatibleError(
            f"{network} cannot work with images of {image.height}×{image.width} pixels: both sides must halve equally "
            f"often until they are {MIN_BASE} to {MAX_BASE} pixels wide",
            fix=f"the nearest sizes are {_nearest(max(image.height, image.width))}; --data.size resizes the pictures "
            "of a folder",
        )
    if options.conditional and image.num_classes is None:
        raise IncompatibleError(
            f"{network} is conditional, but the data has no class labels",
            fix="leave conditional at false, or use data with class labels (subfolders of a folder are classes)",
        )
    sizes = [(image.height >> level, image.width >> level) for level in range(count, -1, -1)]
    divisors = [_divisor(options.widest_size, max(size)) for size in sizes]
    _check_widths(network, options, divisors[-1])
    return tuple(Stage(options.base_channels // divisor, size) for divisor, size in zip(divisors, sizes, strict=True))


def _nearest(side: int) -> str:
    below = next((size for size in range(side, 0, -1) if halvings(size)), None)
    above = next(size for size in range(side, 2 * side + 16) if halvings(size))
    return " or ".join(f"{size}×{size}" for size in dict.fromkeys((below, above)) if size)


def _divisor(widest_size: int, side: int) -> int:
    """Return the divisor of the channels of a map `side` wide: 2 for each doubling beyond `widest_size`."""
    divisor = 1
    while side > widest_size * divisor:
        divisor *= 2
    return divisor


def _check_widths(network: str, options: StageOptions, divisor: int) -> None:
    """Raise IncompatibleError if blocks of the narrowest map, and perhaps of others, have no whole groups."""
    step = divisor * (options.group_width // math.gcd(options.group_width, options.expansion))
    if options.base_channels % step:
        nearest = max(round(options.base_channels / step), 1) * step
        channels = options.base_channels / divisor
        raise IncompatibleError(
            f"{network} cannot have {options.base_channels} base_channels: the map next to the image would have "
            f"{channels:g}, and {channels * options.expansion:g} within its blocks, which are not whole groups of "
            f"{options.group_width}",
            fix=f"the nearest base_channels is {nearest}; or choose another group_width",
        )
