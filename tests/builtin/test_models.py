"""The textbook's models and loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge.builtin.losses.bce import Bce
from ganforge.builtin.models.dcgan import DcganDiscriminator, DcganGenerator, halvings
from ganforge.builtin.models.mlp import Dropout, MlpDiscriminator, MlpGenerator
from ganforge.components import ConditionSpec, Discriminator, DiscriminatorOutput, Generator, ImageSpec
from ganforge.errors import IncompatibleError

MNIST = ImageSpec(1, 28, 28, ConditionSpec.classes(10))


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of convolutions and linear layers, in order."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [tuple(layer.weight.shape) for layer in network.modules() if isinstance(layer, kinds)]


def test_mlp_gan_has_the_textbook_layers() -> None:
    """G is 100-256-512-1024-784 with tanh; D is 784-1024-512-256-1 with dropout 0.5 after each hidden layer."""
    generator = MlpGenerator(MlpGenerator.Options(), MNIST)
    discriminator = MlpDiscriminator(MlpDiscriminator.Options(), MNIST)
    assert shapes(generator) == [(256, 100), (512, 256), (1024, 512), (784, 1024)]
    assert shapes(discriminator) == [(1024, 784), (512, 1024), (256, 512), (1, 256)]
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    assert kinds == ["Linear", "LeakyReLU", "Dropout"] * 3 + ["Linear"]
    assert [layer.rate for layer in discriminator.layers if isinstance(layer, Dropout)] == [0.5] * 3
    slopes = [layer.negative_slope for layer in generator.modules() if isinstance(layer, nn.LeakyReLU)]
    assert slopes == [0.2] * 3
    assert isinstance(generator.layers[-1], nn.Tanh)


def test_dcgan_has_the_textbook_layers_at_28_pixels() -> None:
    """G: 100→224→112→1, kernels 7, 4, 4; D: 1→112→224→1, kernels 4, 4, 7; no biases; batch norm as in the textbook."""
    generator = DcganGenerator(DcganGenerator.Options(), MNIST)
    discriminator = DcganDiscriminator(DcganDiscriminator.Options(), MNIST)
    assert shapes(generator) == [(100, 224, 7, 7), (224, 112, 4, 4), (112, 1, 4, 4)]
    assert shapes(discriminator) == [(112, 1, 4, 4), (224, 112, 4, 4), (1, 224, 7, 7)]
    convolutions = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.stride[0], layer.padding[0]) for layer in convolutions] == [(2, 1), (2, 1), (1, 0)]
    for network in (generator, discriminator):
        names = [name for name, _ in network.named_parameters() if name.endswith("bias")]
        norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert len(names) == len(norms) == 2  # the only biases are batch norm's
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    assert kinds == ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2 + ["Conv2d", "Flatten"]


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 2), (128, 1), (96, 4)])
def test_dcgan_fits_every_size_that_halves(size: int, channels: int) -> None:
    """G returns images of the size, and D one logit per image."""
    image = ImageSpec(channels, size, size)
    generator = DcganGenerator(DcganGenerator.Options(base_channels=2, latent_dim=5), image)
    discriminator = DcganDiscriminator(DcganDiscriminator.Options(base_channels=2), image)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, channels, size, size)
    assert discriminator(images).logits.shape == (3,)
    widths = [layer.num_features for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert widths == [2 * 2**level for level in range(len(widths))][::-1]  # doubling towards the base


@pytest.mark.parametrize(("size", "nearest"), [(30, "28×28 or 32×32"), (100, "96×96 or 112×112"), (5, "8×8")])
def test_dcgan_names_the_nearest_sizes(size: int, nearest: str) -> None:
    """Sizes that cannot be halved to 4 to 7 pixels are refused before layers are created, with the nearest that can."""
    image = ImageSpec(1, size, size)
    with pytest.raises(IncompatibleError, match=nearest):
        DcganGenerator.check_image(DcganGenerator.Options(), image)
    with pytest.raises(IncompatibleError, match=nearest):
        DcganDiscriminator.check_image(DcganDiscriminator.Options(), image)


def test_oblong_images_whose_sides_halve_equally_often() -> None:
    """32×48 has a base of 4×6; 28×56 is refused."""
    image = ImageSpec(3, 32, 48)
    images = DcganGenerator(DcganGenerator.Options(base_channels=2), image)(torch.randn(2, 100))
    assert images.shape == (2, 3, 32, 48)
    with pytest.raises(IncompatibleError, match="28×56"):
        DcganGenerator.check_image(DcganGenerator.Options(), ImageSpec(1, 28, 56))


def test_halvings_end_at_a_base_of_4_to_7() -> None:
    """The base map is the size halved until it is 4 to 7 wide; there is at least one halving."""
    assert {size: halvings(size) for size in (8, 14, 28, 32, 64, 128)} == {8: 1, 14: 1, 28: 2, 32: 3, 64: 4, 128: 5}
    assert all(halvings(size) is None for size in (1, 3, 4, 7, 9, 30, 36 + 2, 100))


def test_the_projection_is_the_textbook_transposed_convolution() -> None:
    """The matrix product equals ConvTranspose2d of one pixel: values to 1e-6, gradients to 1e-5 relative."""
    generator = DcganGenerator(DcganGenerator.Options(base_channels=8), MNIST).train()
    z = torch.randn(6, 100)
    inputs: list[Tensor] = []
    generator.layers.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    generator(z)
    (projected,) = inputs
    convolved = generator.project(z.view(6, 100, 1, 1))
    torch.testing.assert_close(projected, convolved, rtol=1e-6, atol=1e-6)
    upstream = torch.randn_like(projected)
    ours, theirs = (
        torch.autograd.grad(out, generator.project.weight, upstream, retain_graph=True)[0]
        for out in (projected, convolved)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_normal_init_is_dcgans() -> None:
    """With init=normal, weights of convolutions are N(0, 0.02) and scales of batch norm N(1, 0.02)."""
    torch.manual_seed(0)
    network = DcganDiscriminator(DcganDiscriminator.Options(init="normal"), MNIST).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 1000:
            assert abs(float(layer.weight.std()) - 0.02) < 0.002
        if isinstance(layer, nn.BatchNorm2d):
            assert abs(float(layer.weight.mean()) - 1) < 0.02


def test_bce_is_binary_cross_entropy_on_probabilities() -> None:
    """On logits it equals BCE on their sigmoids: D's terms summed, G's non-saturating."""
    real, fake = torch.linspace(-4, 4, 9), torch.linspace(3, -5, 9)
    loss, bce = Bce(Bce.Options()), nn.functional.binary_cross_entropy
    one, zero = torch.ones(9), torch.zeros(9)
    expected = bce(real.sigmoid(), one, reduction="none") + bce(fake.sigmoid(), zero, reduction="none")
    outputs = {"real": DiscriminatorOutput(real), "fake": DiscriminatorOutput(fake)}
    torch.testing.assert_close(loss.discriminator_loss(**outputs), expected, rtol=1e-5, atol=1e-6)
    expected = bce(fake.sigmoid(), one, reduction="none")
    torch.testing.assert_close(loss.generator_loss(**outputs), expected, rtol=1e-5, atol=1e-6)


def test_bce_of_several_logits_per_image() -> None:
    """Logits `(N, K)` give values `(N, K)`, each that of its logit alone."""
    real, fake = torch.linspace(-4, 4, 12).view(4, 3), torch.linspace(3, -5, 12).view(4, 3)
    loss = Bce(Bce.Options())
    for values in (loss.discriminator_loss, loss.generator_loss):
        together = values(real=DiscriminatorOutput(real), fake=DiscriminatorOutput(fake))
        alone = values(real=DiscriminatorOutput(real.flatten()), fake=DiscriminatorOutput(fake.flatten()))
        torch.testing.assert_close(together, alone.view(4, 3))


def test_bce_is_finite_at_large_logits() -> None:
    """At logits of ±1e4, values are 0 or 1e4 for each term, never infinite."""
    far = torch.tensor([1e4, -1e4])
    values = Bce(Bce.Options()).discriminator_loss(real=DiscriminatorOutput(far), fake=DiscriminatorOutput(-far))
    torch.testing.assert_close(values, torch.tensor([0.0, 2e4]))


@pytest.mark.parametrize("cls", [MlpGenerator, DcganGenerator, MlpDiscriminator, DcganDiscriminator])
def test_textbook_networks_ignore_conditions(cls: Any) -> None:
    """They are not conditional, and a condition changes no bit of their output."""
    network = cls(cls.Options(), MNIST).eval()
    assert not network.conditional
    inputs = torch.rand(2, 100) if isinstance(network, Generator) else torch.rand(2, *MNIST.shape)
    plain, given = network(inputs), network(inputs, torch.tensor([3, 7]))
    if isinstance(network, Discriminator):
        plain, given = plain.logits, given.logits
    assert torch.equal(plain, given)
