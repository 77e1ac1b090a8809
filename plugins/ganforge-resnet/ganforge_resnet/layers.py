"""Layers with the authors' initial weights and optional spectral norm."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrizations

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

#: Gain of the weights before a ReLU, which keeps the variance.
RELU_GAIN = math.sqrt(2)


def initialized(layer: Layer, *, spectral_norm: bool, gain: float = 1.0) -> Layer:
    """Return the layer with weights from Glorot's uniform distribution, a bias of 0, and optional spectral norm.

    Spectral norm divides the weights, as a matrix with a row per output, by their largest singular value (Miyato et al.
    2018, eq. 8). In training, each forward pass takes one step of power iteration towards it (algorithm 1). Its two
    vectors are buffers: they depend on the weights and the number of passes only, not on the images.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral_norm:
        parametrizations.spectral_norm(layer)
    return layer


def convolution(inputs: int, outputs: int, kernel: int, *, spectral_norm: bool, gain: float = RELU_GAIN) -> nn.Conv2d:
    """Return a convolution with a bias and an odd kernel size that keeps the map's size."""
    return initialized(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), spectral_norm=spectral_norm, gain=gain)
