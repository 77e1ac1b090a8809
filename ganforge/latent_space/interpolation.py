"""Paths between points of a latent space."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ganforge.components import Space
from ganforge.errors import IncompatibleError, UsageError
from ganforge.runs.latents import Latents
from ganforge.utils.images import normalize
from ganforge.utils.interpolation import lerp, slerp

Method: TypeAlias = Literal["linear", "spherical"]
#: Corners of a grid, row by row.
CORNERS = 4


def default_method(space: Space) -> Method:
    """Return the interpolation that stays among likely latents: spherical in z, linear in w."""
    return "spherical" if space == "z" else "linear"


def between(start: Latents, end: Latents, t: Tensor, method: Method) -> Latents:
    """Return the latents at t between pairs.

    Args:
        start: N latents.
        end: N latents.
        t: Positions in [0, 1], `(N,)`.
        method: Kind of interpolation.

    Raises:
        IncompatibleError: The pairs have different classes, which cannot be interpolated in z.
    """
    function = slerp if method == "spherical" else lerp
    values = function(start.values.double(), end.values.double(), t.double()).float()
    condition = start.condition
    if condition is not None and end.condition is not None and not torch.equal(condition, end.condition):
        condition = _condition_between(condition, end.condition, t, start.space)
    return replace(start.moved(values), condition=condition)


def _condition_between(start: Tensor, end: Tensor, t: Tensor, space: Space) -> Tensor:
    """Return interpolated vectors and tensors, or, in w, which contains the class, the nearer class."""
    if start.dtype != torch.int64:
        return lerp(normalize(start), normalize(end), t.float())
    if space == "z":
        raise IncompatibleError("classes cannot be interpolated", fix="give one --condition for all points")
    return torch.where(t < 1 / 2, start, end)


def interpolate(points: Latents, steps: int, *, method: Method | None = None, loop: bool = False) -> Latents:
    """Return the latents from each point to the next, `steps` each, both points included.

    Args:
        points: At least two points.
        steps: Latents of one segment, at least two.
        method: Kind of interpolation; by default spherical in z and linear in w.
        loop: Whether a last segment returns to the first point.

    Raises:
        UsageError: There are too few points or steps.
        IncompatibleError: As in `between`.
    """
    if len(points) < 2 or steps < 2:  # noqa: PLR2004 - both ends
        raise UsageError(f"an interpolation needs two points and two steps, not {len(points)} and {steps}")
    indices = torch.arange(len(points) if loop else len(points) - 1)
    starts, ends = (index.repeat_interleave(steps) for index in (indices, (indices + 1) % len(points)))
    t = torch.linspace(0, 1, steps, dtype=torch.float64).repeat(len(indices))
    return between(points[starts], points[ends], t, method or default_method(points.space))


def frames(latents: Latents, steps: int, *, loop: bool = False) -> Latents:
    """Return the latents of `interpolate` without the repeated ends of its segments, for an animation."""
    last = len(latents) - 1
    return latents[[index for index in range(len(latents)) if (index + 1) % steps or (index == last and not loop)]]


def interpolate_grid(corners: Latents, steps: int, *, method: Method | None = None) -> Latents:
    """Return `steps`² latents, row by row, of a grid between four corners (White 2016, arXiv:1609.04468, section 2.2).

    Args:
        corners: Top left, top right, bottom left and bottom right.
        steps: Latents of a row, and of a column.
        method: As in `interpolate`.

    Raises:
        UsageError: There are not four corners, or too few steps.
        IncompatibleError: As in `between`.
    """
    if len(corners) != CORNERS:
        raise UsageError(f"a grid needs four points, its corners, not {len(corners)}")
    method = method or default_method(corners.space)
    left, right = (interpolate(corners[[top, top + 2]], steps, method=method) for top in (0, 1))
    rows = torch.arange(steps).repeat_interleave(steps)
    return between(left[rows], right[rows], torch.linspace(0, 1, steps, dtype=torch.float64).repeat(steps), method)
