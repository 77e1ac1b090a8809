"""The training loop: two network updates, and at their intervals rows, grids, evaluations and checkpoints."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch

from ganforge.components import Generator
from ganforge.data.loader import Batch
from ganforge.data.streaming import make_feed
from ganforge.diagnostics.alerts import MEANINGS, Finding
from ganforge.diagnostics.monitor import Health
from ganforge.errors import CollapsedError, DivergedError
from ganforge.training.build import GANComponents
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.evaluation_budget import EvaluationBudget
from ganforge.training.metrics_buffer import FLUSH_EVERY, Ledger, Stopwatch, first_not_finite
from ganforge.training.precision import Precision, matrix_products
from ganforge.training.resume import roll_back
from ganforge.training.run_directory import RunDirectory
from ganforge.training.services import Services
from ganforge.training.setup import prepare_steps
from ganforge.training.signals import Interruption
from ganforge.training.state import Parts, digest, first_not_finite_weight, part_tensors, trained_tensors
from ganforge.training.writer import Writer


class Trainer:
    """Train an gan within a run directory; the weights move to the device that is asked for.

    `recovery.restore` first where training goes on, then `train`. `step`, `images_seen`, `losses` and `stopwatch` tell
    how far it came, whatever ended it. Of several processes all train, and the first one writes.
    """

    def __init__(
        self,
        gan: GANComponents,
        run: RunDirectory,
        *,
        device: torch.device,
        precision: Precision,
        services: Services,
        processes: Processes = ALONE,
    ) -> None:
        self.gan = gan
        self.experiment = gan.resolved.experiment
        self.run = run
        self.services = services
        self.device = device
        self.precision = precision
        self.processes = processes
        self.feed = make_feed(gan, device, rank=processes.rank, ranks=processes.count)
        notice = services.observer.noticed
        self.steps, self.ema = prepare_steps(
            gan, device=device, precision=precision, processes=processes, notice=notice
        )
        self.parts = Parts(gan, self.steps.optimizers, self.ema)
        self.ledger = Ledger(self.steps.columns, device, processes)
        alone = self.experiment.batch_size <= processes.count * self.experiment.gradient_accumulation
        self.health = Health(watch_diversity=not alone)
        self.stopwatch = Stopwatch()
        self.budget = EvaluationBudget(self.experiment.max_eval_time_fraction, notice)
        self.writer = Writer(run, services, gan.generator, seed=self.experiment.seed)
        self.step = 0
        self.rollbacks = 0
        self.losses: dict[str, float] = {}
        self.best: dict[str, Any] | None = None
        self.saved_step: int | None = None
        #: The batch of the last discriminator update, whose labels are those of the generator's fakes.
        self.batch: Batch | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Generator updates in which all training images are seen once."""
        return self.experiment.steps_per_epoch(self.feed.size)

    @property
    def total_steps(self) -> int:
        """The step that training ends after."""
        return self.experiment.total_steps(self.feed.size)

    @property
    def images_seen(self) -> int:
        """Real images consumed so far."""
        return self.experiment.batches(self.step) * self.experiment.batch_size

    @property
    def sample_every(self) -> int:
        """Steps between grids."""
        return self.experiment.sample_every or self.steps_per_epoch

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""
        return self.experiment.checkpoint_every or self.steps_per_epoch

    @property
    def sampled_generator(self) -> Generator:
        """The generator that pictures and scores are made with: the moving average where there is one."""
        return self.gan.generator if self.ema is None else self.ema.generator

    def train(self, interruption: Interruption) -> None:
        """Train until the last step, or until a signal arrives; save a checkpoint either way.

        Raises DivergedError where a loss or weight is not finite or the fakes have collapsed (the last good checkpoint
        is kept) and OSError where a file cannot be written. The global random state is left as it was.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with matrix_products(self.precision), torch.random.fork_rng(devices), closing(self.feed):
            self.gan.generator.train()
            self.gan.discriminator.train()
            self.services.observer.started(step=self.step, total_steps=self.total_steps)
            self.services.observer.found(list(self.health.current))
            if self.step == 0:
                if self.processes.first:
                    self.writer.samples(self.sampled_generator, self.step)
                if "rollback" in {self.experiment.on_nan, self.experiment.on_collapse}:
                    self._save_checkpoint()  # there must be something to go back to
            self.stopwatch.restart_window()
            while True:
                try:
                    self._train(interruption)
                except DivergedError as reason:
                    roll_back(self, reason)
                else:
                    return

    def _train(self, interruption: Interruption) -> None:
        stopping = self._stopping(interruption)
        while self.step < self.total_steps and not stopping:
            self._train_step()
            settled = self.step % FLUSH_EVERY == 0 or self._due() or self.step == self.total_steps
            if settled:
                self._settle()
            if settled or self.processes.count == 1:
                stopping = self._stopping(interruption)
        self._settle()
        if self.saved_step != self.step:
            self._save_checkpoint()
        if stopping and self.processes.first and self.step % self.sample_every != 0 and self.step < self.total_steps:
            self.writer.samples(self.sampled_generator, self.step)

    def _stopping(self, interruption: Interruption) -> bool:
        """Whether a signal has arrived at one of the processes: all must stop at the same step."""
        received = self.processes.highest(interruption.received or 0)
        if received:
            interruption.received = signal.Signals(received)
        return received > 0

    def _train_step(self) -> None:
        seen, due = self.experiment.batches(self.step), self.experiment.batches(self.step + 1)
        judged = self.steps.judged
        for index in range(seen, due):
            self.batch = self.feed.batch(index)
            judged = self.steps.discriminator(self.batch, index)
        if self.batch is None:  # going on between two discriminator updates
            self.batch = self.feed.batch(due - 1)
        made = self.steps.generator_step(self.batch, self.step)
        self.step += 1
        self.ledger.record(self.step, torch.cat([judged, made]))
        if self.ema is not None:
            new_images = self.experiment.batch_size * self.experiment.critic_steps / self.experiment.generator_steps
            self.ema.update(self.gan.generator, images_seen=self.images_seen, new_images=new_images)

    def _due(self) -> bool:
        every = (self.sample_every, self.checkpoint_every, self.experiment.evaluate_every)
        return any(interval is not None and self.step % interval == 0 for interval in every)

    def _settle(self) -> None:
        """Read the numbers collected on the device, and do what is due at this step."""
        rows = self.ledger.flush()
        if not rows:
            return
        bad = first_not_finite(rows)
        if bad is not None:
            self._log({step: row for step, row in rows.items() if step < bad[0]})
            raise self._not_finite(bad[0], f"{bad[1]} is not a finite number")
        self._heed(self._log(rows))
        with self.stopwatch.paused():
            if self.processes.first:
                if self.step % self.sample_every == 0 or self.step == self.total_steps:
                    self.writer.samples(self.sampled_generator, self.step)
                else:
                    self.writer.preview(self.sampled_generator)
            improved = False
            every = self.experiment.evaluate_every
            if every and self.step % every == 0:
                improved = self._evaluate(every)
            if improved or self.step % self.checkpoint_every == 0 or self.step == self.total_steps:
                self._save_checkpoint()

    def _evaluate(self, every: int) -> bool:
        """Score the generator, unless scoring has taken too long so far; return whether it is the best so far."""
        better: dict[str, Any] | None = None
        last = self.step + every > self.total_steps
        if self.processes.first and self.budget.allows(self.stopwatch.elapsed_seconds, last=last):
            scored = self.writer.evaluation(self.sampled_generator, self.step)
            self.budget.spend(scored.row["seconds"])
            self.services.observer.evaluated(self.step, scored.row["scores"], scored.row["floor"])
            better = scored.better_than(self.best, self.step)
        better = self.processes.share(better)
        self.best = better or self.best
        return better is not None

    def _heed(self, changes: Sequence[Finding]) -> None:
        """Tell what has been found, or is over. Raises CollapsedError where a collapse is not to go on."""
        collapse = self.health.current.get("collapse")
        if collapse is not None and self.experiment.on_collapse != "warn":
            since = collapse.since_step
            raise CollapsedError(f"collapse since step {since}: {collapse.words}", since_step=since, fix=collapse.helps)
        if changes and self.processes.first:
            self.writer.health(self.health, changes)

    def _not_finite(self, step: int, what: str) -> DivergedError:
        self.health.not_finite(step)
        return DivergedError(f"step {step}: {what}", fix=MEANINGS["not-finite"].helps)

    def _log(self, rows: Mapping[int, Mapping[str, float]]) -> list[Finding]:
        """Look at rows, write down those that are due, and return what was found in them, or is over."""
        changes: list[Finding] = []
        if not rows:
            return changes
        experiment = self.experiment
        new_batches = experiment.batches(max(rows)) - experiment.batches(min(rows) - 1)
        rate = self.stopwatch.window(new_batches * experiment.batch_size)
        for step, values in rows.items():
            changes += self.health.watch(step, values)
            self.losses = {name.removeprefix("loss/"): values[name] for name in values if name.startswith("loss/")}
            if self.processes.first and (step % experiment.log_every == 0 or step == self.total_steps):
                batches = experiment.batches(step)
                self.writer.log(
                    {
                        "step": step,
                        "epoch": batches / self.feed.batches_per_epoch,
                        "images_seen": batches * experiment.batch_size,
                        **values,
                        "health/findings": len(self.health.current),
                        "images_per_second": rate,
                        "elapsed_seconds": self.stopwatch.elapsed_seconds,
                    }
                )
        return changes

    def _save_checkpoint(self) -> None:
        tensors = part_tensors(self.parts)
        bad = first_not_finite_weight(tensors)
        if self.processes.highest(bad is not None):
            raise self._not_finite(self.step, f"{bad or 'a number of another process'} is not finite")
        if self.processes.count > 1:
            self.processes.check_same(digest(trained_tensors(self.parts)), "the weights")
        state = self.state()
        if self.processes.first:
            keep = self.experiment.keep_checkpoints
            self.writer.checkpoint(Checkpoint(tensors, state), keep=keep, best=self.best)
        self.saved_step = self.step

    def state(self) -> dict[str, Any]:
        """Return the numbers of a checkpoint; none of them is a time, so that equal training makes equal files."""
        judged = self.steps.judged.clone()
        self.processes.average([judged])
        return {
            "step": self.step,
            "images_seen": self.images_seen,
            "seed": self.experiment.seed,
            "precision": self.precision,
            "best": self.best,
            "rollbacks": self.rollbacks,
            "health": self.health.state(),
            "judged": dict(zip(self.steps.columns[:-1], judged.tolist(), strict=True)),
        }
