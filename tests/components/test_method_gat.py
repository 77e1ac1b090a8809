"""Laws of GAT's objective in tests/methods/gat.py: noise of levels, replayed parameters, finite differences."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganforge import ImageSpec, TrainStep
from ganforge.components import ConditionSpec
from ganforge.plugins.local import load_local
from ganforge.training.build import build
from ganforge.training.setup import setup_training
from tests.helpers.methods_worker import FOLDER, METHODS

IMAGE = ImageSpec(4, 8, 8, ConditionSpec.classes(3), "float32")


@pytest.fixture(scope="module")
def gat() -> ModuleType:
    """Return the plugin."""
    return load_local(FOLDER / "gat.py")[0]


def make_step(gat: ModuleType, count: int = 6, phase: str = "disc", **changes: Any) -> TrainStep:
    """Return a step by hand, in which the other network is frozen, as the engine does it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = gat.GatGenerator(gat.GatGenerator.Options(), IMAGE)
        discriminator = gat.GatDiscriminator(gat.GatDiscriminator.Options(), IMAGE)
    (generator if phase == "disc" else discriminator).requires_grad_(requires_grad=False)
    augmentations = {
        "shift-flip": gat.ShiftFlip(gat.ShiftFlip.Options()),
        "level-noise": gat.LevelNoise(gat.LevelNoise.Options()),
    }
    rng = torch.Generator().manual_seed(1)
    given = {
        "phase": phase,
        "step": 0,
        "progress": 0.0,
        "images_seen": 0,
        "real": torch.randn(count, 4, 8, 8, generator=rng),
        "z": torch.randn(count, generator.latent_dim, generator=rng),
        "condition": torch.arange(count) % 3,
        "modules": {"generator": generator, "discriminator": discriminator, **augmentations},
        "augmentations": augmentations,
        "derive_rng": lambda name: torch.Generator().manual_seed(sum(name.encode())),
    }
    return TrainStep(**{**given, **changes})


def strengths(gat: ModuleType) -> list[float]:
    """Return t of each level, the noisiest first."""
    return [1 - 0.125 ** (1 - level / (gat.LEVELS - 1)) + 0.01 for level in range(gat.LEVELS)]


def test_level_noise_has_the_marginals_of_a_chain(gat: ModuleType) -> None:
    """Level k is (1 - t)·x + n with Var n = t², and its noise is that of the cleaner level, scaled, plus a new one."""
    noise = gat.LevelNoise(gat.LevelNoise.Options())
    step = make_step(gat, 4000)
    image = torch.full((4000, 4, 8, 8), 3.0)
    noisy = noise.augment(image, noise.sample_parameters(image, step, real=True))
    t = strengths(gat)
    assert t == pytest.approx([0.885, 0.76, 0.51, 0.01])
    noises = [level - (1 - strength) * image for level, strength in zip(noisy, t, strict=True)]
    for values, strength in zip(noises, t, strict=True):
        assert float(values.std()) == pytest.approx(strength, rel=0.01)
    for noisier, cleaner, (high, low) in zip(noises, noises[1:], pairwise(t), strict=False):
        ratio = (1 - high) / (1 - low)
        added = noisier - ratio * cleaner
        assert float(added.var()) == pytest.approx(high**2 - (ratio * low) ** 2, rel=0.02)
        assert abs(float((added * cleaner).mean())) < 0.01 * high * max(low, 0.1)


def test_each_level_adds_its_head(gat: ModuleType) -> None:
    """The image is the last level, and fakes go to the discriminator as all levels."""
    step = make_step(gat)
    levels = step.fake_input
    assert isinstance(levels, tuple)
    assert len(levels) == gat.LEVELS
    assert torch.equal(levels[-1], step.fake)
    assert all(not torch.equal(one, other) for one, other in pairwise(levels))


@pytest.mark.parametrize("real", [True, False])
def test_parameters_are_replayed_to_the_bit(gat: ModuleType, *, real: bool) -> None:
    """The same images with the same parameters get the same logits; with new noise they do not."""
    step = make_step(gat)
    images = step.real if real else step.fake_input
    parameters = step.real_parameters if real else step.fake_parameters
    first = (step.real_output if real else step.fake_output).logits
    torch.testing.assert_close(step.discriminate(images, parameters=parameters).logits, first, rtol=0, atol=1e-6)
    assert not torch.allclose(step.discriminate(images, real=real).logits, first, rtol=0, atol=1e-4)


def squared_slopes(step: TrainStep, inputs: tuple[Tensor, ...], parameters: Any) -> Tensor:
    """Return |∇D|² by automatic differentiation, summed over levels, `(N,)`."""
    leaves = tuple(values.detach().requires_grad_() for values in inputs)
    logits = step.discriminate(leaves if len(leaves) > 1 else leaves[0], parameters=parameters).logits
    slopes = torch.autograd.grad(logits.sum(), leaves)
    return torch.stack([slope.square().flatten(1).sum(1) for slope in slopes]).sum(0)


@pytest.mark.parametrize("name", ["R1", "R2"])
def test_finite_differences_estimate_the_squared_gradient(gat: ModuleType, name: str) -> None:
    """The mean is that of |∇D|²: with one change for all levels of a real image, and one for each level of a fake."""
    step = make_step(gat, 1500)
    term = getattr(gat, f"Finite{name}")(getattr(gat, f"Finite{name}").Options(sigma=1e-3))
    with torch.no_grad():
        estimate = float(term(step).mean())
    inputs: Any = (step.real,)
    parameters = step.real_parameters
    if name == "R2":
        inputs, parameters = step.fake_input, step.fake_parameters
    assert estimate == pytest.approx(float(squared_slopes(step, inputs, parameters).mean()), rel=0.15)


def test_pictures_move_as_their_latents_do(gat: ModuleType) -> None:
    """Shift and flip commute with enlargement: the encoder's picture moves by the same share of its side."""
    augmentation = gat.ShiftFlip(gat.ShiftFlip.Options())
    step = make_step(gat, 64)
    parameters = augmentation.sample_parameters(step.real, step, real=True)
    large = interpolate(step.real, scale_factor=4)
    assert torch.equal(
        augmentation(large, parameters), interpolate(augmentation(step.real, parameters), scale_factor=4)
    )
    assert not torch.equal(augmentation(large, parameters), large)


def test_generator_update_gives_the_discriminator_no_gradient(gat: ModuleType) -> None:
    """The relativistic loss compares with real images, but in the generator's update only G gets a gradient."""
    step = make_step(gat, phase="gen")
    gat.Paired(gat.Paired.Options())(step).mean().backward()
    assert all(weight.grad is None for weight in step.discriminator.parameters())
    assert all(weight.grad is not None for weight in step.generator.get_submodule("blocks").parameters())


def test_learning_rates_follow_width_and_name() -> None:
    """The rate is lr · 768 / width, a hundredth of it for mapping networks, also after the engine has set it."""
    gan = build(METHODS["gat"].resolve("optimizer.gen.lr=0.0002", "optimizer.gen.warmup_steps=4"))
    gan_step, _ = setup_training(gan, device=torch.device("cpu"), precision="fp32")
    optimizer = gan_step.phases["gen"].optimizer
    gan_step.schedules.apply("gen", optimizer, 1)
    full = 2e-4 * 768 / 32 * 2 / 4
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([full, full / 100])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(gan.generator.parameters()))
