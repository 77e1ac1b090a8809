"""Options and layers that the convolutional networks share."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import PositiveInt
from torch import nn

from ganforge import ComponentOptions


class DcganOptions(ComponentOptions):
    """Options of all convolutional networks."""

    base_channels: PositiveInt = 112
    """Channels of the map next to the image; they double with every map towards the base."""
    init: Literal["default", "normal"] = "default"
    """Initial weights: PyTorch's default, or N(0, 0.02) as in the DCGAN paper."""


def trunk(channels: list[int]) -> nn.Sequential:
    """Return layers that halve a map at each step: `(N, channels[0], H, W)` → `(N, channels[-1], h, w)`.

    Each is a convolution (4, 2, 1) without biases, batch norm and LeakyReLU 0.2.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def initialize_normal(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), and batch norm's scales from N(1, 0.02) (Radford et al. 2015, section 4)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
