"""Updates of a small MLP GAN by the engine, without a run."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ganforge.data.loader import EpochSampler, InMemoryLoader
from ganforge.training.build import GANComponents
from ganforge.training.precision import Precision
from ganforge.training.setup import setup_training
from ganforge.training.step import GANStep
from ganforge.utils.devices import float32_matmul

Assemble = Callable[..., GANComponents]
CPU = torch.device("cpu")
MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[32]", "disc.hidden=[32]", "disc.dropout=0.0")


def loader_of(gan: GANComponents) -> InMemoryLoader:
    """Return the loader of the training images in the order of the seed."""
    images = gan.images("train")
    assert images is not None
    experiment = gan.resolved.experiment
    sampler = EpochSampler(len(images), batch_size=experiment.batch_size, seed=experiment.seed)
    return InMemoryLoader(images, sampler, CPU)


def stepped(gan: GANComponents, count: int, precision: Precision = "fp32") -> GANStep:
    """Take steps with the engine's own updates."""
    gan_step, _ = setup_training(gan, device=CPU, precision=precision)
    take_steps(gan_step, count)
    return gan_step


def take_steps(gan_step: GANStep, count: int) -> None:
    """Take the first steps of a training."""
    gan = gan_step.gan
    loader = loader_of(gan)
    with float32_matmul(), torch.random.fork_rng(devices=[]):
        for index in range(count):
            for phase in ("disc", "gen"):
                gan_step.last_stats |= gan_step.update(phase, loader.batch(index), index, index)


def difference(ours: GANComponents, theirs: GANComponents) -> float:
    """Return how far apart the weights of two assemblies lie."""
    pairs = [
        *zip(ours.generator.parameters(), theirs.generator.parameters(), strict=True),
        *zip(ours.discriminator.parameters(), theirs.discriminator.parameters(), strict=True),
    ]
    return max(float((mine.double() - other.double()).detach().abs().max()) for mine, other in pairs)
