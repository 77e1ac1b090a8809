"""Small networks, and counts of weights."""

from __future__ import annotations

import torch
from ganforge_resnet.discriminator import ResnetDiscriminator
from ganforge_resnet.generator import ResnetGenerator
from torch import Tensor, nn

from ganforge import ConditionSpec, ImageSpec

DIGITS = ImageSpec(1, 28, 28, ConditionSpec.classes(10))


def generator(image: ImageSpec = DIGITS, **options: object) -> ResnetGenerator:
    """Return a small generator with further options."""
    torch.manual_seed(0)
    return ResnetGenerator(ResnetGenerator.Options.model_validate({"base_channels": 4, **options}), image)


def discriminator(image: ImageSpec = DIGITS, **options: object) -> ResnetDiscriminator:
    """Return a small discriminator with further options."""
    torch.manual_seed(0)
    return ResnetDiscriminator(ResnetDiscriminator.Options.model_validate({"base_channels": 4, **options}), image)


def pictures(count: int, image: ImageSpec = DIGITS, seed: int = 0) -> Tensor:
    """Return noise in [-1, 1], `(N, C, H, W)`."""
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, image.channels, image.height, image.width, generator=rng) * 2 - 1


def weights(network: nn.Module) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """Return the number of weights of a convolution with a bias, or of a dense layer if `kernel` is 1."""
    return inputs * outputs * kernel * kernel + outputs


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Return all convolutions and dense layers."""
    return [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def largest_singular_value(layer: nn.Module) -> float:
    """Return the largest singular value of a layer's weights, as a matrix with a row per output."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2))
