"""Layers with the weights of the paper's authors, and with spectral norm where it is asked for."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrizations

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

#: What the weights before a ReLU are multiplied by, to keep the variance of what passes through.
RELU_GAIN = math.sqrt(2)


def prepared(layer: Layer, *, spectral_norm: bool, gain: float = 1.0) -> Layer:
    """Draw a layer's weights from Glorot's uniform distribution, clear its bias, and put spectral norm on it.

    Spectral norm divides the weights, as a matrix of a row for each output, by their largest singular value (Miyato et
    al. 2018, eq. 8). In training each forward pass takes one step of power iteration towards it (algorithm 1). The two
    vectors that it works on are buffers: they depend on the weights and the number of passes alone, not on the images.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral_norm:
        parametrizations.spectral_norm(layer)
    return layer


def convolution(inputs: int, outputs: int, kernel: int, *, spectral_norm: bool, gain: float = RELU_GAIN) -> nn.Conv2d:
    """Return a convolution, with a bias, that keeps the map's size. kernel: 3 or 1, its side in pixels."""
    return prepared(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), spectral_norm=spectral_norm, gain=gain)
