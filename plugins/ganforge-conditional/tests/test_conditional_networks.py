"""Conditional networks: their layers, and that the label enters."""

from __future__ import annotations

import pytest
import torch
from ganforge_conditional.ac_dcgan import AcDcganDiscriminator
from ganforge_conditional.dcgan import ConditionalDcganDiscriminator, ConditionalDcganGenerator
from ganforge_conditional.mlp import ConditionalMlpDiscriminator, ConditionalMlpGenerator
from ganforge_conditional.sizes import halvings
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge.errors import IncompatibleError

MNIST = ImageSpec(1, 28, 28, 10)
CONVOLUTIONAL = (ConditionalDcganGenerator, ConditionalDcganDiscriminator, AcDcganDiscriminator)
GENERATORS = (ConditionalMlpGenerator, ConditionalDcganGenerator)
CONDITIONAL_DISCRIMINATORS = (ConditionalMlpDiscriminator, ConditionalDcganDiscriminator)
DISCRIMINATORS = (*CONDITIONAL_DISCRIMINATORS, AcDcganDiscriminator)

#: Sums over layers, inputs · outputs · kernel + biases; batch norm has two numbers for each channel.
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


def small(cls: type, image: ImageSpec = MNIST, **options: object) -> nn.Module:
    """Build a network in evaluation mode, a convolutional one with few channels."""
    torch.manual_seed(0)
    narrow = {"base_channels": 4} if cls in CONVOLUTIONAL else {}
    made: nn.Module = cls(cls.Options(**narrow, **options), image)
    return made.eval()


def answer(network: nn.Module, given: Tensor, label: int) -> Tensor:
    """Return images or logits, all for one label."""
    with torch.no_grad():
        found: Tensor | DiscriminatorOutput = network(given, torch.full((len(given),), label))
    return found.logits if isinstance(found, DiscriminatorOutput) else found


def given_to(network: nn.Module, count: int = 3) -> Tensor:
    """Return latents for a generator, images for a discriminator."""
    torch.manual_seed(1)
    return torch.randn(count, 100) if isinstance(network, Generator) else torch.rand(count, 1, 28, 28) * 2 - 1


@pytest.mark.parametrize("cls", COUNTS, ids=lambda cls: cls.__name__)
def test_weights_are_those_of_the_textbook_and_of_the_label(cls: type) -> None:
    """At 1×28×28, ten classes and default options the count of weights is the explicit sum over the layers."""
    network = cls(cls.Options(), MNIST)
    assert sum(weight.numel() for weight in network.parameters()) == COUNTS[cls]


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 2)])
@pytest.mark.parametrize("cls", [*GENERATORS, *DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_shapes_follow_the_image(cls: type, size: int, channels: int) -> None:
    """Images are `(N, C, H, W)`, logits `(N,)`, class logits `(N, K)`, features begin with N."""
    network = small(cls, ImageSpec(channels, size, size, 6))
    labels = torch.tensor([0, 5, 2])
    if isinstance(network, Generator):
        assert network(torch.randn(3, 100), labels).shape == (3, channels, size, size)
        return
    judged = network(torch.randn(3, channels, size, size), labels)
    assert judged.logits.shape == (3,)
    assert [len(features) for features in judged.features] == [3]
    if cls is AcDcganDiscriminator:
        assert judged.class_logits.shape == (3, 6)
    else:
        assert judged.class_logits is None


def test_features_are_the_layer_before_the_logit() -> None:
    """At 28 pixels they are 256 numbers of the MLP, and 2·`base_channels` maps of 7×7 of the convolutional ones."""
    images, labels = torch.randn(2, 1, 28, 28), torch.tensor([1, 2])
    shapes = [tuple(small(cls)(images, labels).features[0].shape) for cls in DISCRIMINATORS]
    assert shapes == [(2, 256), (2, 8, 7, 7), (2, 8, 7, 7)]


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_the_label_enters_by_its_embedding(cls: type) -> None:
    """Another label gives every image or logit another value; with the embedding zeroed it gives the same bits."""
    network = small(cls)
    given = given_to(network)
    three, seven = answer(network, given, 3), answer(network, given, 7)
    assert not (three == seven).flatten(1 if three.dim() > 1 else 0).all(-1).any()
    nn.init.zeros_(network.label.table.weight)
    assert torch.equal(answer(network, given, 3), answer(network, given, 7))


@pytest.mark.parametrize("cls", [*GENERATORS, *CONDITIONAL_DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_each_image_has_its_own_label(cls: type) -> None:
    """In a batch of mixed labels each image or logit is what it is in a batch of its label alone."""
    network = small(cls)
    given = given_to(network)
    with torch.no_grad():
        mixed = network(given, torch.tensor([0, 4, 9]))
    mixed = mixed.logits if isinstance(mixed, DiscriminatorOutput) else mixed
    for place, label in enumerate((0, 4, 9)):
        torch.testing.assert_close(mixed[place], answer(network, given, label)[place], rtol=1e-4, atol=1e-5)


def test_the_auxiliary_classifier_does_not_see_the_label() -> None:
    """AC-GAN's discriminator says the same whatever label it is given, or none; its judgement carries the label."""
    network, images = small(AcDcganDiscriminator), torch.randn(2, 1, 28, 28)
    assert isinstance(network, Discriminator)
    assert network.conditional
    labels = torch.tensor([3, 7])
    one, two = network.judge(images, labels), network.judge(images, labels.flip(0))
    assert torch.equal(one.logits, two.logits)
    assert torch.equal(one.class_logits, two.class_logits)
    assert torch.equal(one.logits, network(images).logits)
    assert torch.equal(one.labels, labels)


def test_the_labels_maps_are_even() -> None:
    """What stands beside the image's channels is the label's embedding, the same at every pixel."""
    network = small(ConditionalDcganDiscriminator, label_dim=3)
    caught: list[Tensor] = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    images, labels = torch.randn(2, 1, 28, 28), torch.tensor([8, 5])
    network(images, labels)
    assert torch.equal(caught[0][:, :1], images)
    assert torch.equal(caught[0][:, 1:], network.label.table.weight[labels].view(2, 3, 1, 1).expand(2, 3, 28, 28))


def test_the_projection_is_a_transposed_convolution() -> None:
    """The matrix product of latents and label is ConvTranspose2d of one pixel, to 1e-6."""
    network = small(ConditionalDcganGenerator)
    caught: list[Tensor] = []
    network.layers.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    z, labels = torch.randn(4, 100), torch.tensor([0, 1, 2, 3])
    network(z, labels)
    both = torch.cat([z, network.label.table.weight[labels]], 1)
    torch.testing.assert_close(caught[0], network.project(both.view(4, 110, 1, 1)), rtol=1e-6, atol=1e-6)


def test_dropout_follows_every_hidden_layer_and_spares_the_features() -> None:
    """The MLP drops half of each hidden layer, the last one after its features are taken."""
    network = small(ConditionalMlpDiscriminator)
    kinds = [type(layer).__name__ for part in (network.trunk, network.head) for layer in part]
    assert kinds == [*["Linear", "LeakyReLU", "Dropout"] * 3, "Linear", "Flatten"]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 3
    assert isinstance(network.trunk[-1], nn.LeakyReLU)


def test_normal_init_is_dcgans() -> None:
    """With init=normal filters are N(0, 0.02) and batch norm's scales N(1, 0.02); embeddings stay."""
    for cls in CONVOLUTIONAL:
        torch.manual_seed(0)
        network = cls(cls.Options(init="normal", base_channels=32), MNIST).requires_grad_(False)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.numel() > 1000:
                assert abs(float(layer.weight.std()) - 0.02) < 0.002
            if isinstance(layer, nn.BatchNorm2d):
                assert 0.005 < float(layer.weight.std()) < 0.04
                assert abs(float(layer.weight.mean()) - 1) < 0.02
            if isinstance(layer, nn.Embedding):
                assert 0.7 < float(layer.weight.std()) < 1.3


def test_a_conditional_network_asks_for_its_labels() -> None:
    """Called without labels it says so, rather than fail inside of torch."""
    for cls in (*GENERATORS, *CONDITIONAL_DISCRIMINATORS):
        network = small(cls)
        with pytest.raises(IncompatibleError, match="without labels"):
            network(given_to(network), None)


@pytest.mark.parametrize("cls", [*GENERATORS, *DISCRIMINATORS], ids=lambda cls: cls.__name__)
def test_without_classes_it_can_be_built_to_be_refused(cls: type) -> None:
    """For data without labels it is built, and says that it takes labels: that is what ganforge then refuses."""
    assert small(cls, ImageSpec(1, 28, 28)).conditional is True


def test_sizes_halve_to_a_base_of_4_to_7() -> None:
    """Halvings are those that an exhaustive search finds, at least one."""
    for side in range(1, 300):
        found = [count for count in range(1, 9) for base in (4, 5, 6, 7) if base * 2**count == side]
        assert halvings(side) == (found[0] if found else None)


@pytest.mark.parametrize("cls", CONVOLUTIONAL, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    ("height", "width", "nearest"),
    [(30, 30, "28×28 and 32×32"), (100, 100, "96×96 and 112×112"), (5, 5, "8×8"), (28, 56, "56×56 and 64×64")],
)
def test_other_sizes_are_refused_with_the_nearest(cls: type, height: int, width: int, nearest: str) -> None:
    """A size that cannot be halved so is refused before layers are made, with the nearest ones that can."""
    with pytest.raises(IncompatibleError, match=f"(?s){height}×{width}.*{nearest};"):
        cls.check_image(cls.Options(), ImageSpec(1, height, width, 10))
