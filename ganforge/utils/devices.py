"""Devices of modules."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


def module_device(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; the CPU for a module without tensors."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))
