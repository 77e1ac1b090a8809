"""Table of ADA's transformations: the distribution of each one's amount. An amount of 0 changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Amount:
    """Distribution of the amount of a transformation.

    Attributes:
        option: Option of `Ada` that switches it.
        law: `choice`: a whole number below `size`; `uniform`: on [-size, size]; `normal`: with standard deviation
            `size`.
        size: Size of the distribution.
        columns: Numbers per image; they are applied together.
        share: The transformation is applied with probability 1 - (1 - p)^share.
    """

    option: str
    law: Literal["choice", "uniform", "normal"]
    size: float
    columns: int = 1
    share: float = 1.0

    def sample(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Return amounts, `(N, columns)`, of random numbers on [0, 1) and standard normal ones, both of that shape."""
        if self.law == "choice":
            return (uniform * self.size).floor()
        return (uniform * 2 - 1 if self.law == "uniform" else normal) * self.size


#: In the order of application, with the sizes of Karras et al. 2020, appendix B. Shifts are parts of the image's sides,
#: scales are powers of two. One rotation comes before and one after the stretching, which then has any direction; each
#: has half a share, 1 - √(1 - p), so that an image is rotated at all with probability p.
AMOUNTS: dict[str, Amount] = {
    "xflip": Amount("xflip", "choice", 2),
    "rotate90": Amount("rotate90", "choice", 4),
    "xint": Amount("xint", "uniform", 1 / 8, columns=2),
    "scale": Amount("scale", "normal", 0.2),
    "rotate_before": Amount("rotate", "uniform", math.pi, share=0.5),
    "aniso": Amount("aniso", "normal", 0.2),
    "rotate_after": Amount("rotate", "uniform", math.pi, share=0.5),
    "xfrac": Amount("xfrac", "normal", 1 / 8, columns=2),
    "brightness": Amount("brightness", "normal", 0.2),
    "contrast": Amount("contrast", "normal", 0.5),
    "lumaflip": Amount("lumaflip", "choice", 2),
    "hue": Amount("hue", "uniform", math.pi),
    "saturation": Amount("saturation", "normal", 1.0),
}
COLUMNS = [amount.columns for amount in AMOUNTS.values()]
#: Options that move pixels, and options that change colors.
GEOMETRIC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLORS = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def sample_amounts(count: int, rng: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return amounts, and for each a number that is uniform on [0, 1), both `(N, all columns)` float32 on the device.

    An amount is applied if its number is below its probability; the columns of one amount share their number.

    Args:
        count: N, number of images.
        rng: Generator on the CPU.
        device: Device of the images. Only the raw random numbers are computed on the CPU.
    """
    width = sum(COLUMNS)
    uniform = torch.rand(count, width + len(AMOUNTS), generator=rng).to(device, non_blocking=True)
    normal = torch.randn(count, width, generator=rng).to(device, non_blocking=True)
    *parts, chances = torch.split(uniform, [*COLUMNS, len(AMOUNTS)], 1)
    numbers = zip(AMOUNTS.values(), parts, torch.split(normal, COLUMNS, 1), strict=True)
    amounts = [amount.sample(*own) for amount, *own in numbers]
    expanded = [chances[:, index : index + 1].expand(-1, columns) for index, columns in enumerate(COLUMNS)]
    return torch.cat(amounts, 1), torch.cat(expanded, 1)
