"""Distances between many points, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import threshold

#: How many distances are in memory at once: 8 MB in float64, half of that in float32.
BLOCK = 2**20
#: What is nearer than this, squared and relative to the points' extent, is equal: features are float32, and an
#: extractor's differ by rounding with the images beside an image.
EQUAL = 1e-12


def squared_distances(rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared Euclidean distances of some rows at a time to all columns: which rows, `(B, M)` float32.

    rows: `(N, D)`; columns: `(M, D)`. |x|² + |y|² - 2⟨x, y⟩ as one matrix product, in float64 and then rounded: in
    float32 it would lose the digits of what is near, and with them ties. Equal distances come out equal, and points
    that are equal up to rounding have distance 0. All columns are in memory in float64, and some rows.
    """
    centre = columns.double().mean(dim=0)
    right = columns.double() - centre
    norms = right.square().sum(dim=1, keepdim=True)
    equal = EQUAL * float(norms.max())
    right = torch.cat([right, torch.ones_like(norms), norms], dim=1).T
    height = max(1, BLOCK // max(right.shape))
    for start in range(0, len(rows), height):
        left = rows[start : start + height].double() - centre
        norms = left.square().sum(dim=1, keepdim=True)
        squared = (torch.cat([left * -2, norms, torch.ones_like(norms)], dim=1) @ right).float()
        yield slice(start, start + len(left)), threshold(squared, equal, 0.0, inplace=True)
