"""The two network updates, each from a batch to a row of numbers on the device.

As the textbook has them, unless settings say otherwise: fresh latents for each, real and fake images judged separately
where that makes a difference, fakes detached in the discriminator's update. In the generator's the discriminator is
frozen: its gradients would be thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganforge.components import DiscriminatorOutput
from ganforge.data.loader import Batch, to_device
from ganforge.training.build import GANComponents
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.outputs import at_least_float32, frozen, halves, widened
from ganforge.training.precision import Precision, autocast
from ganforge.training.schedule import learning_rate, set_learning_rate
from ganforge.utils.rng import Stream, reseed_layers, stream_rng

Side = Literal["gen", "disc"]
LATENTS: dict[Side, Stream] = {"disc": "latents/discriminator", "gen": "latents/generator"}
DROPOUT: dict[Side, Stream] = {"disc": "dropout/discriminator", "gen": "dropout/generator"}
#: Takes images, labels and latents of one part of a batch; returns the loss and what a row shows of it.
Forward = Callable[[Tensor | None, Tensor | None, Tensor, int, int], tuple[Tensor, Tensor]]
#: Real images that are all the same have no diversity to compare with.
LEAST_DIVERSITY = 1e-12


class Steps:
    """Update one network at a time; `index` counts discriminator updates and `step` generator updates, both from 0.

    Whatever is drawn depends on the seed and these counts alone, so that a resumed run draws the same. A batch is this
    process's share of the whole one; it is computed in `gradient_accumulation` parts, one after the other.
    """

    def __init__(
        self,
        gan: GANComponents,
        *,
        optimizers: dict[Side, Optimizer],
        device: torch.device,
        precision: Precision,
        processes: Processes = ALONE,
    ) -> None:
        self.experiment = gan.resolved.experiment
        self.seed = self.experiment.seed
        self.generator = gan.generator
        self.network = gan.discriminator
        self.loss = gan.loss
        self.penalties = gan.penalties
        self.augmentations = tuple(gan.augmentations.values())
        self.optimizers = optimizers
        self.device = device
        self.precision = precision
        self.processes = processes
        self.total_steps = max(self.experiment.total_steps(gan.info.sizes["train"]), 1)
        #: What every learning rate is multiplied by: rolling back lowers it.
        self.rate_factor = 1.0
        #: What rows show of the last discriminator update; a lazy penalty keeps its number between two applications.
        self.judged = torch.zeros(len(self.columns) - 1, device=device)
        self._rates: dict[Side, float] = {}
        #: What must know that weights and optimisers were restored.
        self.when_restored: list[Callable[[], None]] = [self._rates.clear]
        self._kept_fakes: Tensor | None = None
        self._takes_labels = self.generator.conditional or self.network.conditional
        self._judging_weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        # How a part's loss and an update are computed: `acceleration` puts compiled and recorded forms here.
        self.forward: dict[Side, Forward] = {"disc": self._judge_both, "gen": self._try_to_convince}
        self.passes: dict[Side, Forward] = {"disc": partial(self._pass, "disc"), "gen": partial(self._pass, "gen")}
        self.applies: dict[Side, Callable[[], None]] = {
            "disc": lambda: self._apply("disc"),
            "gen": lambda: self._apply("gen"),
        }

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the numbers that a discriminator update returns, then of that of a generator update."""
        penalties = tuple(f"penalty/{name}" for name in self.penalties)
        return ("loss/discriminator", "score/real", "score/fake", "health/diversity", *penalties, "loss/generator")

    def discriminator(self, batch: Batch, index: int) -> Tensor:
        """Update the discriminator once; return loss, mean scores, diversity and unweighted penalties, `(4 + P,)`."""
        self._set_rate("disc", index // self.experiment.critic_steps * self.experiment.generator_steps)
        rows = self._accumulate("disc", batch, index)
        self._update("disc")
        self.loss.constrain(self.network)
        values = rows[:, : len(self.judged)].mean(0) if len(rows) > 1 else rows[0, : len(self.judged)]
        self.judged.copy_(values)
        if self.augmentations:
            observed = self.processes.gather(rows[:, len(self.judged) :].flatten())
        for augmentation in self.augmentations:
            augmentation.observe(observed)
        return values

    def generator_step(self, batch: Batch, step: int) -> Tensor:
        """Update the generator once, for the batch's labels, and return its loss, `(1,)`."""
        self._set_rate("gen", step)
        with frozen(self._judging_weights):
            rows = self._accumulate("gen", batch, step)
            self._update("gen")
        self._kept_fakes = None
        return rows.mean(0) if len(rows) > 1 else rows[0]

    def _accumulate(self, side: Side, batch: Batch, index: int) -> Tensor:
        """Compute the gradients of one update, part by part; return a row of numbers for each part, `(parts, …)`."""
        parts = self.experiment.gradient_accumulation
        real = batch.images if side == "disc" or self.loss.needs_real else None
        labels = batch.labels if self._takes_labels else None
        latents = self._latents(side, index, len(batch.images))
        parted = (_parted(values, parts) for values in (real, labels, latents))
        rows = []
        for part, (images, given, z) in enumerate(zip(*parted, strict=True)):
            assert z is not None, "there are always latents"  # noqa: S101
            reseed_layers(self.seed, DROPOUT[side], index, self._number(part), device=self.device)
            _, row = self.passes[side](images, given, z, index, part)
            rows.append(row)
        return torch.stack(rows) if parts > 1 else rows[0].unsqueeze(0)

    def _number(self, part: int) -> int:
        """Return the number of a part of this process's among all parts of the whole batch."""
        return self.processes.rank * self.experiment.gradient_accumulation + part

    def _latents(self, side: Side, index: int, count: int) -> Tensor:
        """Draw this process's part of the whole batch's latents, `(N, Z)`, on the CPU: every device gets the same."""
        rng = stream_rng(self.seed, LATENTS[side], index)
        begin = self.processes.rank * count
        drawn = self.generator.sample_latents(self.processes.count * count, rng)[begin : begin + count]
        return drawn.pin_memory() if self.device.type == "cuda" else drawn

    def _pass(
        self, side: Side, images: Tensor | None, labels: Tensor | None, z: Tensor, index: int, part: int
    ) -> tuple[Tensor, Tensor]:
        """Compute a part's loss, and add its gradients to those of the parts before it."""
        total, row = self.forward[side](images, labels, to_device(z, self.device), index, part)
        if part == 0:
            self.optimizers[side].zero_grad(set_to_none=True)
        parts = self.experiment.gradient_accumulation
        (total if parts == 1 else total / parts).backward()  # type: ignore[no-untyped-call]
        return total.detach(), row.detach()

    def _judge_both(
        self, real: Tensor | None, labels: Tensor | None, z: Tensor, index: int, part: int
    ) -> tuple[Tensor, Tensor]:
        """Return the discriminator's whole loss, and its row with the real logits behind it."""
        assert real is not None, "the discriminator always sees real images"  # noqa: S101
        with torch.set_grad_enabled(self.experiment.reuse_fakes), autocast(self.precision, self.device):
            made = self.generator(z, labels if self.generator.conditional else None)
        if self.experiment.reuse_fakes:
            self._kept_fakes = made
        fake = at_least_float32(made.detach())
        with autocast(self.precision, self.device):
            judged_real, judged_fake = self._judge_pair(real, fake, labels, "augment/discriminator", index, part)
        judged_real, judged_fake = widened(judged_real), widened(judged_fake)
        loss = self.loss.discriminator(real=judged_real, fake=judged_fake).mean()
        total, last = loss, self.judged[4:]
        measured = []
        for position, (name, penalty) in enumerate(self.penalties.items()):
            value = self._measure(name, real, fake, labels, index, part)
            if value is not None:
                total = total + penalty.options.weight * penalty.options.every * value
            measured.append(last[position] if value is None else value)
        scores = [judged_real.logits.sigmoid().mean(), judged_fake.logits.sigmoid().mean()]
        diversity = _spread(fake) / _spread(real).clamp_min(LEAST_DIVERSITY)
        row = torch.stack([loss, *scores, diversity, *measured])
        return total, torch.cat([row, judged_real.logits]) if self.augmentations else row

    def _try_to_convince(
        self, images: Tensor | None, labels: Tensor | None, z: Tensor, step: int, part: int
    ) -> tuple[Tensor, Tensor]:
        """Return the generator's loss, and a row that holds it alone."""
        with autocast(self.precision, self.device):
            fake = self._kept_fakes
            if fake is None:
                fake = self.generator(z, labels if self.generator.conditional else None)
            if images is not None:
                judged_real, judged_fake = self._judge_pair(images, fake, labels, "augment/generator", step, part)
                real = widened(judged_real)
            else:
                judged_fake, real = self._judge(fake, labels, "augment/generator", step, part, 1), None
        loss = self.loss.generator(real=real, fake=widened(judged_fake)).mean()
        return loss, loss.reshape(1)

    def _judge_pair(
        self, real: Tensor, fake: Tensor, labels: Tensor | None, stream: Stream, index: int, part: int
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Judge real and fake images apart, or in one call where the discriminator says that this is the same."""
        if not self.network.batch_independent:
            judged_real = self._judge(real, labels, stream, index, part, 0)
            return judged_real, self._judge(fake, labels, stream, index, part, 1)
        images = torch.cat(
            [self._augment(real, stream, index, part, 0), self._augment(fake.to(real.dtype), stream, index, part, 1)]
        )
        twice = None if labels is None or not self.network.conditional else torch.cat([labels, labels])
        return halves(self.network.judge(images, twice), len(real))

    def _judge(
        self, images: Tensor, labels: Tensor | None, stream: Stream, index: int, part: int, which: int
    ) -> DiscriminatorOutput:
        """Augment images and judge them; `which` is 0 for real ones and 1 for fakes."""
        images = self._augment(images, stream, index, part, which)
        return self.network.judge(images, labels if self.network.conditional else None)

    def _augment(self, images: Tensor, stream: Stream, index: int, part: int, which: int) -> Tensor:
        for position, augmentation in enumerate(self.augmentations):
            rng = stream_rng(self.seed, stream, index, self._number(part), which, position)
            images = augmentation(images, rng=rng)
        return images

    def _measure(
        self, name: str, real: Tensor, fake: Tensor, labels: Tensor | None, index: int, part: int
    ) -> Tensor | None:
        """Return a penalty's mean in float32, or None in an update that it is not due in."""
        penalty = self.penalties[name]
        if index % penalty.options.every:
            return None
        rng = stream_rng(self.seed, "penalty", list(self.penalties).index(name), index, self._number(part))
        given = labels if self.network.conditional else None
        return penalty.measure(self.network, real=real, fake=fake, labels=given, rng=rng).mean()

    def _set_rate(self, side: Side, step: int) -> None:
        """Give an optimiser the learning rate of a step, where it has another."""
        options = self.experiment.optimizer.of(side)
        rate = learning_rate(options, step=step, total_steps=self.total_steps) * self.rate_factor
        if self._rates.get(side) != rate:
            set_learning_rate(self.optimizers[side], rate)
            self._rates[side] = rate

    def _update(self, side: Side) -> None:
        """Take one optimiser step along the gradients, averaged over all processes."""
        self.processes.average_gradients(weights_of(self.optimizers[side]))
        self.applies[side]()

    def _apply(self, side: Side) -> None:
        """Clip the gradients where that was asked for, and change the weights."""
        optimizer, longest = self.optimizers[side], self.experiment.optimizer.of(side).clip_norm
        if longest is not None:
            torch.nn.utils.clip_grad_norm_(weights_of(optimizer), longest)
        optimizer.step()


def weights_of(optimizer: Optimizer) -> list[torch.nn.Parameter]:
    """Return the weights that an optimiser changes."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _parted(values: Tensor | None, parts: int) -> Sequence[Tensor | None]:
    """Divide a batch into equal parts; of what there is not, each part has nothing."""
    return [values] * parts if values is None or parts == 1 else values.chunk(parts)


@torch.no_grad()
def _spread(images: Tensor) -> Tensor:
    """Return the images' variance around their mean, summed over pixels, `()`: half the mean squared distance of two.

    As the mean of squares minus the square of the mean: torch's own variance takes ten times as long, and what is lost
    to rounding, a millionth, does not matter to a warning.
    """
    return (images.square().sum() / len(images) - images.mean(0).square().sum()).clamp_min(0)
