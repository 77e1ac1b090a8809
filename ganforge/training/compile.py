"""Acceleration: compiled losses, and updates that are recorded as CUDA graphs and replayed.

A compiled function is a whole loss, from images and latents on, so none feeds another one, whose output a replay would
overwrite (pytorch#160281).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganforge.components import LossTerm, TrainStep
from ganforge.data.loader import Batch, tensors_of
from ganforge.training.build import GANComponents
from ganforge.training.precision import Precision
from ganforge.training.random_draws import DrawTape, NotRecordableError
from ganforge.training.stats import Stats
from ganforge.training.step import GANStep, LossFunction, Part, Phase, Update, UpdateResult

#: Updates before one is recorded, while libraries allocate workspaces.
WARMUP_UPDATES = 3
#: Recordings of one phase, one for each combination of due terms.
MAX_RECORDINGS = 16
#: Function that replays, and the result, whose tensors each replay overwrites.
Recording = tuple[Callable[[], Any], Any]
Record = Callable[[Callable[[], Any]], Recording]


def compile_conflict(gan: GANComponents) -> str | None:
    """Return the reason that the losses of an experiment cannot be compiled, or None."""
    for kind, components in (("term", gan.terms), ("augmentation", gan.augmentations)):
        if components:
            return f"{kind} {next(iter(components))!r} may take second derivatives or draw random numbers"
    if type(gan.loss).after_step is not LossTerm.after_step:
        return "the loss reads the discriminator's outputs after each update"
    experiment = gan.resolved.experiment
    if experiment.reuse_fakes:
        return "fakes are used in both updates"
    return "batch norm is shared among ranks" if experiment.sync_batch_norm else None


def graph_conflict(gan: GANComponents, device: torch.device, precision: Precision) -> str | None:
    """Return the reason that the updates of an experiment cannot be recorded, or None."""
    experiment, resolved = gan.resolved.experiment, gan.resolved
    conflicts = [
        (device.type != "cuda", f"{device.type} has no CUDA graphs"),
        (precision == "fp16", "float16 skips updates whose gradients overflow"),
        (experiment.gradient_accumulation > 1, "gradients are accumulated"),
        (experiment.sync_batch_norm, "batch norm is shared among ranks"),
        (any(weight.requires_grad for weight in gan.latent.parameters()), "the latent distribution is trained"),
        (experiment.reuse_fakes, "fakes are used in both updates"),
    ]
    conflicts += [
        (item.cls.needs_closure, f"the optimizer of {phase} evaluates the gradient itself")
        for phase, item in resolved.optimizers.items()
    ]
    conflicts += [
        (
            not target.endswith((".lr", ".weight")) and target != "ema_halflife_images",
            f"{target} is scheduled, and a recording would keep its first value",
        )
        for target in resolved.schedules
    ]
    return next((reason for holds, reason in conflicts if holds), None)


def compile_losses(gan_step: GANStep, backend: str = "inductor") -> None:
    """Compile the loss of each phase, including the networks, at its first call."""
    for phase in gan_step.phases.values():
        phase.loss_fn = _compiled(gan_step, phase, backend)


def _compiled(gan_step: GANStep, phase: Phase, backend: str) -> LossFunction:
    def loss_of_tensors(real: Tensor, z: Tensor, condition: Tensor | None) -> tuple[Tensor, Stats]:
        part, update = Part(Batch(real, condition), z), Update(0, 0, {"loss": 1.0})
        loss, stats, _ = gan_step.loss(phase.name, part, update, 0)
        return loss, stats

    compiled = torch.compile(loss_of_tensors, backend=backend, dynamic=False)

    def loss_fn(part: Part, update: Update, number: int) -> tuple[Tensor, Stats, TrainStep]:
        loss, stats = compiled(part.batch.images, part.z, part.batch.condition)
        factor = update.factors["loss"]
        return loss if factor == 1.0 else loss * factor, stats, gan_step.train_step(phase.name, part, update)

    return loss_fn


def record_updates(gan_step: GANStep, notice: Callable[[str], None], record: Record | None = None) -> None:
    """Record the update of each phase at its fourth call, and replay it afterwards.

    With several ranks, the gradients and the optimizer's step are two recordings, since gradients are averaged in
    between. If a recording fails, `notice` receives one line and no update is recorded any more. `record` records CUDA
    graphs by default.
    """
    recorders = {
        name: UpdateRecorder(gan_step, phase, record or partial(record_on_gpu, device=gan_step.device))
        for name, phase in gan_step.phases.items()
    }

    def disable(reason: str) -> None:
        for recorder in recorders.values():
            recorder.disabled = True
            recorder.recordings.clear()
        notice(f"updates are not recorded as CUDA graphs: {reason}")

    for name, phase in gan_step.phases.items():
        recorders[name].disable_all = disable
        phase.update_fn = recorders[name]
        gan_step.on_restore.append(recorders[name].reset)


def record_on_gpu(function: Callable[[], Any], *, device: torch.device) -> Recording:
    """Record the kernels of a function as a CUDA graph, without running them."""
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            result = function()
    return graph.replay, result


@dataclass(frozen=True, slots=True)
class RecordedUpdate:
    """Recorded update of one phase with the same due terms.

    Attributes:
        part: Buffers of the inputs.
        factors: Factors of the due terms; buffers if they are scheduled.
        tape: Buffers of random draws.
        replays: Functions that replay, in order; with several ranks, gradients are averaged after the first.
        results: Result of the update, overwritten by each replay.
    """

    part: Part
    factors: dict[str, float | Tensor]
    tape: DrawTape
    replays: list[Callable[[], Any]]
    results: UpdateResult


class UpdateRecorder:
    """Update function of a phase that records itself after a few calls, and then copies its inputs and replays."""

    def __init__(self, gan_step: GANStep, phase: Phase, record: Record) -> None:
        self.gan_step = gan_step
        self.phase = phase
        self.record = record
        self.disabled = False
        self.calls: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, RecordedUpdate] = {}
        self.disable_all: Callable[[str], None] = lambda _: None
        self._unrecorded = phase.update_fn

    def reset(self) -> None:
        """Discard all recordings, after their tensors were replaced, as by a restored optimizer."""
        self.calls.clear()
        self.recordings.clear()

    def __call__(self, parts: Sequence[Part], update: Update) -> UpdateResult:
        """Update the phase; the next replay overwrites the tensors of the result."""
        due = tuple(update.factors)
        recorded = self.recordings.get(due)
        if recorded is None:
            self.calls[due] += 1
            early = self.calls[due] <= WARMUP_UPDATES
            if early or self.disabled or len(self.recordings) == MAX_RECORDINGS:
                return self._unrecorded(parts, update)
            return self._record(parts[0], update)
        self._load(recorded, parts[0], update)
        self.gan_step.random.seed_layers(self.phase.name, update.index, 0)
        recorded.replays[0]()
        if len(recorded.replays) > 1:
            self.gan_step.dist.all_reduce_gradients(self.phase.parameters.values())
            recorded.replays[1]()
        results = []
        for stats, recorded_step in recorded.results:
            train_step = copy(recorded_step)  # what only `after_step` reads is computed again in the next replay
            train_step._outputs, train_step._augmented = {**train_step._outputs}, {**train_step._augmented}  # noqa: SLF001
            train_step._step, train_step._progress = update.step, update.step / self.gan_step.total_steps  # noqa: SLF001
            train_step._images_seen = self.gan_step.images_seen(update.step)  # noqa: SLF001
            train_step.derive_rng = self.gan_step.random.derive(self.phase.name, update.index)
            results.append((stats, train_step))
        return results

    def _record(self, part: Part, update: Update) -> UpdateResult:
        """Run the update and collect its draws, then record it for the next ones.

        The update is valid even if the code of a component cannot be recorded.
        """
        gan_step, phase = self.gan_step, self.phase
        tape = DrawTape(gan_step.device)
        to_buffer = partial(Tensor.to, device=gan_step.device, copy=True)
        part = Part(part.batch.map(to_buffer), to_buffer(part.z))
        factors = {
            name: factor.clone() if isinstance(factor, Tensor) else factor for name, factor in update.factors.items()
        }
        fixed = replace(update, factors=factors)

        def gradients() -> UpdateResult:
            results = gan_step.gradients(phase, [part], fixed, recorded=True)[1]
            if gan_step.dist.world_size == 1:
                phase.apply()
            return results

        gan_step.tape, TrainStep.numbers_read = tape, []
        try:
            results = self._unrecorded([part], fixed)
            tape.check(TrainStep.numbers_read)
            tape.position = 0
            replay, recorded_results = self.record(gradients)
            replays = [replay]
            if gan_step.dist.world_size > 1:
                replays.append(self.record(phase.apply)[0])
            self.recordings[tuple(update.factors)] = RecordedUpdate(part, factors, tape, replays, recorded_results)
        except Exception as error:
            if tape.position is None and not isinstance(error, NotRecordableError):
                raise  # the update itself failed
            self.disable_all(" ".join(str(error).split()))
        finally:
            gan_step.tape, TrainStep.numbers_read = None, None
        return [({name: value.clone() for name, value in stats.items()}, step) for stats, step in results]

    def _load(self, recorded: RecordedUpdate, part: Part, update: Update) -> None:
        """Copy the inputs of an update into the buffers of the recording."""
        recorded.part.z.copy_(part.z, non_blocking=True)
        for target, value in zip(tensors_of(recorded.part.batch), tensors_of(part.batch), strict=True):
            target.copy_(value, non_blocking=True)
        for name, factor in recorded.factors.items():
            if isinstance(factor, Tensor):
                factor.copy_(torch.as_tensor(update.factors[name]), non_blocking=True)
        recorded.tape.redraw(self.gan_step.random.derive(self.phase.name, update.index))


def accelerate(gan_step: GANStep, gan: GANComponents, notice: Callable[[str], None]) -> None:
    """Compile losses and record updates if the experiment sets them to `on`."""
    experiment = gan.resolved.experiment
    if experiment.compile == "on" and compile_conflict(gan) is None:
        compile_losses(gan_step)
    if experiment.cuda_graphs == "on" and graph_conflict(gan, gan_step.device, gan_step.precision) is None:
        record_updates(gan_step, notice)
