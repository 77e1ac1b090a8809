"""The engine against the textbook's loop, written by hand in examples/textbook_gan.py."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganforge.builtin.models.mlp import Dropout, MlpDiscriminator
from ganforge.builtin.optimizers import Adam
from ganforge.data.loader import Batch, EpochSampler, InMemoryLoader
from ganforge.training.build import GANComponents
from ganforge.training.setup import phase_parameters, setup_training
from ganforge.training.step import GANStep
from ganforge.utils.rng import derive_generator, seed_torch
from tests.helpers.runs import ROOT

STEPS = 50
CPU = torch.device("cpu")
SEED = 3


@pytest.fixture(scope="module")
def textbook() -> ModuleType:
    """Return the example as a module."""
    spec = importlib.util.spec_from_file_location("textbook_gan", ROOT / "examples" / "textbook_gan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_logits(logits: Tensor, target: float) -> Tensor:
    """Return the loss as ganforge writes it: the same function of the logits, without a sigmoid in between."""
    return softplus(-logits if target else logits).mean()


def by_hand(
    textbook: ModuleType, gan: GANComponents, model: str, criterion: Callable[..., Tensor]
) -> tuple[nn.Module, nn.Module, list[tuple[float, float]]]:
    """Train the example's networks from the gan's weights, on its batches and latents."""
    generator, discriminator = textbook.networks(model)
    dtype = next(gan.generator.parameters()).dtype
    for mine, theirs in ((generator, gan.generator), (discriminator, gan.discriminator)):
        mine.to(dtype)
        mine.load_state_dict(dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
    loader = loader_of(gan)
    drawn = iter(range(2 * STEPS))

    def latents(count: int) -> Tensor:
        number = next(drawn)  # the discriminator's step first, then the generator's
        network = "generator" if number % 2 else "discriminator"
        rng = derive_generator(SEED, f"latents/{network}", number // 2)
        z = gan.latent.sample(count, gan.generator.latent_dim, rng).to(dtype)
        seed_torch(SEED, f"dropout/{network}", number // 2, 0, device=CPU)
        return z

    batches = (loader.batch(index).images.to(dtype) for index in range(STEPS))
    return generator, discriminator, textbook.train(generator, discriminator, batches, latents, criterion)


def loader_of(gan: GANComponents) -> InMemoryLoader:
    """Return the loader of the training images in the order of the seed."""
    images = gan.images("train")
    assert images is not None
    sampler = EpochSampler(len(images), batch_size=gan.resolved.experiment.batch_size, seed=SEED)
    return InMemoryLoader(images, sampler, CPU)


def by_engine(gan: GANComponents, gan_step: GANStep) -> list[tuple[float, float]]:
    """Train with the engine's updates and return the losses."""
    loader = loader_of(gan)
    dtype = next(gan.generator.parameters()).dtype
    losses = []
    for index in range(STEPS):
        batch = loader.batch(index)
        batch = Batch(batch.images.to(dtype), batch.condition, batch.extras)
        d_loss = gan_step.update("disc", batch, index, index)["loss/discriminator"].item()
        losses.append((d_loss, gan_step.update("gen", batch, index, index)["loss/generator"].item()))
    return losses


def largest_difference(ours: nn.Module, theirs: nn.Module) -> float:
    """Return how far apart the two networks' weights and buffers lie."""
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    return max(float((mine.double() - other.double()).abs().max()) for mine, other in pairs)


class Projection(nn.Module):
    """The one operation of DCGAN that ganforge computes in another way: see test_builtin_models."""

    def __init__(self, convolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.weight = convolution.weight

    def forward(self, z: Tensor) -> Tensor:
        """Return the maps, `(N, C, 7, 7)`, of latents, `(N, Z, 1, 1)`."""
        maps = z.flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return maps.view(len(z), 7, 7, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("model", ["mlp", "dcgan"])
def test_the_engine_is_the_textbook_loop_bit_for_bit(
    model: str, textbook: ModuleType, assemble: Callable[..., GANComponents], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same operations in float32, losses and weights after 50 steps are the same bits, dropout included."""
    networks = textbook.networks

    def same_operations(name: str) -> tuple[nn.Module, nn.Module]:
        generator, discriminator = networks(name)
        if name == "dcgan":
            generator[1] = Projection(generator[1])
        for position, layer in enumerate(discriminator):
            if isinstance(layer, nn.Dropout):
                discriminator[position] = Dropout(layer.p)
        return generator, discriminator

    monkeypatch.setattr(MlpDiscriminator, "batch_independent", False)  # the same in other matrix products: see below
    monkeypatch.setattr(textbook, "networks", same_operations)
    gan = assemble(f"gen={model}", f"disc={model}", f"seed={SEED}", *["batch_size=6"] * (model == "dcgan"))
    with torch.random.fork_rng(devices=[]):
        generator, discriminator, expected = by_hand(textbook, gan, model, on_logits)
        plain = {  # the textbook's own Adam: fusing it rounds in another order, which has its own test
            "gen": torch.optim.Adam(gan.generator.parameters(), lr=0.0002, betas=(0.5, 0.999)),
            "disc": torch.optim.Adam(gan.discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999)),
        }
        phases = phase_parameters(gan)
        losses = by_engine(gan, GANStep(gan, phases=phases, optimizers=plain, device=CPU, precision="fp32"))
    # The engine's loss is the mean of a sum, the textbook's the sum of two means: the value may differ in its last bit.
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-6, atol=0)
    assert largest_difference(gan.generator, generator) == 0
    assert largest_difference(gan.discriminator, discriminator) == 0


@pytest.mark.parametrize(("model", "steps_that_agree"), [("mlp", 50), ("dcgan", 20)])
def test_the_engine_is_the_textbook_loop_in_double_precision(
    model: str,
    steps_that_agree: int,
    textbook: ModuleType,
    assemble: Callable[..., GANComponents],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With sigmoid and BCE against logits, fused Adam and the engine's layouts, only rounding differs.

    The operations differ: log of a sigmoid against softplus, a transposed convolution of one pixel against a matrix
    product, channels last, fused Adam, MLP GAN's real and fake images judged in one call (without dropout here, whose
    draws come in another order then). Each rounds differently, and training amplifies that: Adam divides small
    gradients by their size, and a GAN's two networks drive each other. In float64 DCGAN's losses differ by 1e-15 in the
    first step and ten times as much after every three, measured, so that 20 steps are compared to 1e-7; MLP GAN's 50.
    """
    networks = textbook.networks

    def without_dropout(name: str) -> tuple[nn.Module, nn.Module]:
        generator, discriminator = networks(name)
        layers = [layer for layer in discriminator if not isinstance(layer, nn.Dropout)]
        return generator, nn.Sequential(*layers)

    monkeypatch.setattr(textbook, "networks", without_dropout)
    monkeypatch.setattr(sys.modules[__name__], "STEPS", steps_that_agree)
    own = ["batch_size=6"] if model == "dcgan" else ["disc.dropout=0.0"]
    gan = assemble(f"gen={model}", f"disc={model}", f"seed={SEED}", *own)
    for network in (gan.generator, gan.discriminator):
        network.double()
    gan.latent.sample = doubled(gan.latent.sample)  # type: ignore[method-assign]
    with torch.random.fork_rng(devices=[]):
        generator, discriminator, expected = by_hand(textbook, gan, model, textbook.bce)
        gan_step, _ = setup_training(gan, device=CPU, precision="fp32")
        losses = by_engine(gan, gan_step)
    difference = torch.tensor(losses, dtype=torch.float64) - torch.tensor(expected, dtype=torch.float64)
    assert float(difference.abs().max()) < 1e-7
    assert largest_difference(gan.generator, generator) < 1e-7
    assert largest_difference(gan.discriminator, discriminator) < 1e-7


def doubled(sample: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Draw latents as float64."""
    return lambda *args: sample(*args).double()


def test_fused_adam_is_adam() -> None:
    """The fused optimizer differs from the plain one by rounding alone: 50 steps, 1e-6 relative."""
    weights = [nn.Parameter(torch.randn(300, generator=torch.Generator().manual_seed(1))) for _ in range(2)]
    weights[1].data.copy_(weights[0].data)
    fused = Adam(Adam.Options()).create([("weight", weights[0])])
    plain = torch.optim.Adam([weights[1]], lr=0.0002, betas=(0.5, 0.999))
    assert fused.defaults["fused"] is True
    for number in range(50):
        gradient = torch.randn(300, generator=torch.Generator().manual_seed(number))
        for weight, optimizer in zip(weights, (fused, plain), strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-7)
