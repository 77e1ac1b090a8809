"""Blockwise distances between many points."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Distances in memory at once: 8 MB in float64, half of that in float32.
BLOCK = 2**20
#: Squared distance of two points, relative to the larger of their squared norms, below which they are equal: features
#: are float32, and those of one image differ by rounding with the batch it is in.
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
    column_norms = right.square().sum(dim=1, keepdim=True)
    largest = float(column_norms.max())
    right = torch.cat([right, torch.ones_like(column_norms), column_norms], dim=1).T
    height = max(1, BLOCK // max(right.shape))
    for start in range(0, len(rows), height):
        left = rows[start : start + height].double() - center
        norms = left.square().sum(dim=1, keepdim=True)
        squared = (torch.cat([left * -2, norms, torch.ones_like(norms)], dim=1) @ right).float()
        # Few pairs are this close, so the norms of these alone are compared.
        row, column = (squared <= EQUAL * max(largest, float(norms.max()))).nonzero(as_tuple=True)
        equal = squared[row, column] <= EQUAL * torch.maximum(norms[row, 0], column_norms[column, 0])
        squared[row[equal], column[equal]] = 0
        yield slice(start, start + len(left)), squared
