"""Discriminator: the paper's tables, and plain formulas of spectral norm and projection."""

from __future__ import annotations

import copy

import pytest
import torch
from ganforge_resnet.discriminator import Block, ResnetDiscriminator
from resnet_parts import DIGITS, conv, discriminator, largest_singular_value, layers, pictures, weights
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError

LABELS = torch.tensor([3, 0, 3, 9])


def first(inputs: int, outputs: int) -> int:
    """Return the number of weights of the first block."""
    return conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + conv(inputs, outputs, 1)


def block(inputs: int, outputs: int) -> int:
    """Return the number of weights of a block whose shortcut has a convolution."""
    return conv(inputs, inputs, 3) + conv(inputs, outputs, 3) + conv(inputs, outputs, 1)


def same(channels: int) -> int:
    """Return the number of weights of a block whose shortcut is the identity."""
    return 2 * conv(channels, channels, 3)


def test_weights_of_the_papers_tables() -> None:
    """The number of weights is that of Miyato et al. 2018, tables 4, 5 and 6, and of the two sizes between them."""
    small = first(3, 128) + block(128, 128) + 2 * same(128) + conv(128, 1, 1)
    five = first(3, 64) + block(64, 128) + block(128, 256) + block(256, 512) + block(512, 1024)
    expected = {
        28: small,
        32: small,
        48: five + conv(1024, 1, 1),
        64: five + conv(1024, 1, 1),
        128: five + same(1024) + conv(1024, 1, 1),
    }
    options = ResnetDiscriminator.Options()
    numbers = {size: weights(ResnetDiscriminator(options, ImageSpec(3, size, size))) for size in expected}
    assert numbers == expected


def test_the_projection_adds_a_row_of_features_per_class() -> None:
    """The projection adds a table of K × C' numbers, and nothing else."""
    plain, conditional = discriminator(), discriminator(conditional=True)
    assert weights(conditional) - weights(plain) == 10 * 4


@pytest.mark.parametrize(
    ("size", "sides", "width"),
    [
        (28, [14, 7, 7, 7], 1),
        (32, [16, 8, 8, 8], 1),
        (48, [24, 12, 6, 3, 3], 16),
        (64, [32, 16, 8, 4, 2], 16),
        (128, [64, 32, 16, 8, 4, 4], 16),
    ],
)
def test_blocks_halve_the_map_as_in_the_tables(size: int, sides: list[int], width: int) -> None:
    """The first blocks halve the map, the others keep its size; there is one logit per image."""
    image = ImageSpec(2, size, size)
    network = discriminator(image, base_channels=2)
    seen: list[int] = []
    for part in network.blocks:
        part.register_forward_hook(lambda _, __, maps: seen.append(maps.shape[2]))
    output = network(pictures(3, image))
    assert output.logits.shape == (3,)
    assert output.features[0].shape == (3, 2 * width)
    assert seen == sides


@pytest.mark.parametrize(("height", "width", "nearest"), [(27, 27, "28×28"), (40, 40, "32×32 or 48×48")])
def test_other_sizes_are_refused(height: int, width: int, nearest: str) -> None:
    """Sizes without a table are refused before layers are created, and the message names the nearest sizes."""
    for refuse in (ResnetDiscriminator.check_image, ResnetDiscriminator):
        with pytest.raises(IncompatibleError, match=f"the nearest sizes are {nearest};"):
            refuse(ResnetDiscriminator.Options(), ImageSpec(1, height, width))


@pytest.mark.parametrize(("number", "halve"), [(0, True), (1, True), (1, False)])
def test_a_block_is_the_papers(number: int, halve: bool) -> None:  # noqa: FBT001 - pytest passes it
    """A block is (ReLU-)conv-ReLU-conv-mean plus conv-mean, in plain operations in the paper's order."""
    torch.manual_seed(1)
    part = Block(3, 5, halve=halve, first=number == 0, spectral_norm=False)
    maps = torch.randn(2, 3, 6, 6)

    def convolved(values: Tensor, name: str, padding: int) -> Tensor:
        return conv2d(values, part.get_parameter(f"{name}.weight"), part.get_parameter(f"{name}.bias"), padding=padding)

    residual = convolved(maps if number == 0 else maps.relu(), "conv1", 1)
    residual = convolved(residual.relu(), "conv2", 1)
    expected = residual + convolved(maps, "shortcut", 0)
    if halve:
        expected = avg_pool2d(expected, 2)
    torch.testing.assert_close(part(maps), expected, rtol=1e-4, atol=1e-5)


def test_a_block_that_keeps_the_shape_adds_its_input() -> None:
    """With weights of 0, such a block is the identity."""
    part = Block(3, 3, halve=False, first=False, spectral_norm=False)
    for weight in part.parameters():
        torch.nn.init.zeros_(weight)
    maps = torch.randn(2, 3, 6, 6)
    assert torch.equal(part(maps), maps)


def test_largest_singular_values_converge_to_1() -> None:
    """After passes in training, each layer has spectral norm 1 for any weights, the table of classes included."""
    network = discriminator(conditional=True)
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            weight.mul_(1 + number % 3)
        for _ in range(100):
            network(pictures(4), LABELS)
    network.eval()
    assert network.embedding is not None
    values = [largest_singular_value(layer) for layer in [*layers(network), network.embedding]]
    assert len(values) == 3 + 3 + 2 + 2 + 1 + 1
    assert values == pytest.approx([1.0] * len(values), abs=0.01)


def test_without_spectral_norm_weights_are_used_as_they_are() -> None:
    """Without spectral norm, every layer uses its own weights, and there are no buffers."""
    network = discriminator(spectral_norm=False, conditional=True)
    assert not list(network.buffers())
    assert max(map(largest_singular_value, layers(network))) > 1.1


def test_power_iteration_follows_the_weights_alone() -> None:
    """In training, its vectors move with each pass, equally for all images; in evaluation they stay."""
    one = discriminator()
    two, before = copy.deepcopy(one), [buffer.clone() for buffer in one.buffers()]
    one(pictures(2, seed=1))
    two(pictures(5, seed=2))
    assert all(torch.equal(buffer, other) for buffer, other in zip(one.buffers(), two.buffers(), strict=True))
    assert any(not torch.equal(buffer, other) for buffer, other in zip(one.buffers(), before, strict=True))
    after = [buffer.clone() for buffer in one.buffers()]
    one.eval()(pictures(2))
    assert all(torch.equal(buffer, other) for buffer, other in zip(one.buffers(), after, strict=True))


def test_logits_are_independent_of_the_batch_in_training() -> None:
    """With the same state, images of a batch have the logits that they have alone."""
    network, images = discriminator(conditional=True), pictures(4)
    assert network.batch_independent
    alone = torch.cat(
        [copy.deepcopy(network)(images[at : at + 1], LABELS[at : at + 1]).logits for at in range(len(images))]
    )
    torch.testing.assert_close(network(images, LABELS).logits, alone, rtol=1e-4, atol=1e-5)


def test_a_restored_network_continues_with_the_same_bits() -> None:
    """The state dict holds the vectors of power iteration: loaded into another network, training passes are equal."""
    network, images = discriminator(), pictures(4)
    for _ in range(3):
        network(images)
    other = ResnetDiscriminator(network.options, network.image)
    other.load_state_dict(network.state_dict())
    for _ in range(3):
        assert torch.equal(network(images).logits, other(images).logits)


def test_a_gradient_penalty_has_the_right_derivative() -> None:
    """The second derivative through spectral norm is that of finite differences."""
    network = discriminator(base_channels=2).double().eval()
    images = pictures(2).double().requires_grad_()
    parameters = list(network.parameters())
    torch.manual_seed(2)
    directions = [torch.randn_like(weight) for weight in parameters]

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(network(images).logits.sum(), images, create_graph=True)
        return gradient.square().sum()

    # The biases of the last layers do not change the gradient.
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    derivative = sum(
        float((gradient * direction).sum())
        for gradient, direction in zip(gradients, directions, strict=True)
        if gradient is not None
    )
    values = []
    step = 1e-7
    for side in (step, -2 * step):
        with torch.no_grad():
            for weight, direction in zip(parameters, directions, strict=True):
                weight.add_(side * direction)
        values.append(float(penalty().detach()))
    assert derivative == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_two_passes_in_training_both_have_gradients() -> None:
    """Power iteration in the second pass does not change the gradient of the first."""
    network, images = discriminator(), pictures(4).requires_grad_()
    one, two = network(images[:2]).logits, network(images[2:]).logits
    (slope,) = torch.autograd.grad((two - one).sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in network.parameters() if weight.grad is not None)


def test_the_logit_is_a_projection() -> None:
    """f(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩ (Miyato & Koyama 2018, section 3), φ the last map's sums after a ReLU."""
    network, images = discriminator(conditional=True).eval().requires_grad_(requires_grad=False), pictures(4)
    output = network(images, LABELS)
    (features,) = output.features
    last_map: Tensor = network.blocks(images)
    torch.testing.assert_close(features, last_map.clamp(min=0).flatten(2).sum(2))
    assert network.embedding is not None
    table, head = network.embedding.weight, network.head
    expected = [
        float(features[at] @ head.weight[0] + head.bias[0] + features[at] @ table[label])
        for at, label in enumerate(LABELS.tolist())
    ]
    assert output.logits.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert output.condition is LABELS


def test_conditional_follows_the_option() -> None:
    """A conditional network refuses data without classes and calls without a condition; another one ignores it."""
    images = pictures(4)
    assert not discriminator().conditional
    assert torch.equal(discriminator()(images, LABELS).logits, discriminator()(images).logits)
    network = discriminator(conditional=True)
    assert network.conditional
    with pytest.raises(IncompatibleError, match="without a condition"):
        network(images)
    with pytest.raises(IncompatibleError, match="the data has no class labels"):
        ResnetDiscriminator.check_image(network.options, ImageSpec(1, 28, 28))
    ResnetDiscriminator.check_image(network.options, DIGITS)


def test_compiled_equals_eager_in_training() -> None:
    """In one graph, power iteration included, logits and vectors are the same."""
    network = discriminator(conditional=True)
    other = copy.deepcopy(network)
    torch.compiler.reset()
    compiled = torch.compile(other.forward, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(pictures(4), LABELS).logits, network(pictures(4), LABELS).logits)
    for buffer, expected in zip(other.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected)
    torch.compiler.reset()
