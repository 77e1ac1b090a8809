"""Dropout that draws two bytes for each number instead of eight: on the CPU drawing is most of what dropout costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

#: Random numbers in one int64, and their values.
PER_WORD, VALUES = 4, 1 << 16


class Dropout(nn.Module):
    """Set the share `rate` of all numbers to 0 while training, and scale the others up (Srivastava et al. 2014).

    On the CPU `rate` is rounded to a 65,536th. Other devices draw fast by themselves: there it is torch's own dropout.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Return values of any shape, the same one, with some of them 0 in training."""
        if not self.training or self.rate == 0:
            return values
        if values.device.type != "cpu":
            return dropout(values, self.rate)
        count = values.numel()
        words = torch.empty(-(-count // PER_WORD), dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.int16)[:count].view(values.shape)
        dropped = min(round(self.rate * VALUES), VALUES - 1)
        return values * (drawn >= dropped - VALUES // 2) * (VALUES / (VALUES - dropped))
