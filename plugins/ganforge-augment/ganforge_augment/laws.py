"""What is drawn for each image: how much of each transformation. An amount of 0 changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Amount:
    """Say how an amount is distributed.

    option: what switches it. law: one of the whole numbers below `size`; or uniform on [-size, size]; or normal with
    standard deviation `size`. columns: how many numbers it is; they are applied together. share: it is applied with
    probability 1 - (1 - p)^share.
    """

    option: str
    law: Literal["choice", "uniform", "normal"]
    size: float
    columns: int = 1
    share: float = 1.0

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return amounts for `count` images, `(N, columns)` float32 on the CPU."""
        shape = (count, self.columns)
        if self.law == "choice":
            return torch.randint(int(self.size), shape, generator=rng).to(torch.float32)
        if self.law == "uniform":
            return (torch.rand(shape, generator=rng) * 2 - 1) * self.size
        return torch.randn(shape, generator=rng) * self.size


#: In the order of application, with the sizes of Karras et al. 2020, appendix B. Shifts are parts of the image's sides,
#: scales are powers of two. A rotation stands before and one after the stretching, so that this has any direction; each
#: has half a share: 1 - √(1 - p), so that an image is rotated at all with probability p.
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
#: What moves pixels, and what changes their colours.
GEOMETRIC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
COLOURS = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def draw(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return amounts, and for each a number that is uniform on [0, 1), each `(N, all columns)`.

    An amount is applied where its number is below its probability; the columns of one amount share their number.
    """
    drawn = [amount.draw(count, rng) for amount in AMOUNTS.values()]
    chances = torch.rand(count, len(AMOUNTS), generator=rng)
    return torch.cat(drawn, 1), chances.repeat_interleave(torch.tensor(COLUMNS), 1)


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Copy what was drawn on the CPU to a device without waiting for it."""
    if device.type != "cuda":
        return drawn.to(device)
    return drawn.pin_memory().to(device, non_blocking=True)
