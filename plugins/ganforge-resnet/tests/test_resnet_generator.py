"""Generator: the paper's tables, and plain formulas of its blocks and of conditional batch norm."""

from __future__ import annotations

import pytest
import torch
from ganforge_resnet.conditional_batch_norm import ConditionalBatchNorm
from ganforge_resnet.generator import ResnetGenerator, UpBlock
from resnet_parts import DIGITS, conv, generator, largest_singular_value, layers, weights
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError


def block(inputs: int, outputs: int) -> int:
    """Return the number of weights of a block: two batch norms, two convolutions, the shortcut's."""
    return 2 * inputs + conv(inputs, outputs, 3) + 2 * outputs + conv(outputs, outputs, 3) + conv(inputs, outputs, 1)


def test_weights_of_the_papers_tables() -> None:
    """The number of weights is that of Miyato et al. 2018, tables 4, 5 and 6, and of the two sizes between them."""
    expected = {
        28: conv(128, 7 * 7 * 256, 1) + 2 * block(256, 256) + 2 * 256 + conv(256, 3, 3),
        32: conv(128, 4 * 4 * 256, 1) + 3 * block(256, 256) + 2 * 256 + conv(256, 3, 3),
        48: conv(128, 6 * 6 * 512, 1) + block(512, 256) + block(256, 128) + block(128, 64) + 2 * 64 + conv(64, 3, 3),
        64: conv(128, 4 * 4 * 1024, 1)
        + (block(1024, 512) + block(512, 256) + block(256, 128) + block(128, 64))
        + (2 * 64 + conv(64, 3, 3)),
        128: conv(128, 4 * 4 * 1024, 1)
        + (block(1024, 1024) + block(1024, 512) + block(512, 256) + block(256, 128) + block(128, 64))
        + (2 * 64 + conv(64, 3, 3)),
    }
    options = ResnetGenerator.Options()
    numbers = {size: weights(ResnetGenerator(options, ImageSpec(3, size, size))) for size in expected}
    assert numbers == expected


def test_classes_add_weights_to_the_batch_norms_of_blocks() -> None:
    """With K classes, each batch norm in a block has K scales and shifts instead of one; the last one does not."""
    plain, conditional = generator(), generator(conditional=True)
    assert weights(conditional) - weights(plain) == 9 * (2 * 2 * (4 + 4))


@pytest.mark.parametrize(
    ("size", "sides"),
    [(28, [14, 28]), (32, [8, 16, 32]), (48, [12, 24, 48]), (64, [8, 16, 32, 64]), (128, [8, 16, 32, 64, 128])],
)
def test_every_block_doubles_the_map(size: int, sides: list[int]) -> None:
    """Each block doubles the map, from the base to the image, in [-1, 1]."""
    image = ImageSpec(2, size, size)
    network = generator(image, base_channels=1)
    seen: list[int] = []
    for part in network.blocks:
        part.register_forward_hook(lambda _, __, maps: seen.append(maps.shape[2]))
    images = network(torch.randn(2, 128))
    assert images.shape == (2, 2, size, size)
    assert images.abs().max() <= 1
    assert seen == sides


@pytest.mark.parametrize(
    ("height", "width", "nearest"),
    [(27, 27, "28×28"), (40, 40, "32×32 or 48×48"), (28, 32, "32×32"), (256, 256, "128×128"), (1, 1, "28×28")],
)
def test_other_sizes_are_refused(height: int, width: int, nearest: str) -> None:
    """Sizes without a table are refused before layers are created, and the message names the nearest sizes."""
    for refuse in (ResnetGenerator.check_image, ResnetGenerator):
        with pytest.raises(IncompatibleError, match=f"the nearest sizes are {nearest};"):
            refuse(ResnetGenerator.Options(), ImageSpec(1, height, width))


def test_a_block_is_the_papers() -> None:
    """A block is BN-ReLU-double-conv-BN-ReLU-conv plus double-conv, in plain operations in the paper's order."""
    torch.manual_seed(1)
    part = UpBlock(3, 5, classes=None, spectral_norm=False)
    maps = torch.randn(4, 3, 6, 6)

    def norm(values: Tensor) -> Tensor:
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0, keepdim=True)
        return (values - mean) / (variance + 1e-5).sqrt()

    def double(values: Tensor) -> Tensor:
        return values.repeat_interleave(2, 2).repeat_interleave(2, 3)

    residual = conv2d(double(norm(maps).relu()), part.conv1.weight, part.conv1.bias, padding=1)
    residual = conv2d(norm(residual).relu(), part.conv2.weight, part.conv2.bias, padding=1)
    expected = residual + conv2d(double(maps), part.shortcut.weight, part.shortcut.bias)
    torch.testing.assert_close(part(maps, None), expected, rtol=1e-4, atol=1e-5)


def test_conditional_batch_norm_of_equal_classes_is_batch_norm() -> None:
    """If all classes have the same scale and shift, it equals batch norm with these, also in evaluation."""
    torch.manual_seed(1)
    usual, conditional = nn.BatchNorm2d(3), ConditionalBatchNorm(3, 4)
    with torch.no_grad():
        usual.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
        usual.bias.copy_(torch.tensor([1.0, 0.0, -3.0]))
        conditional.scale.weight.copy_(usual.weight.expand(4, 3))
        conditional.shift.weight.copy_(usual.bias.expand(4, 3))
    labels = torch.tensor([0, 3, 2, 2, 1])
    for training in (True, True, False):
        usual.train(training)
        conditional.train(training)
        maps = torch.randn(5, 3, 4, 4) * 2 + 1
        torch.testing.assert_close(conditional(maps, labels), usual(maps))


def test_conditional_batch_norm_uses_each_images_class() -> None:
    """Statistics are those of the batch, scale and shift those of each image's class."""
    torch.manual_seed(1)
    part = ConditionalBatchNorm(2, 3)
    nn.init.normal_(part.scale.weight)
    nn.init.normal_(part.shift.weight)
    maps, labels = torch.randn(4, 2, 3, 3), torch.tensor([2, 0, 2, 1])
    result = part(maps, labels)
    for channel in range(2):
        values = maps[:, channel]
        normalized = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
        for number, label in enumerate(labels.tolist()):
            scale, shift = part.scale.weight[label, channel], part.shift.weight[label, channel]
            torch.testing.assert_close(result[number, channel], scale * normalized[number] + shift)


def test_spectral_norm_is_an_option() -> None:
    """With it, largest singular values of convolutions and dense layers converge to 1; without it they do not."""
    network = generator(spectral_norm=True, latent_dim=8)
    z = torch.randn(2, 8)
    with torch.no_grad():
        for _ in range(100):
            network(z)
    values = [largest_singular_value(layer) for layer in layers(network.eval())]
    assert len(values) == 1 + 2 * 3 + 1
    assert values == pytest.approx([1.0] * len(values), abs=0.01)
    assert max(map(largest_singular_value, layers(generator(latent_dim=8)))) > 1.1


def test_conditional_follows_the_option() -> None:
    """A conditional network refuses data without classes and calls without a condition; another one ignores it."""
    z = torch.randn(2, 128)
    assert not generator().conditional
    assert torch.equal(generator()(z, torch.tensor([0, 1])), generator()(z))
    network = generator(conditional=True)
    assert network.conditional
    with pytest.raises(IncompatibleError, match="without a condition"):
        network(z)
    with pytest.raises(IncompatibleError, match="the data has no class labels"):
        ResnetGenerator.check_image(network.options, ImageSpec(1, 28, 28))
    ResnetGenerator.check_image(network.options, DIGITS)
