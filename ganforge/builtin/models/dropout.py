"""Dropout with two random bytes per number instead of eight: on the CPU, random numbers are most of dropout's cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

#: Random 16-bit numbers in one int64, and the number of their values.
PER_WORD, VALUES = 4, 1 << 16


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014): sets a share of all numbers to 0 during training and scales the others up.

    On the CPU, `rate` is rounded to a multiple of 1/65,536. Other devices use torch's own dropout, which is fast there.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape, any shape, some of them 0 during training."""
        if not self.training or self.rate == 0:
            return values
        if values.device.type != "cpu":
            return dropout(values, self.rate)
        count = values.numel()
        words = torch.empty(-(-count // PER_WORD), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[:count].view(values.shape)
        dropped = min(round(self.rate * VALUES), VALUES - 1)
        return values * (bits >= dropped - VALUES // 2) * (VALUES / (VALUES - dropped))
