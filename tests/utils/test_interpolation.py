"""Linear and spherical interpolation of vectors."""

from __future__ import annotations

import torch
from torch import nn

from ganforge.utils.interpolation import lerp, slerp


def test_slerp_follows_the_great_circle() -> None:
    """It begins and ends at the two vectors, keeps their common length, and turns at a constant speed."""
    rng = torch.Generator().manual_seed(0)
    start, end = (3 * nn.functional.normalize(torch.randn(50, 5, generator=rng).double()) for _ in range(2))
    zero, half, one = (slerp(start, end, torch.full((50,), t, dtype=torch.float64)) for t in (0.0, 0.5, 1.0))
    torch.testing.assert_close(zero, start)
    torch.testing.assert_close(one, end)
    torch.testing.assert_close(half.norm(dim=1), torch.full((50,), 3.0, dtype=torch.float64))
    torch.testing.assert_close((half - start).norm(dim=1), (half - end).norm(dim=1))


def test_slerp_of_parallel_vectors_is_straight() -> None:
    """Without an angle to divide by, it is the straight line."""
    start = torch.ones(2, 4, dtype=torch.float64)
    t = torch.tensor([0.25, 0.5], dtype=torch.float64)
    torch.testing.assert_close(slerp(start, 3 * start, t), lerp(start, 3 * start, t))


def test_vectors_of_several_layers_are_interpolated_as_one() -> None:
    """The interpolation of `(N, L, D)` is that of the flat vectors, `(N, L·D)`."""
    rng = torch.Generator().manual_seed(1)
    start, end = (torch.randn(3, 2, 4, generator=rng) for _ in range(2))
    t = torch.tensor([0.0, 0.3, 1.0])
    for function in (lerp, slerp):
        flat = function(start.flatten(1), end.flatten(1), t)
        torch.testing.assert_close(function(start, end, t), flat.view(3, 2, 4))
