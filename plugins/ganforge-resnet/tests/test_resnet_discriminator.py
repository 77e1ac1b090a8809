"""The discriminator against the paper's tables, its spectral norm and its projection against plain formulas."""

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
    """Return the weights of the block that is given the image."""
    return conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + conv(inputs, outputs, 1)


def block(inputs: int, outputs: int) -> int:
    """Return the weights of a block whose shortcut has a convolution."""
    return conv(inputs, inputs, 3) + conv(inputs, outputs, 3) + conv(inputs, outputs, 1)


def same(channels: int) -> int:
    """Return the weights of a block whose shortcut changes nothing."""
    return 2 * conv(channels, channels, 3)


def test_it_has_the_weights_of_the_papers_tables() -> None:
    """Miyato et al. 2018, tables 4, 5 and 6, and the two sizes between them: every weight is accounted for."""
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
    found = {size: weights(ResnetDiscriminator(options, ImageSpec(3, size, size))) for size in expected}
    assert found == expected


def test_by_class_there_is_one_row_of_features_for_each() -> None:
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
def test_blocks_halve_the_map_as_the_tables_say(size: int, sides: list[int], width: int) -> None:
    """The first blocks halve the map, those after them leave it; then there is a logit for each image."""
    image = ImageSpec(2, size, size)
    network = discriminator(image, base_channels=2)
    seen: list[int] = []
    for part in network.blocks:
        part.register_forward_hook(lambda _, __, maps: seen.append(maps.shape[2]))
    judgement = network(pictures(3, image))
    assert judgement.logits.shape == (3,)
    assert judgement.features[0].shape == (3, 2 * width)
    assert seen == sides


@pytest.mark.parametrize(("height", "width", "nearest"), [(27, 27, "28×28"), (40, 40, "32×32 or 48×48")])
def test_other_sizes_are_refused(height: int, width: int, nearest: str) -> None:
    """A size without a table is refused before anything is built, and the nearest sizes are named."""
    for refuse in (ResnetDiscriminator.check_image, ResnetDiscriminator):
        with pytest.raises(IncompatibleError, match=f"the nearest sizes are {nearest};"):
            refuse(ResnetDiscriminator.Options(), ImageSpec(1, height, width))


@pytest.mark.parametrize(("number", "halve"), [(0, True), (1, True), (1, False)])
def test_a_block_is_the_papers(number: int, halve: bool) -> None:  # noqa: FBT001 - pytest passes it
    """(ReLU-)conv-ReLU-conv-mean, beside conv-mean, in plain operations and in the paper's order."""
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


def test_a_block_that_changes_no_shape_adds_its_input() -> None:
    """Without weights in its convolutions such a block is the identity."""
    part = Block(3, 3, halve=False, first=False, spectral_norm=False)
    for weight in part.parameters():
        torch.nn.init.zeros_(weight)
    maps = torch.randn(2, 3, 6, 6)
    assert torch.equal(part(maps), maps)


def test_every_layers_largest_singular_value_comes_to_1() -> None:
    """After passes in training each layer, the table of classes too, has spectral norm 1, whatever its weights."""
    network = discriminator(conditional=True)
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            weight.mul_(1 + number % 3)
        for _ in range(100):
            network(pictures(4), LABELS)
    network.eval()
    assert network.embedding is not None
    found = [largest_singular_value(layer) for layer in [*layers(network), network.embedding]]
    assert len(found) == 3 + 3 + 2 + 2 + 1 + 1
    assert found == pytest.approx([1.0] * len(found), abs=0.01)


def test_without_spectral_norm_weights_are_used_as_they_are() -> None:
    """The option leaves every layer its own weights, and no buffers at all."""
    network = discriminator(spectral_norm=False, conditional=True)
    assert not list(network.buffers())
    assert max(map(largest_singular_value, layers(network))) > 1.1


def test_power_iteration_follows_the_weights_alone() -> None:
    """In training its vectors move with each pass, for whatever images alike; in evaluation they stay."""
    one = discriminator()
    two, before = copy.deepcopy(one), [buffer.clone() for buffer in one.buffers()]
    one(pictures(2, seed=1))
    two(pictures(5, seed=2))
    assert all(torch.equal(buffer, other) for buffer, other in zip(one.buffers(), two.buffers(), strict=True))
    assert any(not torch.equal(buffer, other) for buffer, other in zip(one.buffers(), before, strict=True))
    after = [buffer.clone() for buffer in one.buffers()]
    one.eval()(pictures(2))
    assert all(torch.equal(buffer, other) for buffer, other in zip(one.buffers(), after, strict=True))


def test_in_training_too_each_image_is_judged_by_itself() -> None:
    """From the same state, images judged together get the logits that each gets alone."""
    network, images = discriminator(conditional=True), pictures(4)
    assert network.batch_independent
    alone = torch.cat(
        [copy.deepcopy(network)(images[at : at + 1], LABELS[at : at + 1]).logits for at in range(len(images))]
    )
    torch.testing.assert_close(network(images, LABELS).logits, alone, rtol=1e-4, atol=1e-5)


def test_a_restored_network_goes_on_with_the_same_bits() -> None:
    """Its state dict holds the vectors of power iteration: loaded into another one, training passes are equal."""
    network, images = discriminator(), pictures(4)
    for _ in range(3):
        network(images)
    other = ResnetDiscriminator(network.options, network.image)
    other.load_state_dict(network.state_dict())
    for _ in range(3):
        assert torch.equal(network(images).logits, other(images).logits)


def test_a_penalty_on_the_slope_has_the_right_derivative() -> None:
    """The second derivative through spectral norm is that of finite differences."""
    network = discriminator(base_channels=2).double().eval()
    images = pictures(2).double().requires_grad_()
    parameters = list(network.parameters())
    torch.manual_seed(2)
    directions = [torch.randn_like(weight) for weight in parameters]

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(network(images).logits.sum(), images, create_graph=True)
        return slope.square().sum()

    # The biases of the last layers do not change the slope.
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    found = sum(
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
    assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_two_passes_in_training_can_both_be_followed_back() -> None:
    """Power iteration in the second pass does not disturb the gradient of the first."""
    network, images = discriminator(), pictures(4).requires_grad_()
    one, two = network(images[:2]).logits, network(images[2:]).logits
    (slope,) = torch.autograd.grad((two - one).sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in network.parameters() if weight.grad is not None)


def test_the_logit_is_a_projection() -> None:
    """f(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩ (Miyato & Koyama 2018, section 3), φ the last map's sums after a ReLU."""
    network, images = discriminator(conditional=True).eval().requires_grad_(requires_grad=False), pictures(4)
    judgement = network.judge(images, LABELS)
    (features,) = judgement.features
    torch.testing.assert_close(features, network.blocks(images).clamp(min=0).flatten(2).sum(2))
    assert network.embedding is not None
    table, head = network.embedding.weight, network.head
    expected = [
        float(features[at] @ head.weight[0] + head.bias[0] + features[at] @ table[label])
        for at, label in enumerate(LABELS.tolist())
    ]
    assert judgement.logits.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert judgement.labels is LABELS


def test_it_takes_labels_where_it_is_conditional() -> None:
    """`conditional` follows the option; then data without labels, and a call without labels, are refused."""
    images = pictures(4)
    assert not discriminator().conditional
    assert torch.equal(discriminator()(images, LABELS).logits, discriminator()(images).logits)
    network = discriminator(conditional=True)
    assert network.conditional
    with pytest.raises(IncompatibleError, match="needs labels"):
        network(images)
    with pytest.raises(IncompatibleError, match="the data has no labels"):
        ResnetDiscriminator.check_image(network.options, ImageSpec(1, 28, 28))
    ResnetDiscriminator.check_image(network.options, DIGITS)


def test_compiled_it_is_the_same_in_training() -> None:
    """One graph, power iteration included: the same logits, and the same vectors afterwards."""
    network = discriminator(conditional=True)
    other = copy.deepcopy(network)
    torch.compiler.reset()
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(compiled(pictures(4), LABELS).logits, network(pictures(4), LABELS).logits)
    for buffer, expected in zip(other.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected)
    torch.compiler.reset()
