"""How float32 matrix products and convolutions are computed, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def matrix_products(*, tf32: bool = False) -> Iterator[None]:
    """Compute float32 products exactly for a while, or with tf32 where that is asked for.

    The deterministic algorithms are chosen too, since the same seed shall give the same numbers.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision()
    cudnn_before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = cudnn_before
