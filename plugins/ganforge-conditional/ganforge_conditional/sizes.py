"""Sizes of DCGAN: the image is halved until it is 4 to 7 pixels wide, and the channels double as often."""

from __future__ import annotations

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError

BASES = range(4, 8)


def halvings(side: int) -> int | None:
    """Return the number of halvings, at least one, of a side until it is 4 to 7 pixels, or None if there is none."""
    counts = range(1, side.bit_length())
    return next((count for count in counts if side % 2**count == 0 and side >> count in BASES), None)


def halve(network: str, image: ImageSpec) -> tuple[int, tuple[int, int]]:
    """Return the number of halvings of both sides, and the height and width that remain.

    Args:
        network: Name of the network, for the message.
        image: Shape of the images.

    Raises:
        IncompatibleError: The sides do not halve equally often; the message names the nearest sizes.
    """
    count = halvings(image.height)
    if count is None or count != halvings(image.width):
        side = max(image.height, image.width)
        fitting = [size for size in range(2 * side + 16) if halvings(size)]
        nearest = [size for size in fitting if size <= side][-1:] + [size for size in fitting if size > side][:1]
        raise IncompatibleError(
            f"{network} cannot halve images of {image.height}×{image.width} pixels: both sides must halve equally "
            f"often, down to {BASES[0]} to {BASES[-1]} pixels",
            fix=f"the nearest sizes are {' and '.join(f'{size}×{size}' for size in nearest)}; --data.size resizes the "
            "pictures of a folder",
        )
    return count, (image.height >> count, image.width >> count)


def channels_per_level(base_channels: int, count: int) -> list[int]:
    """Return the channels of each map from the image to the smallest: 112, 224, … for `base_channels` 112."""
    return [base_channels << level for level in range(count)]
