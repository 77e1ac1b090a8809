"""Layers of the conditional networks, and the effect of the condition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganforge_conditional.ac_dcgan import AcDcganDiscriminator
from ganforge_conditional.dcgan import ConditionalDcganDiscriminator, ConditionalDcganGenerator
from ganforge_conditional.mlp import ConditionalMlpDiscriminator, ConditionalMlpGenerator
from ganforge_conditional.sizes import halvings
from torch import Tensor, nn

from ganforge import ConditionSpec, Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge.errors import IncompatibleError

MNIST = ImageSpec(1, 28, 28, ConditionSpec.classes(10))
CONVOLUTIONAL = (ConditionalDcganGenerator, ConditionalDcganDiscriminator, AcDcganDiscriminator)
GENERATORS = (ConditionalMlpGenerator, ConditionalDcganGenerator)
CONDITIONAL_DISCRIMINATORS = (ConditionalMlpDiscriminator, ConditionalDcganDiscriminator)
DISCRIMINATORS = (*CONDITIONAL_DISCRIMINATORS, AcDcganDiscriminator)

#: Sums over layers of inputs · outputs · kernel + biases; batch norm has two numbers per channel.
COUNTS = {
    ConditionalMlpGenerator: 10 * 10 + (110 * 256 + 256) + (256 * 512 + 512) + (512 * 1024 + 1024) + (1024 * 784 + 784),
    ConditionalMlpDiscriminator: 10 * 10 + (794 * 1024 + 1024) + (1024 * 512 + 512) + (512 * 256 + 256) + (256 * 1 + 1),
    ConditionalDcganGenerator: 10 * 10
    + (110 * 224 * 7 * 7 + 2 * 224)
    + (224 * 112 * 4 * 4 + 2 * 112)
    + (112 * 1 * 4 * 4),
    ConditionalDcganDiscriminator: 10 * 10
    + (11 * 112 * 4 * 4 + 2 * 112)
    + (112 * 224 * 4 * 4 + 2 * 224)
    + (224 * 1 * 7 * 7),
    AcDcganDiscriminator: (1 * 112 * 4 * 4 + 2 * 112)
    + (112 * 224 * 4 * 4 + 2 * 224)
    + (224 * 1 * 7 * 7)
    + (224 * 7 * 7 * 10 + 10),
}


def small(cls: type, image: ImageSpec = MNIST, **options: object) -> Any:
    """Return a network in evaluation mode, a convolutional one with few channels."""
    torch.manual_seed(0)
    narrow = {"base_channels": 4} if cls in CONVOLUTIONAL and "base_channels" not in options else {}
    network_class: Any = cls
    return network_class(network_class.Options(**narrow, **options), image).eval()


def result(network: nn.Module, inputs: Tensor, condition: Tensor) -> Tensor:
    """Return images or logits."""
    with torch.no_grad():
        output: Tensor | DiscriminatorOutput = network(inputs, condition)
    return output.logits if isinstance(output, DiscriminatorOutput) else output


def of_class(network: nn.Module, inputs: Tensor, number: int) -> Tensor:
    """Return images or logits of one class."""
    return result(network, inputs, torch.full((len(inputs),), number))


def inputs_of(network: nn.Module, count: int = 3) -> Tensor:
    """Return latents for a generator, images for a discriminator."""
    torch.manual_seed(1)
    return torch.randn(count, 100) if isinstance(network, Generator) else torch.rand(count, 1, 28, 28) * 2 - 1


@pytest.mark.parametrize("cls", COUNTS, ids=lambda cls: cls.__name__)
def test_weights_are_those_of_the_textbook_and_of_the_condition(cls: Any) -> None:
    """At 1×28×28, ten classes and default options, the number of weights is the sum over the layers."""
    network = cls(cls.Options(), MNIST)
    assert sum(weight.numel() for weight in network.parameters()) == COUNTS[cls]


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 2)])
@pytest.mark.parametrize("cls", [*GENERATORS, *DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_shapes_follow_the_image(cls: type, size: int, channels: int) -> None:
    """Images are `(N, C, H, W)`, logits `(N,)`, class logits `(N, K)`, and features have N first."""
    network = small(cls, ImageSpec(channels, size, size, ConditionSpec.classes(6)))
    labels = torch.tensor([0, 5, 2])
    if isinstance(network, Generator):
        assert network(torch.randn(3, 100), labels).shape == (3, channels, size, size)
        return
    output = network(torch.randn(3, channels, size, size), labels)
    assert output.logits.shape == (3,)
    assert [len(features) for features in output.features] == [3]
    if cls is AcDcganDiscriminator:
        assert output.class_logits.shape == (3, 6)
    else:
        assert output.class_logits is None


def test_features_are_the_layer_before_the_logit() -> None:
    """At 28 pixels they are 256 numbers of the MLP, and 2·`base_channels` maps of 7×7 of the convolutional networks."""
    images, labels = torch.randn(2, 1, 28, 28), torch.tensor([1, 2])
    shapes = [tuple(small(cls)(images, labels).features[0].shape) for cls in DISCRIMINATORS]
    assert shapes == [(2, 256), (2, 8, 7, 7), (2, 8, 7, 7)]


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_the_class_enters_by_its_embedding(cls: type) -> None:
    """Another class changes every image or logit; with the embedding zeroed it changes no bit."""
    network = small(cls)
    inputs = inputs_of(network)
    three, seven = of_class(network, inputs, 3), of_class(network, inputs, 7)
    assert not (three == seven).flatten(1 if three.dim() > 1 else 0).all(-1).any()
    nn.init.zeros_(network.embedding.table.weight)
    assert torch.equal(of_class(network, inputs, 3), of_class(network, inputs, 7))


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_each_image_has_its_own_class(cls: type) -> None:
    """In a batch of mixed classes, each image or logit is that of a batch of its class alone."""
    network = small(cls)
    inputs = inputs_of(network)
    mixed = result(network, inputs, torch.tensor([0, 4, 9]))
    for index, number in enumerate((0, 4, 9)):
        torch.testing.assert_close(mixed[index], of_class(network, inputs, number)[index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_vectors_are_conditions_too(cls: type) -> None:
    """A vector of numbers enters by a linear layer, each image's own; images as conditions are refused."""
    network = small(cls, ImageSpec(1, 28, 28, ConditionSpec.vector(("smile", "age"))))
    assert network.conditional
    inputs, vectors = inputs_of(network), torch.tensor([[0.0, 1.0], [1.0, 0.5], [-1.0, 2.0]])
    mixed = result(network, inputs, vectors)
    for index in range(3):
        alone = result(network, inputs, vectors[index].expand(3, 2))
        torch.testing.assert_close(mixed[index], alone[index], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mixed, result(network, inputs, -vectors))
    with pytest.raises(IncompatibleError, match="classes or vectors"):
        small(cls, ImageSpec(1, 28, 28, ConditionSpec.tensor((1, 28, 28))))


def test_the_auxiliary_classifier_does_not_see_the_condition() -> None:
    """AC-GAN's discriminator has the same output for any condition or none, and is not conditional."""
    network, images = small(AcDcganDiscriminator), torch.randn(2, 1, 28, 28)
    assert isinstance(network, Discriminator)
    assert not network.conditional
    labels = torch.tensor([3, 7])
    one, two, blind = network(images, labels), network(images, labels.flip(0)), network(images)
    for other in (two, blind):
        assert torch.equal(one.logits, other.logits)
        assert one.class_logits is not None
        assert other.class_logits is not None
        assert torch.equal(one.class_logits, other.class_logits)


def test_the_maps_of_the_condition_are_constant() -> None:
    """Maps concatenated with the image hold the class's embedding, the same at every pixel."""
    network = small(ConditionalDcganDiscriminator, condition_dim=3)
    inputs: list[Tensor] = []
    network.trunk.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    images, labels = torch.randn(2, 1, 28, 28), torch.tensor([8, 5])
    network(images, labels)
    assert torch.equal(inputs[0][:, :1], images)
    assert torch.equal(inputs[0][:, 1:], network.embedding.table.weight[labels].view(2, 3, 1, 1).expand(2, 3, 28, 28))


def test_the_projection_is_a_transposed_convolution() -> None:
    """The matrix product of latents and embedding is ConvTranspose2d of one pixel, to 1e-6."""
    network = small(ConditionalDcganGenerator)
    inputs: list[Tensor] = []
    network.layers.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    z, labels = torch.randn(4, 100), torch.tensor([0, 1, 2, 3])
    network(z, labels)
    both = torch.cat([z, network.embedding.table.weight[labels]], 1)
    torch.testing.assert_close(inputs[0], network.project(both.view(4, 110, 1, 1)), rtol=1e-6, atol=1e-6)


def test_dropout_follows_every_hidden_layer_and_spares_the_features() -> None:
    """The MLP drops half of each hidden layer, the last one after its features."""
    network = small(ConditionalMlpDiscriminator)
    kinds = [type(layer).__name__ for part in (network.trunk, network.head) for layer in part]
    assert kinds == [*["Linear", "LeakyReLU", "Dropout"] * 3, "Linear", "Flatten"]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 3
    assert isinstance(network.trunk[-1], nn.LeakyReLU)


def test_normal_init_is_dcgans() -> None:
    """With init=normal, filters are N(0, 0.02) and batch norm's scales N(1, 0.02); embeddings keep their own."""
    for cls in CONVOLUTIONAL:
        network = small(cls, init="normal", base_channels=32).requires_grad_(False)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.numel() > 1000:
                assert abs(float(layer.weight.std()) - 0.02) < 0.002
            if isinstance(layer, nn.BatchNorm2d):
                assert 0.005 < float(layer.weight.std()) < 0.04
                assert abs(float(layer.weight.mean()) - 1) < 0.02
            if isinstance(layer, nn.Embedding):
                assert 0.7 < float(layer.weight.std()) < 1.3
    vectors = ImageSpec(1, 28, 28, ConditionSpec.vector(4))
    network = small(ConditionalDcganGenerator, vectors, init="normal", condition_dim=500)
    assert float(network.embedding.table.weight.detach().std()) > 0.2  # torch's default: U(-½, ½)


def test_a_conditional_network_needs_its_condition() -> None:
    """Called without a condition, networks raise an error of their own, not one of torch."""
    for cls in (*GENERATORS, *CONDITIONAL_DISCRIMINATORS):
        network = small(cls)
        with pytest.raises(IncompatibleError, match="without a condition"):
            network(inputs_of(network), None)


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_without_classes_it_can_be_built_to_be_refused(cls: type) -> None:
    """For data without conditions it can be built and is conditional: ganforge then refuses it."""
    assert small(cls, ImageSpec(1, 28, 28)).conditional is True


@pytest.mark.parametrize("condition", [None, ConditionSpec.vector(3)])
def test_the_auxiliary_classifier_needs_classes(condition: ConditionSpec | None) -> None:
    """Data without classes are refused before layers are created."""
    image = ImageSpec(1, 28, 28, condition)
    for refuse in (AcDcganDiscriminator.check_image, AcDcganDiscriminator):
        with pytest.raises(IncompatibleError, match="the data has no class labels"):
            refuse(AcDcganDiscriminator.Options(), image)


def test_sizes_halve_to_a_base_of_4_to_7() -> None:
    """Halvings are those of an exhaustive search, at least one."""
    for side in range(1, 300):
        counts = [count for count in range(1, 9) for base in (4, 5, 6, 7) if base * 2**count == side]
        assert halvings(side) == (counts[0] if counts else None)


@pytest.mark.parametrize("cls", CONVOLUTIONAL, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    ("height", "width", "nearest"),
    [(30, 30, "28×28 and 32×32"), (100, 100, "96×96 and 112×112"), (5, 5, "8×8"), (28, 56, "56×56 and 64×64")],
)
def test_other_sizes_are_refused_with_the_nearest(cls: Any, height: int, width: int, nearest: str) -> None:
    """Sizes that cannot be halved are refused before layers are created, with the nearest ones that can."""
    with pytest.raises(IncompatibleError, match=f"(?s){height}×{width}.*{nearest};"):
        cls.check_image(cls.Options(), ImageSpec(1, height, width, ConditionSpec.classes(10)))
