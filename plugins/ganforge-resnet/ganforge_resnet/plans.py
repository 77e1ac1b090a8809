"""How the networks are built up at each image size: the tables of Miyato et al. 2018, appendix B.4."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold one size's tables. Widths are multiples of `base_channels`, whose value in the paper stands beside them.

    base: side in pixels of the map that the generator starts from. generator_widths: of that map, then of each block's
    result; every block doubles the map. discriminator_widths: of each block's result, of which the first `halvings`
    blocks halve the map.
    """

    base: int
    generator_channels: int
    generator_widths: tuple[int, ...]
    discriminator_channels: int
    discriminator_widths: tuple[int, ...]
    halvings: int


#: By the images' side in pixels. 32, 48 and 128 are the paper's tables 4 (CIFAR-10), 5 (STL-10) and 6 (ImageNet); 28
#: follows table 4; 64 is table 6 with one doubling less, and without the last block, as in its authors' code.
PLANS = {
    28: Plan(7, 256, (1, 1, 1), 128, (1, 1, 1, 1), 2),
    32: Plan(4, 256, (1, 1, 1, 1), 128, (1, 1, 1, 1), 2),
    48: Plan(6, 64, (8, 4, 2, 1), 64, (1, 2, 4, 8, 16), 4),
    64: Plan(4, 64, (16, 8, 4, 2, 1), 64, (1, 2, 4, 8, 16), 5),
    128: Plan(4, 64, (16, 16, 8, 4, 2, 1), 64, (1, 2, 4, 8, 16, 16), 5),
}


def plan_for(network: str, image: ImageSpec) -> Plan:
    """Return the plan for an image's size. Raises IncompatibleError, naming the nearest sizes that there are."""
    if image.height == image.width and image.height in PLANS:
        return PLANS[image.height]
    side = max(image.height, image.width)
    below = max((size for size in PLANS if size <= side), default=None)
    above = min((size for size in PLANS if size >= side), default=None)
    nearest = " or ".join(f"{size}×{size}" for size in dict.fromkeys((below, above)) if size)
    raise IncompatibleError(
        f"{network} cannot work with images of {image.height}×{image.width} pixels: it has tables for square images of "
        f"{', '.join(map(str, PLANS))}",
        fix=f"the nearest sizes are {nearest}; a folder's pictures are resized with --data.size",
    )


def class_count(network: str, image: ImageSpec, *, conditional: bool) -> int | None:
    """Return how many classes a network has to tell apart, None where it is not conditional.

    Raises IncompatibleError where it is, and the data has no labels.
    """
    if conditional and image.num_classes is None:
        raise IncompatibleError(
            f"{network} is conditional, but the data has no labels",
            fix="use data with labels (a folder's subfolders are classes), or leave `conditional` false",
        )
    return image.num_classes if conditional else None


def labels_needed(network: str) -> IncompatibleError:
    """Return the error for a conditional network that is given no labels."""
    return IncompatibleError(f"{network} is conditional: it needs labels, (N,) int64", fix="pass labels")
