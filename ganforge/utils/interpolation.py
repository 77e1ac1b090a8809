"""Linear and spherical interpolation of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

#: Sine of the angle below which two vectors count as parallel.
MIN_SINE = 1e-6


def lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return the linear interpolation of `(N, …)` at t, `(N,)`."""
    return start + (end - start) * t.view(-1, *[1] * (start.ndim - 1))


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Return the spherical interpolation of `(N, …)`, each a vector, at t, `(N,)`; the linear one for parallel vectors.

    References:
        White 2016, Sampling Generative Networks, arXiv:1609.04468, section 2.1.
    """
    shape, (start, end) = start.shape, (start.flatten(1), end.flatten(1))
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1)
    angle, t = cosine.acos().unsqueeze(1), t.unsqueeze(1)
    sine = angle.sin()
    spherical = ((1 - t) * angle).sin() / sine * start + (t * angle).sin() / sine * end
    return torch.where(sine.abs() < MIN_SINE, start + (end - start) * t, spherical).view(shape)
