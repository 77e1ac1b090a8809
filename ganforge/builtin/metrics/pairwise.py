"""Blockwise distances between many points."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import threshold

#: Distances in memory at once: 8 MB in float64, half of that in float32.
BLOCK = 2**20
#: Squared distance, relative to the points' extent, below which points are equal: features are float32, and those of
#: one image differ by rounding with the batch it is in.
EQUAL = 1e-12


def squared_distances(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared Euclidean distances of some rows at a time to all columns: the rows' slice, and `(B, M)` float32.

    |x|² + |y|² - 2⟨x, y⟩ is one matrix product in float64, rounded afterwards: in float32 small distances would lose
    their digits, and with them ties. Equal distances stay equal, and points that are equal up to rounding have distance
    0. All columns are in memory in float64, and some rows.

    Args:
        rows: `(N, D)`.
        columns: `(M, D)`.
    """
    center = columns.double().mean(dim=0)
    right = columns.double() - center
    norms = right.square().sum(dim=1, keepdim=True)
    equal = EQUAL * float(norms.max())
    right = torch.cat([right, torch.ones_like(norms), norms], dim=1).T
    height = max(1, BLOCK // max(right.shape))
    for start in range(0, len(rows), height):
        left = rows[start : start + height].double() - center
        norms = left.square().sum(dim=1, keepdim=True)
        squared = (torch.cat([left * -2, norms, torch.ones_like(norms)], dim=1) @ right).float()
        yield slice(start, start + len(left)), threshold(squared, equal, 0.0, inplace=True)
