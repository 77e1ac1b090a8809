"""Which maps the networks have, from the base map to the image: both networks follow the same plan."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, PositiveInt

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError

SMALLEST_BASE, LARGEST_BASE = 4, 7


class StageOptions(BaseModel):
    """Say how wide and how deep a network is. In brackets: the authors' values for 32×32 pixels."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    base_channels: PositiveInt = 96
    """Channels of the base map, and of every map up to `widest_size` (768)."""
    widest_size: PositiveInt = 8
    """Size in pixels beyond which channels halve with every doubling of the map (32)."""
    blocks: PositiveInt = 1
    """Residual blocks at each size (2)."""
    expansion: PositiveInt = 2
    """How many times more channels a block has within than without (2)."""
    group_width: PositiveInt = 8
    """Channels in each group of a block's 3×3 convolution (16); a block's inner channels are a multiple of it."""
    conditional: bool = False
    """Whether the network is told the labels."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One map: its channels, and its height and width in pixels."""

    channels: int
    size: tuple[int, int]


def halvings(size: int) -> int | None:
    """Return how often `size` halves until it is 4 to 7, or None where that leaves a remainder or takes no halving."""
    count = 0
    while size > LARGEST_BASE and size % 2 == 0:
        size //= 2
        count += 1
    return count if count and SMALLEST_BASE <= size <= LARGEST_BASE else None


def plan(network: str, options: StageOptions, image: ImageSpec) -> tuple[Stage, ...]:
    """Return the stages from the base map, 4 to 7 pixels wide, to the image.

    28 pixels are 7 → 14 → 28, 32 are 4 → 8 → 16 → 32, 64 one more. Raises IncompatibleError, naming what would fit.
    """
    count = halvings(image.height)
    if count is None or count != halvings(image.width):
        raise IncompatibleError(
            f"{network} cannot work with images of {image.height}×{image.width} pixels: both sides must halve equally "
            f"often until they are {SMALLEST_BASE} to {LARGEST_BASE} wide",
            fix=f"the nearest sizes that do are {_nearest(max(image.height, image.width))}; a folder's pictures are "
            "resized with --data.size",
        )
    if options.conditional and image.num_classes is None:
        raise IncompatibleError(
            f"{network} is conditional, but the data has no labels",
            fix="leave conditional at false, or use data with labels (a folder's subfolders are classes)",
        )
    sizes = [(image.height >> level, image.width >> level) for level in range(count, -1, -1)]
    shares = [_share(options.widest_size, max(size)) for size in sizes]
    _check_widths(network, options, shares[-1])
    return tuple(Stage(options.base_channels // share, size) for share, size in zip(shares, sizes, strict=True))


def _nearest(side: int) -> str:
    below = next((size for size in range(side, 0, -1) if halvings(size)), None)
    above = next(size for size in range(side, 2 * side + 16) if halvings(size))
    return " or ".join(f"{size}×{size}" for size in dict.fromkeys((below, above)) if size)


def _share(widest_size: int, side: int) -> int:
    """Return what channels are divided by in a map `side` wide: 2 for each doubling beyond `widest_size`."""
    share = 1
    while side > widest_size * share:
        share *= 2
    return share


def _check_widths(network: str, options: StageOptions, share: int) -> None:
    """Raise IncompatibleError where the narrowest map's blocks, and so perhaps others, have no whole groups."""
    step = share * (options.group_width // math.gcd(options.group_width, options.expansion))
    if options.base_channels % step:
        nearest = max(round(options.base_channels / step), 1) * step
        channels = options.base_channels / share
        raise IncompatibleError(
            f"{network} cannot have {options.base_channels} base_channels: the map next to the image would have "
            f"{channels:g}, and {channels * options.expansion:g} within its blocks, which make no whole groups of "
            f"{options.group_width}",
            fix=f"the nearest base_channels that do make them is {nearest}; or choose another group_width",
        )
