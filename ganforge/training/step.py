"""The training step: one update per phase (Goodfellow et al. 2014, algorithm 1).

A phase updates one set of weights: `disc` the discriminator's, `gen` the generator's, others those that `optimized_in`
assigns to them. An update of a phase, without gradient accumulation, is::

    z = latent.sample(N, Z, rng)                             # GANStep.update
    loss = sum(weight * term(step).mean() for each term)     # GANStep.loss: D(x), G(z), D(G(z))
    loss.backward()                                          # GANStep.gradients
    optimizer.step()                                         # GANStep.optimize

The adversarial loss is a term as well. Terms read `step.real_output` and `step.fake_output`; components/train_step.py
runs the two networks when a term first reads an output, so that no term pays for what it does not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import GeneratorOutput, LossTerm, TrainStep
from ganforge.data.loader import Batch, to_device
from ganforge.training.build import GANComponents
from ganforge.training.completed_step import CompletedStep
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.optim import Schedules, check_grad_enabled, frozen
from ganforge.training.precision import LossScaler, Precision, autocast
from ganforge.training.random_draws import DrawTape, StepRandom, StepRandomness
from ganforge.training.stats import Stats, column, discriminator_stats, log_into, mean_stats


class Part(NamedTuple):
    """One of the `gradient_accumulation` equal parts of a batch, with latents `(N, Z)`."""

    batch: Batch
    z: Tensor


@dataclass(frozen=True, slots=True)
class Update:
    """One step of a phase's optimizer.

    Attributes:
        index: Index of the phase's batch, from 0.
        step: Index of the training step, from 0.
        factors: Terms that are due, with `weight` times `every`; a tensor if it is scheduled.
        own_step: True for a step that terms have for themselves, without the adversarial loss.
    """

    index: int
    step: int
    factors: Mapping[str, float | Tensor]
    own_step: bool = False


#: Part and its index → its loss, `()`, its stats, and the `TrainStep` that its terms received.
LossFunction: TypeAlias = Callable[[Part, Update, int], tuple[Tensor, Stats, TrainStep]]
#: Stats and `TrainStep` of each part.
UpdateResult: TypeAlias = list[tuple[Stats, TrainStep]]


@dataclass(slots=True)
class Phase:
    """One set of weights, by name, its optimizer, and the functions that update it.

    Attributes:
        others: Weights of the other phases, which get no gradient.
        loss_fn: `GANStep.loss`, or its compiled form.
        update_fn: `GANStep.optimize`, or its recorded form.
    """

    name: str
    parameters: dict[str, nn.Parameter]
    optimizer: Optimizer
    scaler: LossScaler
    others: list[nn.Parameter]
    loss_fn: LossFunction
    update_fn: Callable[[Sequence[Part], Update], UpdateResult]
    clip_norm: float | None = None

    def clip(self) -> None:
        """Clip the gradients, if configured."""
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.clip_norm)

    def apply(self) -> None:
        """Clip the gradients and run the optimizer's step, which float16 skips if they overflowed."""
        self.scaler.step(self.optimizer, self.clip)


class GANStep:
    """Updates of all phases. Each rank has its share of a batch and computes it in `gradient_accumulation` parts.

    Attributes:
        phases: Phases by name, in the order of their updates.
        last_stats: Last value of each column, since lazy terms have none in most updates.
        on_restore: Functions that discard recorded updates, called after a restore and when a stage changes.
        tape: Draws of the update that is being recorded, or None.
    """

    def __init__(
        self,
        gan: GANComponents,
        *,
        phases: Mapping[str, dict[str, nn.Parameter]],
        optimizers: Mapping[str, Optimizer],
        device: torch.device,
        precision: Precision,
        dist: DistContext = SINGLE_PROCESS,
    ) -> None:
        self.gan = gan
        self.experiment = gan.resolved.experiment
        self.modules = gan.modules()
        self.terms: dict[str, LossTerm] = gan.all_terms
        self.device = device
        self.precision: Precision = precision
        self.dist = dist
        self.total_steps = max(self.experiment.total_steps(gan.info.sizes["train"]), 1)
        self.schedules = Schedules(gan.resolved, self.total_steps)
        self.random = StepRandom(gan, device, dist)
        self.phases: dict[str, Phase] = {}
        for name, weights in phases.items():
            self.schedules.register(name, optimizers[name])
            # With `reuse_fakes`, the generator's update needs the graph of the fakes of the discriminator's update.
            trained = {"disc", "gen"} if name == "disc" and self.experiment.reuse_fakes else {name}
            others = [weight for other in phases if other not in trained for weight in phases[other].values()]
            scaler = LossScaler(precision, device)
            loss_fn, update_fn = partial(self.loss, name), partial(self.optimize, name)
            self.phases[name] = Phase(name, weights, optimizers[name], scaler, others, loss_fn, update_fn)
        self.reweighting = {(term, name): gan.reweighting_terms(term, name) for term in self.terms for name in phases}
        self.last_stats: Stats = {}
        self.on_restore: list[Callable[[], None]] = []
        self.tape: DrawTape | None = None
        self._reused_fakes: tuple[GeneratorOutput, Tensor] | None = None
        self._stages: dict[str, object] = {}

    # One step, from the outside in

    def update_all(self, batches: Mapping[str, Sequence[Batch]], step: int) -> None:
        """Update every phase with each of its batches; the discriminator may have several."""
        for name in self.phases:
            first = self.experiment.batches(step) if name == "disc" else step
            for index, batch in enumerate(batches[name], start=first):
                self.last_stats |= self.update(name, batch, index, step)

    def update(self, name: str, batch: Batch, index: int, step: int) -> Stats:
        """Update a phase with this rank's share of its `index`-th batch, and return the stats."""
        phase = self.phases[name]
        self.set_stages(step)
        self.schedules.apply(name, phase.optimizer, step)
        phase.clip_norm = self.schedules.clip_norm(name, step)
        factors = self.schedules.term_factors(self.gan, name, index, step, self.device)
        if not factors:
            return {}
        with frozen(phase.others):  # a latent distribution may be trained in another phase
            z = self.random.latents(name, index, len(batch.images))
        count = self.experiment.gradient_accumulation
        parts = [Part(*part) for part in zip(batch.chunk(count), z.chunk(count), strict=True)]
        stats: Stats = {}
        for own_step in (False, True):
            due = {term: factor for term, factor in factors.items() if self.terms[term].options.own_step is own_step}
            if not due:
                continue
            update = Update(index, step, due, own_step=own_step and "loss" not in due)
            with frozen(phase.others):
                results = phase.update_fn(parts, update)
            stats |= mean_stats([part_stats for part_stats, _ in results]) | phase.scaler.stats(name)
            self._after_step(name, update, [train_step for _, train_step in results], stats)
            if name == "gen":
                self._reused_fakes = None
        return stats

    def optimize(self, name: str, parts: Sequence[Part], update: Update) -> UpdateResult:
        """Compute the gradients of all parts and run the optimizer's step."""
        phase = self.phases[name]
        if not self.gan.resolved.optimizers[name].cls.needs_closure:
            _, results = self.gradients(phase, parts, update)
            phase.apply()
            return results
        results = []

        def closure() -> Tensor:
            loss, results[:] = self.gradients(phase, parts, update)
            while phase.scaler.must_repeat(phase.optimizer):
                loss, results[:] = self.gradients(phase, parts, update)
            phase.clip()
            return loss

        phase.optimizer.step(closure)  # type: ignore[arg-type]  # torch's type wants a float; a tensor is usual
        return results

    def gradients(
        self, phase: Phase, parts: Sequence[Part], update: Update, *, recorded: bool = False
    ) -> tuple[Tensor, UpdateResult]:
        """Set the gradients of a phase's weights to the mean over parts and ranks, times the scale in float16.

        If `recorded`, the `UpdateRecorder` seeds layers and averages over ranks instead. Returns the mean loss, `()`,
        and the results of all parts.
        """
        phase.optimizer.zero_grad(set_to_none=True)
        results, losses = [], []
        for part_index, part in enumerate(parts):
            if not recorded:
                self.random.seed_layers(phase.name, update.index, part_index)
            loss, stats, train_step = phase.loss_fn(part, update, part_index)
            check_grad_enabled()
            if loss.requires_grad:
                phase.scaler.scale(loss if len(parts) == 1 else loss / len(parts)).backward()
            losses.append(loss.detach())
            results.append((stats, train_step))
        if not recorded:
            self.dist.all_reduce_gradients(phase.parameters.values())
        return torch.stack(losses).mean(), results

    def loss(self, name: str, part: Part, update: Update, part_index: int) -> tuple[Tensor, Stats, TrainStep]:
        """Return the loss of a part of a batch, `()`, its stats, and the `TrainStep` that its terms received."""
        randomness = self.random.mode(len(part.z), part_index, self.tape)
        if part.z.requires_grad:  # trained latents: each part and each call of a closure needs a graph of its own
            parts = self.experiment.gradient_accumulation
            z = self.random.latents(name, update.index, parts * len(part.z)).chunk(parts)[part_index]
            part = Part(part.batch, z)
        stats: Stats = {}
        train_step = self.train_step(name, part, update, randomness, stats)
        with randomness or nullcontext():
            terms = [self._term(term, train_step, factor, stats) for term, factor in update.factors.items()]
        if name == "disc" and not update.own_step:
            stats |= discriminator_stats(train_step)
        return reduce(add, terms), stats, train_step

    def _term(self, term_name: str, train_step: TrainStep, factor: float | Tensor, stats: Stats) -> Tensor:
        """Return the mean of a term, reweighted by other terms, times its factor; log its unweighted mean."""
        train_step.use_rng(f"term/{term_name}")
        term, phase_name = self.terms[term_name], train_step.phase
        values: Tensor = term(train_step)
        stats[column(term_name, term, phase_name)] = values.detach().mean()
        if values.ndim:
            for other_name, other in self.reweighting[term_name, phase_name].items():
                train_step.use_rng(f"reweight/{other_name}/{term_name}")
                ratios = other.reweight(train_step, values)
                if ratios is not None:
                    values = values * ratios.detach()
                    if not other.phases:  # it has no value of its own to log
                        stats[column(other_name, other, phase_name)] = ratios.detach().mean()
            values = values.mean()
        return values if isinstance(factor, float) and factor == 1.0 else values * factor

    def _after_step(self, name: str, update: Update, train_steps: Sequence[TrainStep], stats: Stats) -> None:
        """Let the due terms, those without a phase and adaptive augmentations change their state."""
        due = {key: term for key, term in self.terms.items() if key in update.factors or not term.phases}
        changed = {key: term for key, term in due.items() if type(term).after_step is not LossTerm.after_step}
        adaptive = {} if name != "disc" or update.own_step else self.gan.adaptive_augmentations
        if not changed and not adaptive:
            return
        completed = CompletedStep(train_steps, self.dist)
        completed._log = log_into(stats, self.device)  # noqa: SLF001
        with torch.no_grad():
            for term_name, term in changed.items():
                completed.use_rng(f"after_step/{term_name}")
                term.after_step(completed)
            for augmentation in adaptive.values():
                augmentation.observe(completed.real_output.logits)

    def train_step(
        self, name: str, part: Part, update: Update, random: StepRandomness | None = None, stats: Stats | None = None
    ) -> TrainStep:
        """Return the view of a part that terms and augmentations receive; they log into the stats."""
        derive_rng = self.random.derive(name, update.index)
        step = TrainStep(
            phase=name,
            step=update.step,
            progress=update.step / self.total_steps,
            images_seen=self.images_seen(update.step),
            real=part.batch.images,
            z=to_device(part.z, self.device),
            condition=part.batch.condition,
            extras=part.batch.extras,
            modules=self.modules,
            derive_rng=derive_rng if random is None else random.track(derive_rng),
            augmentations=self.gan.augmentations,
            log=(lambda name, value: None) if stats is None else log_into(stats, self.device),
            autocast=partial(autocast, self.precision, self.device),
        )
        if self.experiment.reuse_fakes and name == "disc":
            self._reused_fakes = step._raw_output, step.z  # noqa: SLF001 - the generator's update uses its graph
        elif name == "gen" and self._reused_fakes is not None:
            step._raw, step.z = self._reused_fakes  # noqa: SLF001
        return step

    def images_seen(self, step: int) -> int:
        """Return the number of real images consumed before a step."""
        return self.experiment.batches(step) * self.experiment.batch_size

    def set_stages(self, step: int) -> None:
        """Set the stage of all components; a changed stage discards recorded updates."""
        before, self._stages = self._stages, {name: component.stage(step) for name, component in self.modules.items()}
        if before and before != self._stages:
            for rebuild in self.on_restore:
                rebuild()
