"""The training step: one update per phase (Goodfellow et al. 2014, algorithm 1).

A phase updates one set of weights: `disc` the discriminator's, `gen` the generator's, others those that `optimized_in`
assigns to them. An update of a phase, without gradient accumulation, is::

    z = latent.sample(N, Z, rng)                             # GANStep.update
    loss = sum(weight * term(step).mean() for each term)     # GANStep.loss
    loss.backward()                                          # GANStep.gradients
    optimizer.step()                                         # GANStep.optimize

The adversarial loss is a term as well. Terms read `step.real_output` and `step.fake_output`; components/train_step.py
computes D(x) and D(G(z)) when they are read first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import GeneratorOutput, LossTerm, TrainStep
from ganforge.data.loader import Batch, to_device
from ganforge.training.build import GANComponents
from ganforge.training.completed_step import CompletedStep
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.loss_scaling import LossScaler
from ganforge.training.optim import Schedules
from ganforge.training.phases import Part, Phase, Update, UpdateResult, frozen, long_name, split_batch
from ganforge.training.precision import Precision, autocast
from ganforge.training.random_draws import BatchSlice, DrawTape, StepRandomness
from ganforge.training.stats import Stats, discriminator_stats, log_into, mean_stats
from ganforge.utils.rng import derive_generator, seed_torch


class GANStep:
    """Updates of all phases. A batch is this rank's part of the whole one, in `gradient_accumulation` parts.

    Random numbers depend on the seed and the number of the update alone, so a resumed run draws the same numbers.

    Attributes:
        phases: Phases by name, in the order of their updates.
        last_stats: Numbers of the last update in which each column was computed.
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
        self.phases = {name: self._phase(name, phases, optimizers[name]) for name in phases}
        self.reweighting = {(term, name): gan.reweighting_terms(term, name) for term in self.terms for name in phases}
        self.last_stats: Stats = {}
        self.on_restore: list[Callable[[], None]] = []
        self.tape: DrawTape | None = None
        self._reused_fakes: tuple[GeneratorOutput, Tensor] | None = None
        self._stages: dict[str, object] = {}

    def _phase(self, name: str, phases: Mapping[str, dict[str, nn.Parameter]], optimizer: Optimizer) -> Phase:
        self.schedules.register(name, optimizer)
        trained = {name}
        if name == "disc" and self.experiment.reuse_fakes:
            trained.add("gen")  # its update uses the graph of these fakes
        return Phase(
            name,
            phases[name],
            optimizer,
            LossScaler(self.precision, self.device),
            self.gan.resolved.optimizers[name].cls.needs_closure,
            self.schedules.clip_norm(name, 0),
            [weight for other, weights in phases.items() if other not in trained for weight in weights.values()],
            loss_fn=partial(self.loss, name),
            update_fn=partial(self.optimize, name),
        )

    # One update, from the outside in

    def update(self, name: str, batch: Batch, index: int, step: int) -> Stats:
        """Update a phase with this rank's part of a batch, its `index`-th one, and return its numbers."""
        phase = self.phases[name]
        self.set_stages(step)
        self.schedules.apply(name, phase.optimizer, step)
        phase.clip_norm = self.schedules.clip_norm(name, step)
        weights = self.schedules.term_weights(self.gan, name, index, step, self.device)
        if not weights:
            return {}
        with frozen(phase.frozen):
            z = self._latents(name, len(batch.images), index)
        parts = split_batch(batch, z, self.experiment.gradient_accumulation)
        stats: Stats = {}
        for own_step in (False, True):
            due = {term: weight for term, weight in weights.items() if self.terms[term].options.own_step is own_step}
            if due:
                stats |= self._update(phase, parts, Update(index, step, due))
        self.last_stats |= stats
        return stats

    def _update(self, phase: Phase, parts: Sequence[Part], update: Update) -> Stats:
        """Run a step of a phase's optimizer for some terms, and return their numbers."""
        with frozen(phase.frozen):
            results = phase.update_fn(parts, update)
        stats = mean_stats([stats for stats, _ in results])
        stats |= phase.scaler.stats(phase.name)
        self._after_step(phase.name, update.terms, [train_step for _, train_step in results], stats)
        if phase.name == "gen":
            self._reused_fakes = None
        return stats

    def optimize(self, name: str, parts: Sequence[Part], update: Update) -> UpdateResult:
        """Compute the gradients of all parts and run the optimizer's step."""
        phase = self.phases[name]
        if not phase.needs_closure:
            _, results = self.gradients(phase, parts, update)
            self.apply(phase)
            return results
        results = []

        def closure() -> Tensor:
            loss, results[:] = self.gradients(phase, parts, update)
            while phase.scaler.must_repeat(phase.optimizer):
                loss, results[:] = self.gradients(phase, parts, update)
            self.clip(phase)
            return loss

        phase.optimizer.step(closure)  # type: ignore[arg-type]  # torch's type wants a float; a tensor is usual
        return results

    def gradients(
        self, phase: Phase, parts: Sequence[Part], update: Update, *, recorded: bool = False
    ) -> tuple[Tensor, UpdateResult]:
        """Set the gradients of a phase's weights to the mean over parts and ranks, times the scale in float16.

        If `recorded`, the `UpdateRecorder` seeds the layers and averages over ranks instead. Returns the mean loss,
        `()`, and the stats and the `TrainStep` of each part.
        """
        phase.optimizer.zero_grad(set_to_none=True)
        results, losses = [], []
        for part_index, part in enumerate(parts):
            if not recorded:
                self.seed_layers(phase.name, update.index, part_index)
            loss, stats, train_step = phase.loss_fn(part, update, part_index)
            if loss.requires_grad:
                phase.scaler.scale(loss if len(parts) == 1 else loss / len(parts)).backward()
            losses.append(loss.detach())
            results.append((stats, train_step))
        if not recorded:
            self.dist.all_reduce_gradients(phase.parameters.values())
        return torch.stack(losses).mean(), results

    def loss(self, name: str, part: Part, update: Update, part_index: int) -> tuple[Tensor, Stats, TrainStep]:
        """Return the loss of a part of a batch, `()`, its stats, and the `TrainStep` that its terms received."""
        randomness = self._randomness(len(part.z), part_index)
        if part.z.requires_grad:  # trained latents: each part and each evaluation needs a graph of its own
            parts = self.experiment.gradient_accumulation
            part = replace(part, z=self._latents(name, parts * len(part.z), update.index).chunk(parts)[part_index])
        train_step = self.train_step(name, part, update, randomness)
        stats: Stats = {}
        train_step._log = log_into(stats, self.device)  # noqa: SLF001
        total: Tensor | None = None
        with randomness or nullcontext():
            for term_name, weight in update.weights.items():
                value = self._term(term_name, name, train_step, stats)
                value = value if isinstance(weight, float) and weight == 1.0 else value * weight
                total = value if total is None else total + value
        assert total is not None  # noqa: S101 - `update` skips updates without terms
        if name == "disc" and self._is_shared(update.terms):
            stats |= discriminator_stats(train_step)
        return total, stats, train_step

    def _term(self, term_name: str, phase: str, step: TrainStep, stats: Stats) -> Tensor:
        """Return the mean of a term, reweighted by other terms, and log its unweighted mean."""
        step.use_rng(f"term/{term_name}")
        values: Tensor = self.terms[term_name](step)
        stats[self.column(term_name, phase)] = values.detach().mean()
        if values.ndim == 0:
            return values
        for other_name, other in self.reweighting[term_name, phase].items():
            step.use_rng(f"reweight/{other_name}/{term_name}")
            factors = other.reweight(step, values)
            if factors is not None:
                values = values * factors.detach()
                if not other.phases:
                    stats[self.column(other_name, phase)] = factors.detach().mean()
        return values.mean()

    def clip(self, phase: Phase) -> None:
        """Clip the gradients of a phase, if configured."""
        if phase.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(phase.parameters.values()), phase.clip_norm)

    def apply(self, phase: Phase) -> None:
        """Clip the gradients of a phase and run the optimizer's step, which float16 skips if they overflowed."""
        phase.scaler.step(phase.optimizer, partial(self.clip, phase))

    def _after_step(self, name: str, terms: Sequence[str], steps: Sequence[TrainStep], stats: Stats) -> None:
        """Let terms and augmentations change their state, given the whole batch."""
        changed = {
            term_name: term
            for term_name, term in self.terms.items()
            if type(term).after_step is not LossTerm.after_step and (term_name in terms or not term.phases)
        }
        adaptive = self.gan.adaptive_augmentations if name == "disc" and self._is_shared(terms) else {}
        if not changed and not adaptive:
            return
        completed = CompletedStep(steps, self.dist)
        completed._log = log_into(stats, self.device)  # noqa: SLF001
        with torch.no_grad():
            for term_name, term in changed.items():
                completed.use_rng(f"after_step/{term_name}")
                term.after_step(completed)
            for augmentation in adaptive.values():
                augmentation.observe(completed.real_output.logits)

    def _is_shared(self, terms: Sequence[str]) -> bool:
        """Return whether terms are those of the first step of an update: the loss, and those without their own."""
        return "loss" in terms or not all(self.terms[term].options.own_step for term in terms)

    # Inputs of an update

    def train_step(self, name: str, part: Part, update: Update, randomness: StepRandomness | None = None) -> TrainStep:
        """Return the view of a part that terms and augmentations receive."""
        derive_rng = self.derive_rng(name, update.index)
        position, progress, images_seen = self._position(update)
        step = TrainStep(
            phase=name,
            step=position,
            progress=progress,
            images_seen=images_seen,
            real=part.real,
            z=to_device(part.z, self.device),
            condition=part.condition,
            extras=part.extras,
            modules=self.modules,
            derive_rng=derive_rng if randomness is None else randomness.track(derive_rng),
            augmentations=self.gan.augmentations,
            autocast=partial(autocast, self.precision, self.device),
        )
        if self.experiment.reuse_fakes:
            if name == "gen" and self._reused_fakes is not None:
                step._raw_output, step.z = self._reused_fakes  # noqa: SLF001
            elif name == "disc":
                step.generator_output  # noqa: B018 - computed now; the generator's update uses its graph
                assert step._raw_output is not None  # noqa: S101, SLF001
                self._reused_fakes = step._raw_output, step.z  # noqa: SLF001
        return step

    def _position(self, update: Update) -> tuple[int, float, int]:
        """Return step, progress and images seen of an update."""
        images_seen = self.experiment.batches(update.step) * self.experiment.batch_size
        return update.step, update.step / self.total_steps, images_seen

    def set_position(self, train_step: TrainStep, update: Update) -> None:
        """Move the view of a replayed update to the present one."""
        step, progress, images_seen = self._position(update)
        train_step._step, train_step._progress, train_step._images_seen = step, progress, images_seen  # noqa: SLF001
        train_step.derive_rng = self.derive_rng(train_step.phase, update.index)

    def _latents(self, name: str, count: int, index: int) -> Tensor:
        """Return this rank's latents, `(N, Z)`, of those of the whole batch."""
        rng = derive_generator(self.experiment.seed, f"latents/{long_name(name)}", index)
        drawn = self.gan.latent.sample(self.dist.world_size * count, self.gan.generator.latent_dim, rng)
        z = drawn[self.dist.rank * count : (self.dist.rank + 1) * count]
        return z.pin_memory() if self.device.type == "cuda" and not z.requires_grad else z

    def set_stages(self, step: int) -> None:
        """Set the stage of all components; a changed stage discards recorded updates."""
        stages = {name: component.stage(step) for name, component in self.modules.items()}
        if stages != self._stages:
            if self._stages:
                for rebuild in self.on_restore:
                    rebuild()
            self._stages = dict(stages)

    # Random numbers and names

    def derive_rng(self, name: str, index: int) -> Callable[[str], torch.Generator]:
        """Return the function that derives the random generators of an update by name."""
        return lambda rng_name: derive_generator(self.experiment.seed, f"{long_name(name)}/{rng_name}", index)

    def seed_layers(self, name: str, index: int, part_index: int) -> None:
        """Seed the global generators, from which layers such as dropout draw, for one part of an update."""
        stream = f"dropout/{long_name(name)}"
        seed_torch(self.experiment.seed, stream, index, self._global_part_index(part_index), device=self.device)

    def _randomness(self, count: int, part_index: int) -> StepRandomness | None:
        """Return the mode that cuts draws from those of the whole batch; None if the part is the whole batch."""
        parts = self.dist.world_size * self.experiment.gradient_accumulation
        if parts == 1 and self.tape is None:
            return None
        return StepRandomness(BatchSlice(self._global_part_index(part_index) * count, count, parts * count), self.tape)

    def _global_part_index(self, part_index: int) -> int:
        """Return the index of one of this rank's parts among the parts of all ranks."""
        return self.dist.rank * self.experiment.gradient_accumulation + part_index

    def column(self, term_name: str, phase: str) -> str:
        """Return the column of a term in metrics.jsonl."""
        if term_name == "loss":
            return f"loss/{long_name(phase)}"
        return f"term/{term_name}/{phase}" if len(self.terms[term_name].phases) > 1 else f"term/{term_name}"
