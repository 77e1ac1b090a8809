"""Whole networks: sizes and counts of the authors' code, initial functions, classes, second derivatives."""

from __future__ import annotations

import math
from itertools import product
from typing import TypeVar

import pytest
import torch
from ganforge_r3gan.layers import Doubling, ResidualBlock, block_gain
from ganforge_r3gan.networks import R3ganDiscriminator, R3ganGenerator
from ganforge_r3gan.stages import StageOptions, plan
from torch import Tensor, nn

from ganforge import ConditionSpec, ImageSpec
from ganforge.errors import IncompatibleError

DIGITS = ImageSpec(1, 28, 28, ConditionSpec.classes(10))
SMALL = {"base_channels": 8, "group_width": 4}
#: The authors' preset CIFAR10: 768 channels, 96 groups, two blocks at each of four sizes.
AUTHORS = {"base_channels": 768, "widest_size": 32, "blocks": 2, "group_width": 16}

Network = TypeVar("Network", R3ganGenerator, R3ganDiscriminator)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def generator(image: ImageSpec = DIGITS, **options: int) -> R3ganGenerator:
    """Return a generator, small by default."""
    return R3ganGenerator(R3ganGenerator.Options.model_validate(SMALL | options), image)


def discriminator(image: ImageSpec = DIGITS, **options: int) -> R3ganDiscriminator:
    """Return a discriminator, small by default."""
    return R3ganDiscriminator(R3ganDiscriminator.Options.model_validate(SMALL | options), image)


def trained(network: Network) -> Network:
    """Return the network with weights as after some training: no layer is zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return network


def count(network: nn.Module) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in network.parameters())


def block_weights(channels: int, expanded: int, group_width: int) -> int:
    """Return the number of weights of a block: 1×1, bias, grouped 3×3, bias, 1×1."""
    return channels * expanded + expanded + expanded * group_width * 9 + expanded + expanded * channels


def test_counts_by_default() -> None:
    """At 1×28×28: maps of 7, 14 and 28 pixels with 96, 48 and 24 channels, one block each, twice as wide within."""
    body = block_weights(96, 192, 8) + block_weights(48, 96, 8) + block_weights(24, 48, 8) + 96 * 48 + 48 * 24
    defaults = (
        R3ganGenerator(R3ganGenerator.Options(), DIGITS),
        R3ganDiscriminator(R3ganDiscriminator.Options(), DIGITS),
    )
    assert [count(network) for network in defaults] == [
        (64 * 96 + 96 * 49) + body + 24,
        24 + body + (96 * 49 + 96),
    ]


def test_counts_of_the_authors() -> None:
    """Conditional at 3×32×32 they are 20,781,952 and 21,280,512, as the authors' classes count for CIFAR10."""
    image, options = ImageSpec(3, 32, 32, ConditionSpec.classes(10)), AUTHORS | {"conditional": True}
    with torch.device("meta"):
        counts = [count(generator(image, **options)), count(discriminator(image, **options))]
    body = 8 * block_weights(768, 1536, 16)
    assert counts == [
        10 * 64 + (128 * 768 + 768 * 16) + body + 768 * 3,
        3 * 768 + body + 10 * 768 + (768 * 16 + 768 * 768),
    ]
    assert counts == [20_781_952, 21_280_512]


def test_structure_of_the_authors() -> None:
    """Two blocks follow each map, with 96 groups of 16 channels; only activations have a bias."""
    with torch.device("meta"):
        network = generator(ImageSpec(3, 32, 32), **AUTHORS)
        images = network(torch.empty(2, 64))
    assert images.shape == (2, 3, 32, 32)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["ResidualBlock"] * 2 + ["Doubling", "ResidualBlock", "ResidualBlock"] * 3 + ["Conv2d", "Tanh"]
    grouped = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert [(layer.groups, layer.in_channels, layer.kernel_size) for layer in grouped] == [(96, 1536, (3, 3))] * 8
    assert all(layer.bias is None for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    assert sum(name.endswith(".bias") for name in network.state_dict()) == 16


def test_widths_of_the_authors() -> None:
    """Their FFHQ presets halve the widths beyond 32 pixels: 768 up to there, 384 at 64, 96 at 256."""
    options = StageOptions.model_validate(AUTHORS)
    stages = plan("it", options, ImageSpec(3, 256, 256))
    assert [stage.channels for stage in stages] == [768, 768, 768, 768, 384, 192, 96]
    assert [stage.size for stage in stages[:2]] == [(4, 4), (8, 8)]


@pytest.mark.parametrize(
    ("height", "width", "bases"),
    [(28, 28, (7, 7)), (32, 32, (4, 4)), (64, 64, (4, 4)), (48, 56, (6, 7)), (8, 8, (4, 4))],
)
def test_sizes_and_channels(height: int, width: int, bases: tuple[int, int]) -> None:
    """Sizes that halve to 4 to 7 pixels work, with any number of channels, also by default."""
    for channels in (1, 2, 5):
        image = ImageSpec(channels, height, width)
        assert plan("it", StageOptions(), image)[0].size == bases
        images = generator(image, base_channels=16)(torch.randn(2, 64))
        assert images.shape == (2, channels, height, width)
        assert discriminator(image, base_channels=16)(images).logits.shape == (2,)


def test_misfits_are_refused() -> None:
    """The message names sizes that do not halve, widths without whole groups and missing classes, with a fix."""
    cases = [
        (StageOptions(), ImageSpec(1, 27, 27), r"27×27", r"26×26|28×28"),
        (StageOptions(), ImageSpec(1, 28, 32), r"28×32", r"32×32"),
        (
            StageOptions(base_channels=90),
            ImageSpec(1, 28, 28),
            r"90 base_channels.* have 22.5, and 45 within",
            r"is 96",
        ),
        (
            StageOptions(base_channels=5, group_width=1, widest_size=32),
            ImageSpec(1, 64, 64),
            r"have 2.5, and 5 within",
            r"is 4",
        ),
        (StageOptions(conditional=True), ImageSpec(1, 28, 28), r"no class labels", r"conditional at false"),
        (
            StageOptions(conditional=True),
            ImageSpec(1, 28, 28, ConditionSpec.vector(3)),
            r"no class labels",
            r"conditional at false",
        ),
    ]
    for options, image, message, fix in cases:
        with pytest.raises(IncompatibleError, match=message) as error:
            plan("it", options, image)
        assert error.match(fix)
    with pytest.raises(IncompatibleError, match="generator 'r3gan'"):
        R3ganGenerator.check_image(R3ganGenerator.Options(), ImageSpec(1, 27, 27))
    with pytest.raises(IncompatibleError, match="discriminator 'r3gan'"):
        R3ganDiscriminator.check_image(R3ganDiscriminator.Options(), ImageSpec(1, 27, 27))


def test_a_new_generator_only_resamples() -> None:
    """Initially blocks are identities: the image is tanh of a linear function of the latent, doubled twice."""
    network = generator(base_channels=8, widest_size=32).double()
    z = torch.randn(3, 64).double()
    doubling = Doubling(8).double()
    colors = network.get_parameter(f"layers.{len(network.layers) - 2}.weight")
    maps = doubling(doubling(network.basis(z)))
    torch.testing.assert_close(network(z), torch.einsum("oi,nihw->nohw", colors[:, :, 0, 0], maps).tanh())
    torch.testing.assert_close(network(2 * z).atanh(), 2 * network(z).atanh())
    assert not torch.allclose(trained(network)(2 * z).atanh(), 2 * network(z).atanh())


def test_a_new_discriminator_is_linear() -> None:
    """Initially a logit is ⟨w, image⟩ with one w for all images; R1, the squared gradient, is |w|² everywhere."""
    network = discriminator().double()
    images = torch.randn(4, 1, 28, 28).double().requires_grad_()
    logits = network(images).logits
    (slopes,) = torch.autograd.grad(logits.sum(), images)
    torch.testing.assert_close((slopes * images).sum((1, 2, 3)), logits)
    torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes))


def test_weights_shrink_with_depth() -> None:
    """In a network of L blocks, the first layers of each are initially smaller by L^(-1/4) (Fixup)."""
    for blocks, make in product((1, 4), (generator, discriminator)):
        network = make(base_channels=64, widest_size=32, blocks=blocks)
        residual = [layer for layer in network.modules() if isinstance(layer, ResidualBlock)]
        assert len(residual) == 3 * blocks
        for block in residual:
            expected = block_gain(3 * blocks) / math.sqrt(64)
            assert float(block.get_parameter("layers.0.weight").detach().std()) == pytest.approx(expected, rel=0.05)


def test_a_gradient_penalty_trains_it() -> None:
    """R1 in float32 reaches every weight, and changes with a weight as its gradient predicts."""
    network = trained(discriminator())
    images = torch.randn(3, 1, 28, 28)

    def penalty(discriminator: R3ganDiscriminator, images: Tensor) -> Tensor:
        images = images.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(discriminator(images).logits.sum(), images, create_graph=True)
        return slopes.square().sum((1, 2, 3)).mean()

    penalty(network, images).backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    # Biases act through the sign of activations only, so the penalty has no derivative in them.
    for name, gradient in gradients.items():
        assert name.endswith(".bias") or (gradient is not None and bool(gradient.any())), name
    double, step = trained_copy(network), 1e-6
    for name in ("layers.1.layers.2.weight", "basis.basis.weight", "layers.0.weight"):
        weight, gradient = double.get_parameter(name), gradients[name]
        assert gradient is not None
        direction = torch.randn_like(weight)
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                weight.add_(direction, alpha=sign * step)
            values.append(penalty(double, images.double()).item())
        with torch.no_grad():
            weight.add_(direction, alpha=step)
        expected = (values[0] - values[1]) / (2 * step)
        assert float((gradient.double() * direction).sum()) == pytest.approx(expected, rel=1e-3)


def trained_copy(network: R3ganDiscriminator) -> R3ganDiscriminator:
    """Return the network in float64."""
    double = discriminator().double()
    double.load_state_dict({name: value.double() for name, value in network.state_dict().items()})
    return double


def test_classes_of_the_generator() -> None:
    """The vector of the class is concatenated with the latent: other classes give other images, none an error."""
    network = generator(conditional=True)
    z, labels = torch.randn(3, 64), torch.tensor([0, 4, 9])
    assert network.conditional
    both = torch.cat([z, network.embedding.weight[labels]], 1)  # type: ignore[union-attr]
    assert torch.equal(network(z, labels), network.layers(network.basis(both)))
    assert not torch.equal(network(z, labels), network(z, labels.flip(0)))
    with pytest.raises(IncompatibleError, match="generator 'r3gan' was called without a condition"):
        network(z)
    assert not generator().conditional


def test_classes_of_the_discriminator() -> None:
    """A conditional logit is the product of the features with the vector of the class, and nothing else."""
    network = trained(discriminator(conditional=True))
    images, labels = torch.randn(3, 1, 28, 28), torch.tensor([0, 4, 9])
    features = network.basis(network.layers(images))
    assert features.shape == (3, 8)
    vectors = network.embedding.weight[labels]  # type: ignore[union-attr]
    expected = torch.stack([features[n] @ vectors[n] for n in range(3)])
    torch.testing.assert_close(network(images, labels).logits, expected)
    with pytest.raises(IncompatibleError, match="discriminator 'r3gan' was called without a condition"):
        network(images)
    assert not discriminator().conditional


def test_class_vectors_start_as_a_linear_layer_on_one_hot_labels() -> None:
    """Their standard deviation is 1/√K in G and 1/√(K·E) in D, for K classes and vectors of E numbers."""
    image = ImageSpec(1, 28, 28, ConditionSpec.classes(50))
    vectors = [generator(image, conditional=True).embedding, discriminator(image, conditional=True).embedding]
    assert [tuple(item.weight.shape) for item in vectors if item] == [(50, 64), (50, 8)]
    expected = [1 / math.sqrt(50), 1 / math.sqrt(50 * 8)]
    assert [float(item.weight.detach().std()) for item in vectors if item] == pytest.approx(expected, rel=0.1)


def test_logits_are_independent_of_the_batch() -> None:
    """Nothing is normalized over the batch, as `batch_independent` promises."""
    network, images = trained(discriminator()), torch.randn(4, 1, 28, 28)
    alone = torch.cat([network(images[n : n + 1]).logits for n in range(4)])
    torch.testing.assert_close(network(images).logits, alone)
    assert R3ganDiscriminator.batch_independent
