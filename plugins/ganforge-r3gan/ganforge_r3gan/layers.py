"""Layers of R3GAN, without normalization; only activations have biases (Huang et al. 2024, section 3)."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
#: Gain that keeps the variance through a linear layer after a LeakyReLU (He et al. 2015, eq. 14).
GAIN = math.sqrt(2 / (1 + SLOPE**2))
LAYERS_PER_BLOCK = 3

Weighted = TypeVar("Weighted", nn.Conv2d, nn.Linear)


def initialized(layer: Weighted, gain: float = 1.0) -> Weighted:
    """Return the layer with weights from N(0, gain² / fan-in) (He et al. 2015)."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


def convolution(inputs: int, outputs: int, size: int = 1, *, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """Return a convolution that keeps the map's size, with an odd kernel size and no bias."""
    return initialized(nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False), gain)


def block_gain(depth: int) -> float:
    """Return the gain of a block's first two layers in a network of `depth` blocks.

    It is √(2 / 1.04) · depth^(-1 / (2m - 2)) for the m = 3 layers of a block (Fixup: Zhang et al. 2019, section 3).
    """
    return GAIN * math.pow(depth, -1 / (2 * LAYERS_PER_BLOCK - 2))


class BiasedActivation(nn.Module):
    """Bias per channel, initially 0, and LeakyReLU 0.2; its gain is in the weights before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape and type, `(N, C, h, w)`."""
        return functional.leaky_relu(maps + self.bias.to(maps.dtype)[:, None, None], SLOPE)


class ResidualBlock(nn.Module):
    """x + f(x), with f a 1×1, a grouped 3×3 and a 1×1 convolution, and activations between them.

    An inverted bottleneck: the 3×3 convolution works on `expansion` times as many channels, in groups of `group_width`.
    The last layer is initially zero, so a new block is the identity (Fixup: Zhang et al. 2019).
    """

    def __init__(self, channels: int, *, expansion: int, group_width: int, depth: int) -> None:
        super().__init__()
        expanded, gain = channels * expansion, block_gain(depth)
        self.layers = nn.Sequential(
            convolution(channels, expanded, gain=gain),
            BiasedActivation(expanded),
            convolution(expanded, expanded, 3, groups=expanded // group_width, gain=gain),
            BiasedActivation(expanded),
            convolution(expanded, channels, gain=0.0),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape, `(N, C, h, w)`."""
        changed: Tensor = self.layers(maps)
        return maps + changed


class Resampling(nn.Module):
    """Base of doubling and halving with the low-pass kernel [1, 3, 3, 1] along both sides, zeros beyond the edge.

    [1, 3, 3, 1] is the binomial filter [1, 2, 1] of StyleGAN folded with a pixel's two halves [1, 1]; doubling with it
    is bilinear interpolation. The kernel sums to 1 for halving and to 4 for doubling: constants are kept
    except next to the edge, and doubling is four times the adjoint of halving.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(line, line)[None, None], persistent=False)

    def kernels(self, maps: Tensor) -> Tensor:
        """Return the kernel, repeated for each channel, `(C, 1, 4, 4)`, in the maps' type."""
        return self.kernel.to(maps.dtype).expand(self.channels, -1, -1, -1)


class Doubling(Resampling):
    """Map of twice the height and width."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(N, C, 2h, 2w)` from `(N, C, h, w)`."""
        return functional.conv_transpose2d(maps, 4 * self.kernels(maps), stride=2, padding=1, groups=self.channels)


class Halving(Resampling):
    """Map of half the height and width."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return `(N, C, h/2, w/2)` from `(N, C, h, w)`, both sides even."""
        return functional.conv2d(maps, self.kernels(maps), stride=2, padding=1, groups=self.channels)


class GenerativeBasis(nn.Module):
    """Base map: a learned constant per channel, times a linear function of the latent."""

    def __init__(self, inputs: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, *size))
        self.modulation = initialized(nn.Linear(inputs, channels, bias=False))

    def forward(self, latents: Tensor) -> Tensor:
        """Return maps, `(N, C, h, w)`, from latents, `(N, Z)`."""
        scales: Tensor = self.modulation(latents)
        # Channels last is the memory layout of the engine's weights and of the next layer's input.
        return (self.basis.permute(1, 2, 0) * scales[:, None, None, :]).permute(0, 3, 1, 2)


class DiscriminativeBasis(nn.Module):
    """Features of the base map: a learned kernel of the map's size per channel, then a linear layer."""

    def __init__(self, channels: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.basis = initialized(nn.Conv2d(channels, channels, size, groups=channels, bias=False))
        self.mixing = initialized(nn.Linear(channels, outputs, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """Return features, `(N, F)`, from maps, `(N, C, h, w)`."""
        features: Tensor = self.mixing(self.basis(maps).flatten(1))
        return features
