"""The two network steps, each a whole function from a batch to a row of numbers on the device.

As the textbook has them: fresh latents for each, real and fake images judged separately, fakes detached in the
discriminator's step. In the generator's step the discriminator is frozen: its gradients would be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganforge.assembly import Assembly
from ganforge.engine.feed import Batch
from ganforge.engine.precision import Precision, autocast
from ganforge.interfaces import Discriminator, Judgement
from ganforge.randomness import reseed_layers, stream_rng


class Steps:
    """Update one network at a time; `index` counts discriminator updates and `step` generator updates, both from 0.

    Whatever is drawn depends on the seed and these counts alone, so that a resumed run draws the same.
    """

    def __init__(
        self,
        assembly: Assembly,
        *,
        optimizers: dict[str, Optimizer],
        device: torch.device,
        precision: Precision,
    ) -> None:
        self.seed = assembly.resolution.experiment.seed
        self.generator = assembly.generator
        self.network = assembly.discriminator
        self.loss = assembly.loss
        self.penalties = assembly.penalties
        self.augmentations = tuple(assembly.augmentations.values())
        self.optimizers = optimizers
        self.device = device
        self.precision = precision
        #: Each penalty's last mean: between two applications of a lazy one, rows show the one before.
        self.measured = {name: torch.zeros((), device=device) for name in self.penalties}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the numbers that a discriminator step returns, then of those of a generator step."""
        penalties = tuple(f"penalty/{name}" for name in self.penalties)
        return ("loss/discriminator", "score/real", "score/fake", *penalties, "loss/generator")

    def latents(self, count: int, stream: str, index: int) -> Tensor:
        """Draw latents, `(N, Z)`, on the CPU, so that every device gets the same ones."""
        rng = stream_rng(self.seed, f"latents/{stream}", index)  # type: ignore[arg-type]
        return self.generator.sample_latents(count, rng).to(self.device, non_blocking=True)

    def discriminator(self, batch: Batch, index: int) -> Tensor:
        """Update the discriminator once and return its loss, mean scores, and unweighted penalties, `(3 + P,)`."""
        real, labels = batch.images, batch.labels
        z = self.latents(len(real), "discriminator", index)
        reseed_layers(self.seed, "dropout/discriminator", index, device=self.device)
        with torch.no_grad(), autocast(self.precision, self.device):
            fake = self.generator(z, labels if self.generator.takes_labels else None)
        fake = at_least_float32(fake)
        with autocast(self.precision, self.device):
            judged_real = self.judge(real, labels, "augment/discriminator", index, 0)
            judged_fake = self.judge(fake, labels, "augment/discriminator", index, 1)
        judged_real, judged_fake = widened(judged_real), widened(judged_fake)
        loss = self.loss.discriminator(real=judged_real, fake=judged_fake).mean()
        total = loss
        for name, penalty in self.penalties.items():
            value = self.measure(name, real, fake, labels, index)
            if value is not None:
                total = total + penalty.options.weight * penalty.options.every * value
                self.measured[name] = value.detach()
        self.update("disc", total)
        self.loss.constrain(self.network)
        for augmentation in self.augmentations:
            augmentation.observe(judged_real.logits.detach())
        values = [loss, judged_real.logits.sigmoid().mean(), judged_fake.logits.sigmoid().mean()]
        return torch.stack([*values, *self.measured.values()]).detach()

    def generator_step(self, batch: Batch, step: int) -> Tensor:
        """Update the generator once, for the batch's labels, and return its loss, `(1,)`."""
        labels = batch.labels
        z = self.latents(len(batch.images), "generator", step)
        reseed_layers(self.seed, "dropout/generator", step, device=self.device)
        with frozen(self.network):
            with autocast(self.precision, self.device):
                fake = self.generator(z, labels if self.generator.takes_labels else None)
                judged_fake = self.judge(fake, labels, "augment/generator", step, 1)
                judged_real = (
                    self.judge(batch.images, labels, "augment/generator", step, 0) if self.loss.needs_real else None
                )
            real = None if judged_real is None else widened(judged_real)
            loss = self.loss.generator(real=real, fake=widened(judged_fake)).mean()
            self.update("gen", loss)
        return loss.detach().reshape(1)

    def judge(self, images: Tensor, labels: Tensor | None, stream: str, *index: int) -> Judgement:
        """Augment images and judge them."""
        for position, augmentation in enumerate(self.augmentations):
            images = augmentation(images, rng=stream_rng(self.seed, stream, *index, position))  # type: ignore[arg-type]
        return self.network.judge(images, labels if self.network.takes_labels else None)

    def measure(self, name: str, real: Tensor, fake: Tensor, labels: Tensor | None, index: int) -> Tensor | None:
        """Return a penalty's mean in float32, or None in an update that it is not due in."""
        penalty = self.penalties[name]
        if index % penalty.options.every:
            return None
        rng = stream_rng(self.seed, "penalty", list(self.penalties).index(name), index)
        given = labels if self.network.takes_labels else None
        return penalty.measure(self.network, real=real, fake=fake, labels=given, rng=rng).mean()

    def update(self, network: str, loss: Tensor) -> None:
        """Take one optimiser step along a loss's gradient."""
        optimizer = self.optimizers[network]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@contextmanager
def frozen(network: Discriminator) -> Iterator[None]:
    """Compute no gradients for a network's weights for a while."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def widened(judgement: Judgement) -> Judgement:
    """Return a judgement in float32 or wider: losses are computed so, whatever the networks' precision is."""
    class_logits = None if judgement.class_logits is None else at_least_float32(judgement.class_logits)
    features = tuple(map(at_least_float32, judgement.features))
    return Judgement(at_least_float32(judgement.logits), judgement.labels, class_logits, features)


def at_least_float32(values: Tensor) -> Tensor:
    """Return low-precision numbers as float32, and others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
