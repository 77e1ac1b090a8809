"""The generator against the paper's tables, its blocks and conditional batch norm against plain formulas."""

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
    """Return the weights of a block that doubles: two batch norms, two convolutions, the shortcut's."""
    return 2 * inputs + conv(inputs, outputs, 3) + 2 * outputs + conv(outputs, outputs, 3) + conv(inputs, outputs, 1)


def test_it_has_the_weights_of_the_papers_tables() -> None:
    """Miyato et al. 2018, tables 4, 5 and 6, and the two sizes between them: every weight is accounted for."""
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
    found = {size: weights(ResnetGenerator(options, ImageSpec(3, size, size))) for size in expected}
    assert found == expected


def test_by_class_only_the_blocks_batch_norms_grow() -> None:
    """With K classes each batch norm in a block has K scales and shifts for one; the last one stays as it is."""
    plain, conditional = generator(), generator(conditional=True)
    assert weights(conditional) - weights(plain) == 9 * (2 * 2 * (4 + 4))


@pytest.mark.parametrize(
    ("size", "sides"),
    [(28, [14, 28]), (32, [8, 16, 32]), (48, [12, 24, 48]), (64, [8, 16, 32, 64]), (128, [8, 16, 32, 64, 128])],
)
def test_every_block_doubles_the_map(size: int, sides: list[int]) -> None:
    """From the base each block doubles the map, up to an image of the size asked for, in [-1, 1]."""
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
    """A size without a table is refused before anything is built, and the nearest sizes are named."""
    for refuse in (ResnetGenerator.check_image, ResnetGenerator):
        with pytest.raises(IncompatibleError, match=f"the nearest sizes are {nearest};"):
            refuse(ResnetGenerator.Options(), ImageSpec(1, height, width))


def test_a_block_is_the_papers() -> None:
    """BN-ReLU-double-conv-BN-ReLU-conv, beside double-conv, in plain operations and in the paper's order."""
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


def test_with_equal_classes_conditional_batch_norm_is_batch_norm() -> None:
    """Where all classes have learned the same scale and shift, batch norm with these gives the same, later too."""
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


def test_conditional_batch_norm_takes_each_images_class() -> None:
    """The statistics are the whole batch's, scale and shift those of each image's label, looked up one by one."""
    torch.manual_seed(1)
    part = ConditionalBatchNorm(2, 3)
    nn.init.normal_(part.scale.weight)
    nn.init.normal_(part.shift.weight)
    maps, labels = torch.randn(4, 2, 3, 3), torch.tensor([2, 0, 2, 1])
    found = part(maps, labels)
    for channel in range(2):
        values = maps[:, channel]
        normalised = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
        for number, label in enumerate(labels.tolist()):
            scale, shift = part.scale.weight[label, channel], part.shift.weight[label, channel]
            torch.testing.assert_close(found[number, channel], scale * normalised[number] + shift)


def test_spectral_norm_is_an_option() -> None:
    """With it every convolution and dense layer comes to a largest singular value of 1; without it none need to."""
    network = generator(spectral_norm=True, latent_dim=8)
    z = torch.randn(2, 8)
    with torch.no_grad():
        for _ in range(100):
            network(z)
    found = [largest_singular_value(layer) for layer in layers(network.eval())]
    assert len(found) == 1 + 2 * 3 + 1
    assert found == pytest.approx([1.0] * len(found), abs=0.01)
    assert max(map(largest_singular_value, layers(generator(latent_dim=8)))) > 1.1


def test_it_takes_labels_where_it_is_conditional() -> None:
    """`conditional` follows the option; then data without labels, and a call without labels, are refused."""
    z = torch.randn(2, 128)
    assert not generator().conditional
    assert torch.equal(generator()(z, torch.tensor([0, 1])), generator()(z))
    network = generator(conditional=True)
    assert network.conditional
    with pytest.raises(IncompatibleError, match="needs labels"):
        network(z)
    with pytest.raises(IncompatibleError, match="the data has no labels"):
        ResnetGenerator.check_image(network.options, ImageSpec(1, 28, 28))
    ResnetGenerator.check_image(network.options, DIGITS)
