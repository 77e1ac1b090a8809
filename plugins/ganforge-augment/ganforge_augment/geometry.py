"""Geometric transformations of ADA: the source of each pixel of a moved image.

Points are measured from the image's center in pixels, x to the right and y down. Sums of products are written out:
torch's matrix products round under autocast and tf32, and then the identity would not be exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganforge_augment.resample import resample


def move(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Return images, `(N, C, H, W)`, with the pixel at `matrix` · x + `offset` at each x.

    The four nearest pixels are interpolated bilinearly. Beyond an edge the image continues as its mirror image, without
    repeating the edge.

    Args:
        images: `(N, C, H, W)`.
        matrix: `(N, 2, 2)`.
        offset: `(N, 2)`.
    """
    height, width = images.shape[2:]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, device=images.device) - middle_x
    y = (torch.arange(height, device=images.device) - middle_y).unsqueeze(1)
    factors, shifts = matrix[..., None, None], offset[..., None, None]
    columns = factors[:, 0, 0] * x + factors[:, 0, 1] * y + shifts[:, 0] + middle_x  # (N, H, W)
    rows = factors[:, 1, 0] * x + factors[:, 1, 1] * y + shifts[:, 1] + middle_y
    left, top = columns.floor(), rows.floor()
    right, down = columns - left, rows - top  # distances to the nearest pixels
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    next_column, next_row = left + 1, top + 1
    return resample(
        images,
        mirrored(torch.stack([top, top, next_row, next_row]).to(torch.int64), height),
        mirrored(torch.stack([left, next_column, left, next_column]).to(torch.int64), width),
        weights,
    )


def mirrored(places: Tensor, size: int) -> Tensor:
    """Return whole places, any shape, reflected into 0 … size - 1: -1 becomes 1, and size becomes size - 2."""
    last = size - 1
    return last - (places.remainder(max(2 * last, 1)) - last).abs()


def inverse(amounts: Mapping[str, Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return matrix, `(N, 2, 2)`, and offset, `(N, 2)`, for `move`.

    An image is first flipped, then rotated by quarter turns, shifted by whole pixels, scaled, rotated, stretched,
    rotated again, and shifted by fractions of pixels (Karras et al. 2020, appendix B). The inverse goes through them in
    the same order, with the inverse of each: for amounts of 0 it is exactly the identity.

    Args:
        amounts: Amounts of `transforms.AMOUNTS`, each `(N, columns)`.
        height: H in pixels.
        width: W in pixels.
    """
    single = {name: amount.squeeze(1) for name, amount in amounts.items() if amount.shape[1] == 1}
    flip, stretch = 1 - 2 * single["xflip"], single["aniso"]
    exact = product(_diagonal(flip, torch.ones_like(flip)), _quarter_turns(single["rotate90"]))
    warp = product(_rotation(single["rotate_before"]), _diagonal(torch.exp2(-stretch), torch.exp2(stretch)))
    warp = product(warp, _rotation(single["rotate_after"])) * torch.exp2(-single["scale"])[:, None, None]
    matrix = product(exact, warp)
    whole = torch.stack([(amounts["xint"][:, 0] * width).round(), (amounts["xint"][:, 1] * height).round()], 1)
    parts = torch.stack([amounts["xfrac"][:, 0] * width, amounts["xfrac"][:, 1] * height], 1)
    offset = product(exact, -whole.unsqueeze(2)) + product(matrix, -parts.unsqueeze(2))
    return matrix, offset.squeeze(2)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix products of `(N, I, J)` and `(N, J, K)`, `(N, I, K)`, in full precision."""
    return (left.unsqueeze(3) * right.unsqueeze(1)).sum(2)


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return torch.stack([x, zero, zero, y], 1).view(-1, 2, 2)


def _rotation(angle: Tensor) -> Tensor:
    """Return the inverse of a counterclockwise rotation by `angle`, `(N,)`, on the screen, `(N, 2, 2)`."""
    return _turn(angle.cos(), angle.sin())


def _quarter_turns(turns: Tensor) -> Tensor:
    """Return the inverse of 0 to 3 quarter turns, `(N,)`, as in torch.rot90; exact, `(N, 2, 2)`."""
    cosine = (turns == 0).to(turns.dtype) - (turns == 2).to(turns.dtype)  # noqa: PLR2004 - half a turn
    sine = (turns == 1).to(turns.dtype) - (turns == 3).to(turns.dtype)  # noqa: PLR2004 - three quarters
    return _turn(cosine, sine)


def _turn(cosine: Tensor, sine: Tensor) -> Tensor:
    return torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
