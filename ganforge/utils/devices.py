"""Devices of modules, and the precision of their float32 products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn


def module_device(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; the CPU for a module without tensors."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))


@contextmanager
def float32_matmul(*, tf32: bool = False) -> Iterator[None]:
    """Compute float32 matrix products and convolutions in full precision or tf32, with deterministic algorithms."""
    cudnn = torch.backends.cudnn
    matmul_before = torch.get_float32_matmul_precision()
    cudnn_before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul_before)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = cudnn_before
