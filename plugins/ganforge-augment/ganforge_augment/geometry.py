"""Where the pixels of a moved image come from.

Points are measured from the image's centre in pixels, x to the right and y down. Sums of products are written out:
torch's matrix products round under autocast and tf32, and then the identity would not be exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganforge_augment.resample import resample


def move(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Return images, `(N, C, H, W)`, whose pixel at x shows what was at `matrix` · x + `offset`.

    matrix: `(N, 2, 2)`; offset: `(N, 2)`. Between pixels the four nearest are mixed (bilinear). Beyond an edge the
    image goes on as its mirror image, the edge itself not repeated.
    """
    height, width = images.shape[2:]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, device=images.device) - middle_x
    y = (torch.arange(height, device=images.device) - middle_y).unsqueeze(1)
    factors, shifts = matrix[..., None, None], offset[..., None, None]
    columns = factors[:, 0, 0] * x + factors[:, 0, 1] * y + shifts[:, 0] + middle_x  # (N, H, W)
    rows = factors[:, 1, 0] * x + factors[:, 1, 1] * y + shifts[:, 1] + middle_y
    left, top = columns.floor(), rows.floor()
    right, down = columns - left, rows - top  # how far between the nearest pixels
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    beside, below = left + 1, top + 1
    return resample(
        images,
        mirrored(torch.stack([top, top, below, below]).to(torch.int64), height),
        mirrored(torch.stack([left, beside, left, beside]).to(torch.int64), width),
        weights,
    )


def mirrored(places: Tensor, size: int) -> Tensor:
    """Return whole places, of any shape, reflected into 0 … size - 1: -1 becomes 1, and size becomes size - 2."""
    last = size - 1
    return last - (places.remainder(max(2 * last, 1)) - last).abs()


def inverse(amounts: Mapping[str, Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the matrix, `(N, 2, 2)`, and offset, `(N, 2)`, for `move`, from `laws.AMOUNTS`, each `(N, columns)`.

    An image is first flipped, then turned by quarters, shifted by whole pixels, scaled, rotated, stretched, rotated
    again, and shifted by parts of pixels (Karras et al. 2020, appendix B). The way back goes through them in the same
    order, with the inverse of each: with all amounts 0 it is exactly the identity.
    """
    one = {name: amount.squeeze(1) for name, amount in amounts.items() if amount.shape[1] == 1}
    flip, stretch = 1 - 2 * one["xflip"], one["aniso"]
    exact = product(_diagonal(flip, torch.ones_like(flip)), _quarter_turns(one["rotate90"]))
    warp = product(_rotation(one["rotate_before"]), _diagonal(torch.exp2(-stretch), torch.exp2(stretch)))
    warp = product(warp, _rotation(one["rotate_after"])) * torch.exp2(-one["scale"])[:, None, None]
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
    """Return the way back from a rotation by `angle`, `(N,)`, anticlockwise as one sees it, `(N, 2, 2)`."""
    return _turn(angle.cos(), angle.sin())


def _quarter_turns(turns: Tensor) -> Tensor:
    """Return the way back from 0 to 3 quarter turns, `(N,)`, as torch.rot90 makes them; exact, `(N, 2, 2)`."""
    cosine = (turns == 0).to(turns.dtype) - (turns == 2).to(turns.dtype)  # noqa: PLR2004 - half a turn
    sine = (turns == 1).to(turns.dtype) - (turns == 3).to(turns.dtype)  # noqa: PLR2004 - three quarters
    return _turn(cosine, sine)


def _turn(cosine: Tensor, sine: Tensor) -> Tensor:
    return torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
