"""What the convolutional networks share: the discriminators' trunk, and how the authors of DCGAN draw weights."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def trunk(channels: list[int]) -> nn.Sequential:
    """Return layers that halve a map at each step: `(N, channels[0], H, W)` → `(N, channels[-1], h, w)`.

    Each is a convolution (4, 2, 1) without biases, batch norm and LeakyReLU 0.2.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def draw_normal(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), and batch norm's scales from N(1, 0.02) (Radford et al. 2015, section 4).

    Embeddings of labels stay as they are: they are inputs, not filters.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
