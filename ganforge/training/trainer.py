"""Training loop: updates of all phases, and rows, grids, evaluations and checkpoints at their intervals."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from typing import Any

import torch

from ganforge.components import Generator
from ganforge.data.loader import Batch, BatchLoader
from ganforge.data.streaming import make_loader
from ganforge.diagnostics.monitor import DIAGNOSES, Alert, HealthMonitor
from ganforge.errors import CollapsedError, DivergedError
from ganforge.training.build import GANComponents, set_training_mode
from ganforge.training.callbacks import EvaluationResult, TrainerContext
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.precision import Precision
from ganforge.training.resume import roll_back, save_checkpoint
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import setup_training
from ganforge.training.state import TrainState, frozen_fingerprints, optimizer_groups
from ganforge.training.stats import FLUSH_EVERY, MetricsBuffer, first_not_finite
from ganforge.training.timing import EvaluationBudget, ThroughputMeter
from ganforge.training.writer import Writer
from ganforge.utils.devices import float32_matmul
from ganforge.utils.process import kept_process
from ganforge.utils.signals import Interruption, WaitInterrupted


class Trainer:
    """Training of components, which writes into a run directory.

    A resumed run calls `resume.load_checkpoint` before `train`. Every rank trains; the main one writes.

    Attributes:
        step: Completed steps.
        losses: Last losses by network.
        best: Best score so far, as state.json holds it, or None.
        saved_step: Step of the last checkpoint, or None.
        lacks_scores: Whether a signal ended the evaluation of this step.
        batch: Batch of the last discriminator update, whose conditions the generator's fakes have.
        steps_per_epoch: Steps in which all training images are seen once.
        total_steps: Last step of the training.
    """

    def __init__(
        self,
        gan: GANComponents,
        run: RunDirectory,
        *,
        device: torch.device,
        precision: Precision,
        context: TrainerContext,
        dist: DistContext = SINGLE_PROCESS,
    ) -> None:
        self.gan = gan
        self.experiment = gan.resolved.experiment
        self.run = run
        self.context = context
        self.device = device
        self.precision: Precision = precision
        self.dist = dist
        new_loader = partial(make_loader, gan, device, rank=dist.rank, world_size=dist.world_size)
        self.loader = new_loader()
        self.generator_loader: BatchLoader | None = None
        generator_batch_size = self.experiment.generator_batch_size
        if generator_batch_size not in {None, self.experiment.batch_size}:
            self.generator_loader = new_loader(batch_size=generator_batch_size)
        self.steps_per_epoch = self.experiment.steps_per_epoch(gan.info.sizes["train"])
        self.total_steps = self.experiment.total_steps(gan.info.sizes["train"])
        self.sample_every = self.experiment.sample_every or self.steps_per_epoch
        self.checkpoint_every = self.experiment.checkpoint_every or self.steps_per_epoch
        notice = context.callback.on_message
        self.gan_step, self.ema = setup_training(gan, device=device, precision=precision, dist=dist, notice=notice)
        optimizers = {name: phase.optimizer for name, phase in self.gan_step.phases.items()}
        self.train_state = TrainState(gan, optimizers, self.ema)
        self.frozen = frozen_fingerprints(gan)
        self.metrics = MetricsBuffer(dist)
        several_images = self.experiment.batch_size > dist.world_size * self.experiment.gradient_accumulation
        self.health = HealthMonitor(watch_diversity=several_images)
        self.meter = ThroughputMeter()
        self.budget = EvaluationBudget(self.experiment.max_eval_time_fraction, notice)
        self.writer = Writer(run, context, gan, seed=self.experiment.seed)
        self.step = 0
        self.rollbacks = 0
        self.losses: dict[str, float] = {}
        self.best: dict[str, Any] | None = None
        self.saved_step: int | None = None
        self.lacks_scores = False
        self.batch: Batch | None = None

    @property
    def images_seen(self) -> int:
        """Real images seen so far."""
        return self.gan_step.images_seen(self.step)

    @property
    def sampled_generator(self) -> Generator:
        """Generator for samples and evaluations: the moving average, if there is one."""
        return self.gan.generator if self.ema is None else self.ema.generator

    def train(self, interruption: Interruption) -> None:
        """Train until the last step or a signal, and save a checkpoint; the global random state is restored.

        Raises DivergedError if a loss or weight is not finite or the fakes have collapsed, and OSError.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with ExitStack() as stack:
            stack.enter_context(float32_matmul(tf32=self.precision == "tf32"))
            stack.enter_context(torch.random.fork_rng(devices))
            for loader in (self.loader, self.generator_loader):
                if loader is not None:
                    stack.enter_context(closing(loader))
            set_training_mode(self.gan.modules())
            self.context.callback.on_train_start(step=self.step, total_steps=self.total_steps)
            self.context.callback.on_alert(list(self.health.active))
            if self.step == 0:
                if self.dist.is_main:
                    self.writer.samples(self.sampled_generator, self.step)
                if "rollback" in {self.experiment.on_nan, self.experiment.on_collapse}:
                    save_checkpoint(self)  # a rollback needs one
            self.meter.restart_window()
            while True:
                try:
                    self._train(interruption)
                except DivergedError as reason:
                    roll_back(self, reason)
                else:
                    return

    def _train(self, interruption: Interruption) -> None:
        stopping = self._is_interrupted(interruption)
        if self.lacks_scores:
            self.gan_step.set_stages(self.step)
            with self.meter.paused():
                self._evaluate(interruption)
            stopping = self._is_interrupted(interruption)
        while self.step < self.total_steps and not stopping:
            try:
                batches = self._read_batches(interruption)
            except WaitInterrupted:
                stopping = True
                break
            self._train_step(batches)
            flush = self.step % FLUSH_EVERY == 0 or self._is_due() or self.step == self.total_steps
            if flush:
                self._run_periodic_actions(interruption)
            if flush or self.dist.world_size == 1:
                stopping = self._is_interrupted(interruption)
        self._run_periodic_actions(interruption)
        if self.saved_step != self.step:
            save_checkpoint(self)
        if stopping and self.dist.is_main and self.step % self.sample_every != 0 and self.step < self.total_steps:
            self.writer.samples(self.sampled_generator, self.step)

    def _is_interrupted(self, interruption: Interruption) -> bool:
        """Return whether any rank has received a signal, so that all stop at the same step."""
        interruption.reinstall()
        received = self.dist.all_reduce_max(interruption.received or 0)
        if received:
            interruption.received = signal.Signals(received)
        return received > 0

    @kept_process()
    def _read_batches(self, interruption: Interruption) -> dict[str, list[Batch]]:
        """Return the batches of each phase's updates in a step, read before the first update changes anything.

        Raises WaitInterrupted at the first signal: a dataset may wait forever, for a disk or a network. Several ranks
        must stop at the same step, so none of them stops here.
        """
        first, end = self.experiment.batches(self.step), self.experiment.batches(self.step + 1)
        with interruption.waiting() if self.dist.world_size == 1 else nullcontext():
            batches = [self.loader.batch(index) for index in range(first, end)]
            if batches:
                self.batch = batches[-1]
            elif self.batch is None:  # after a resume, if the discriminator has no update in this step
                self.batch = self.loader.batch(end - 1)
            by_phase = {name: [self.batch] for name in self.gan_step.phases} | {"disc": batches}
            if self.generator_loader is not None:
                by_phase["gen"] = [self.generator_loader.batch(self.step)]
        return by_phase

    @kept_process()
    def _train_step(self, batches: Mapping[str, Sequence[Batch]]) -> None:
        """Update every phase with its batches, record the numbers, and update the moving average."""
        self.gan_step.update_all(batches, self.step)
        self.step += 1
        self.metrics.record(self.step, self.gan_step.last_stats)
        if self.ema is not None:
            self.ema.update(
                self.gan.generator,
                images_seen=self.images_seen,
                new_images=self.experiment.batch_size * self.experiment.critic_steps / self.experiment.generator_steps,
                halflife_scale=self.gan_step.schedules.halflife_scale(self.step - 1),
            )
            self.ema.generator.stage(self.step)

    def _is_due(self) -> bool:
        every = (self.sample_every, self.checkpoint_every, self.experiment.evaluate_every)
        return any(interval is not None and self.step % interval == 0 for interval in every)

    def _run_periodic_actions(self, interruption: Interruption) -> None:
        """Flush the metrics, and sample, evaluate and save if due at this step."""
        rows = self.metrics.flush()
        if not rows:
            return
        self.gan_step.set_stages(self.step)  # of the generator in this step's samples and scores
        bad = first_not_finite(rows)
        if bad is not None:
            self._log({step: row for step, row in rows.items() if step < bad[0]})
            raise self.not_finite_error(*bad)
        self._report_alerts(self._log(rows))
        with self.meter.paused():
            if self.dist.is_main:
                if self.step % self.sample_every == 0 or self.step == self.total_steps:
                    self.writer.samples(self.sampled_generator, self.step)
                else:
                    self.writer.preview(self.sampled_generator)
            improved = False
            if self.is_scored:
                improved = self._evaluate(interruption)
            if improved or self.step % self.checkpoint_every == 0 or self.step == self.total_steps:
                save_checkpoint(self)

    @property
    def is_scored(self) -> bool:
        """State of the schedule of evaluations: true at a step that has one."""
        every = self.experiment.evaluate_every
        return every is not None and (self.step % every == 0 or self.step == self.total_steps)

    def _evaluate(self, interruption: Interruption) -> bool:
        """Evaluate the generator within the time budget; return whether its score is the best so far.

        A signal ends an evaluation, which a resumed run repeats. The checkpoint that exists then is saved again before
        the scores are written, since a resumed run that has the scores never sets `best` by them.
        """
        result: EvaluationResult | None = None
        better: dict[str, Any] | None = None
        last, lacks_scores = self.step == self.total_steps, False
        if self.dist.is_main and self.budget.allows(self.meter.elapsed_seconds, last=last):
            try:
                result = self.writer.evaluate(self.sampled_generator, interruption)
            except WaitInterrupted:
                lacks_scores = True
            else:
                self.budget.spend(result.row["seconds"])
                better = result.better_than(self.best, self.step)
        better, self.lacks_scores = self.dist.broadcast_object((better, lacks_scores))
        self.best = better or self.best
        if better is not None and self.saved_step == self.step:
            save_checkpoint(self)
        if result is not None:
            self.writer.evaluation(result, self.step)
        return better is not None

    def _report_alerts(self, changes: Sequence[Alert]) -> None:
        """Report changed alerts. Raises CollapsedError if the run must not continue."""
        collapse = self.health.active.get("collapse")
        if collapse is not None and self.experiment.on_collapse != "warn":
            since = collapse.since_step
            message = f"collapse since step {since}: {collapse.message}"
            raise CollapsedError(message, since_step=since, fix=collapse.hint)
        if changes and self.dist.is_main:
            self.writer.health(self.health, changes)

    def not_finite_error(self, step: int, what: str) -> DivergedError:
        """Raise an alert and return the error for a number that is not finite."""
        self.health.alert_not_finite(step)
        return DivergedError(f"step {step}: {what}", fix=DIAGNOSES["not-finite"].hint)

    def _log(self, rows: Mapping[int, Mapping[str, float]]) -> list[Alert]:
        """Pass rows to the health monitor, write those that are due, and return the changed alerts."""
        changes: list[Alert] = []
        if not rows:
            return changes
        experiment, schedules = self.experiment, self.gan_step.schedules
        new_batches = experiment.batches(max(rows)) - experiment.batches(min(rows) - 1)
        rate = self.meter.window(new_batches * experiment.batch_size)
        for step, values in rows.items():
            changes += self.health.update(step, values)
            self.losses = {name.removeprefix("loss/"): values[name] for name in values if name.startswith("loss/")}
            if self.dist.is_main and (step % experiment.log_every == 0 or step == self.total_steps):
                batches = experiment.batches(step)
                self.writer.log(
                    {
                        "step": step,
                        "epoch": batches / self.loader.sampler.batches_per_epoch,
                        "images_seen": batches * experiment.batch_size,
                        **values,
                        **{f"lr/{name}": schedules.learning_rate(name, step - 1) for name in self.gan_step.phases},
                        "health/alerts": len(self.health.active),
                        "images_per_second": rate,
                        "elapsed_seconds": self.meter.elapsed_seconds,
                    }
                )
        return changes

    def state(self) -> dict[str, Any]:
        """Return the content of state.json; it has no times, so equal trainings write equal files."""
        stats = self.gan_step.last_stats
        values = torch.stack([value.float() for value in stats.values()]) if stats else torch.zeros(0)
        self.dist.all_reduce_mean([values])
        return {
            "step": self.step,
            "images_seen": self.images_seen,
            "seed": self.experiment.seed,
            "precision": self.precision,
            "best": self.best,
            "rollbacks": self.rollbacks,
            "health": self.health.state_dict(),
            "last_stats": dict(zip(stats, values.tolist(), strict=True)),
            "frozen": self.frozen,
            "optimizers": {name: optimizer_groups(phase.optimizer) for name, phase in self.gan_step.phases.items()},
            "scalers": {
                name: phase.scaler.state_dict() for name, phase in self.gan_step.phases.items() if phase.scaler.enabled
            },
        }
