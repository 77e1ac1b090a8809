"""DCGAN's rule for sizes: halve the image until a map of 4 to 7 pixels is left, and double the channels as often."""

from __future__ import annotations

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError

BASES = range(4, 8)


def halvings(side: int) -> int | None:
    """Return how often `side` is halved until 4 to 7 pixels are left, at least once, or None where that cannot be."""
    counts = range(1, side.bit_length())
    return next((count for count in counts if side % 2**count == 0 and side >> count in BASES), None)


def halve(network: str, image: ImageSpec) -> tuple[int, tuple[int, int]]:
    """Return how often both sides are halved, and the height and width that are left.

    network: whose images these are, for the message. Raises IncompatibleError, naming the nearest sizes that fit.
    """
    count = halvings(image.height)
    if count is None or count != halvings(image.width):
        side = max(image.height, image.width)
        fitting = [size for size in range(2 * side + 16) if halvings(size)]
        nearest = [size for size in fitting if size <= side][-1:] + [size for size in fitting if size > side][:1]
        raise IncompatibleError(
            f"{network} cannot halve images of {image.height}×{image.width} pixels: both sides must halve equally "
            f"often, down to {BASES[0]} to {BASES[-1]} pixels",
            fix=f"the nearest sizes are {' and '.join(f'{size}×{size}' for size in nearest)}; a folder's pictures are "
            "resized with --data.size",
        )
    return count, (image.height >> count, image.width >> count)


def widths(base_channels: int, count: int) -> list[int]:
    """Return the channels of each map, from the image's side to the smallest: 112, 224, … for `base_channels` 112."""
    return [base_channels << level for level in range(count)]
