"""The training loop: two network steps, and at their intervals rows, grids, evaluations and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ganforge.assembly import Assembly
from ganforge.engine import checkpoint as checkpoints
from ganforge.engine.checkpoint import Checkpoint
from ganforge.engine.ema import GeneratorEma
from ganforge.engine.feed import ResidentFeed
from ganforge.engine.interruption import Interruption
from ganforge.engine.ledger import FLUSH_EVERY, Ledger, Stopwatch, first_not_finite
from ganforge.engine.optimizers import make_optimizer
from ganforge.engine.precision import Precision, matrix_products
from ganforge.engine.services import Services
from ganforge.engine.state import Parts, first_not_finite_weight, part_tensors, restore_parts
from ganforge.engine.steps import Steps
from ganforge.errors import DivergedError
from ganforge.interfaces import Generator
from ganforge.pictures import grid, save_png
from ganforge.runs import RunDirectory, append_row, read_rows, truncate_rows
from ganforge.runs.files import sync_file
from ganforge.sampling import default_labels, draw, draw_latents

SAMPLES = 64
PREVIEWS = 10
PREVIEW_SECONDS = 2.0


class Trainer:
    """Train an assembly within a run directory; the weights move to the device that is asked for.

    `restore` first where training goes on, then `train`. `step`, `images_seen`, `losses` and `stopwatch` tell how far
    it came, whatever ended it.
    """

    def __init__(
        self, assembly: Assembly, run: RunDirectory, *, device: torch.device, precision: Precision, services: Services
    ) -> None:
        self.assembly = assembly
        self.experiment = assembly.resolution.experiment
        self.run = run
        self.services = services
        self.device = device
        self.precision = precision
        images = assembly.images("train")
        assert images is not None, "checked before anything was written"  # noqa: S101
        self.feed = ResidentFeed(
            images, batch_size=self.experiment.batch_size, seed=self.experiment.seed, device=device
        )
        self.steps, self.ema = prepare_steps(assembly, device=device, precision=precision)
        self.parts = Parts(assembly, self.steps.optimizers, self.ema)
        self.ledger = Ledger(self.steps.columns, device)
        self.stopwatch = Stopwatch()
        self.step = 0
        self.losses: dict[str, float] = {}
        self.best: dict[str, Any] | None = None
        self.latents = draw_latents(assembly.generator, SAMPLES, seed=self.experiment.seed)
        self.labels = default_labels(assembly.generator, SAMPLES)
        self._saved_step: int | None = None
        self._previewed = -math.inf

    @property
    def steps_per_epoch(self) -> int:
        """Generator updates in which all training images are seen once."""
        return self.experiment.steps_per_epoch(len(self.feed.pixels))

    @property
    def total_steps(self) -> int:
        """The step that training ends after."""
        return self.experiment.total_steps(len(self.feed.pixels))

    @property
    def images_seen(self) -> int:
        """Real images consumed so far."""
        return self.step * self.experiment.critic_steps * self.experiment.batch_size

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
        return self.assembly.generator if self.ema is None else self.ema.generator

    def train(self, interruption: Interruption) -> None:
        """Train until the last step, or until a signal arrives; save a checkpoint either way.

        Raises DivergedError where a loss or weight is not finite (the last good checkpoint is kept) and OSError where a
        file cannot be written. The global random state is left as it was.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with matrix_products(self.precision), torch.random.fork_rng(devices):
            self.assembly.generator.train()
            self.assembly.discriminator.train()
            self.services.observer.started(step=self.step, total_steps=self.total_steps)
            if self.step == 0:
                self._save_samples()
            self.stopwatch.restart_window()
            while self.step < self.total_steps and interruption.received is None:
                self._train_step()
                if self.step % FLUSH_EVERY == 0 or self._due() or self.step == self.total_steps:
                    self._settle()
            self._settle()
            if self._saved_step != self.step:
                self._save_checkpoint()

    def _train_step(self) -> None:
        critic_steps = self.experiment.critic_steps
        for index in range(self.step * critic_steps, (self.step + 1) * critic_steps):
            batch = self.feed.batch(index)
            judged = self.steps.discriminator(batch, index)
        made = self.steps.generator_step(batch, self.step)
        self.step += 1
        self.ledger.record(self.step, torch.cat([judged, made]))
        if self.ema is not None:
            new_images = critic_steps * self.experiment.batch_size
            self.ema.update(self.assembly.generator, images_seen=self.images_seen, new_images=new_images)

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
            raise DivergedError(f"step {bad[0]}: {bad[1]} is not a finite number")
        self._log(rows)
        with self.stopwatch.paused():
            improved = False
            if self.step % self.sample_every == 0 or self.step == self.total_steps:
                self._save_samples()
            elif self.services.observer.wants_previews and time.monotonic() - self._previewed > PREVIEW_SECONDS:
                self._preview()
            if self.experiment.evaluate_every and self.step % self.experiment.evaluate_every == 0:
                improved = self._evaluate()
            if improved or self.step % self.checkpoint_every == 0 or self.step == self.total_steps:
                self._save_checkpoint()

    def _log(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        per_step = self.experiment.critic_steps * self.experiment.batch_size
        rate = self.stopwatch.window(len(rows) * per_step)
        for step, values in rows.items():
            self.losses = {name.removeprefix("loss/"): values[name] for name in values if name.startswith("loss/")}
            if step % self.experiment.log_every and step != self.total_steps:
                continue
            row = {
                "step": step,
                "epoch": step * self.experiment.critic_steps / self.feed.batches_per_epoch,
                "images_seen": step * per_step,
                **values,
                "images_per_second": rate,
                "elapsed_seconds": self.stopwatch.elapsed_seconds,
            }
            append_row(self.run.metrics, row)
            self.services.observer.logged(row)
            self.services.send("step_logged", row=row)

    def _preview(self) -> None:
        labels = None if self.labels is None else self.labels[:PREVIEWS]
        self.services.observer.previewed(
            draw(self.sampled_generator, self.latents[:PREVIEWS], labels, seed=self.experiment.seed).images
        )
        self._previewed = time.monotonic()

    def _save_samples(self) -> None:
        images = draw(self.sampled_generator, self.latents, self.labels, seed=self.experiment.seed).images
        path = self.run.sample_path(self.step)
        save_png(grid(images), path)
        self.services.observer.previewed(images[:PREVIEWS])
        self._previewed = time.monotonic()
        self.services.send("images_saved", step=self.step, path=str(path.resolve()))

    def _evaluate(self) -> bool:
        """Score the generator; return whether it is the best so far."""
        assert self.services.evaluate is not None, "launch gives one where evaluate_every is set"  # noqa: S101
        scored = self.services.evaluate(self.sampled_generator)
        row = {"step": self.step, "scores": scored.scores, "passport": scored.passport}
        append_row(self.run.evaluations, row)
        self.services.send("evaluated", step=self.step, scores=scored.scores, passport=scored.passport)
        value = scored.scores[scored.metric]
        if value is None:
            return False
        if self.best is not None:
            better = value > self.best["value"] if scored.higher_is_better else value < self.best["value"]
            if not better:
                return False
        self.best = {"metric": scored.metric, "value": value, "step": self.step}
        return True

    def _save_checkpoint(self) -> None:
        tensors = part_tensors(self.parts)
        bad = first_not_finite_weight(tensors)
        if bad is not None:
            raise DivergedError(f"step {self.step}: {bad} is not finite")
        sync_file(self.run.metrics)
        sync_file(self.run.evaluations)
        place = checkpoints.save(self.run, Checkpoint(tensors, self.state()))
        self._saved_step = self.step
        keep, best = self.experiment.keep_checkpoints, self.best
        checkpoints.prune(self.run, newest=self.step, keep=keep, best=None if best is None else best["step"])
        self.services.send("checkpoint_saved", step=self.step, path=str(place.resolve()))

    def state(self) -> dict[str, Any]:
        """Return the numbers of a checkpoint; none of them is a time, so that equal training makes equal files."""
        return {
            "step": self.step,
            "images_seen": self.images_seen,
            "seed": self.experiment.seed,
            "precision": self.precision,
            "best": self.best,
            "penalties": {name: float(value) for name, value in self.steps.measured.items()},
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; rows after it are removed, to be written again. Raises CheckpointError."""
        restore_parts(self.parts, checkpoint)
        self.step = self._saved_step = checkpoint.step
        self.best = checkpoint.state.get("best")
        for name, value in checkpoint.state.get("penalties", {}).items():
            self.steps.measured[name].fill_(value)
        self.forget_later_rows()

    def forget_later_rows(self) -> None:
        """Keep only the rows up to this step, and count the seconds on from the last of them."""
        for path in (self.run.metrics, self.run.evaluations):
            truncate_rows(path, lambda row: row.get("step", 0) <= self.step)
        rows = read_rows(self.run.metrics)
        if rows:
            self.losses = {name.removeprefix("loss/"): rows[-1][name] for name in rows[-1] if name.startswith("loss/")}
            self.stopwatch = Stopwatch(rows[-1]["elapsed_seconds"])


def prepare_steps(
    assembly: Assembly, *, device: torch.device, precision: Precision
) -> tuple[Steps, GeneratorEma | None]:
    """Move an assembly's networks to a device, in the layout its convolutions like, and make its step functions."""
    experiment = assembly.resolution.experiment
    parts: list[nn.Module] = [assembly.generator, assembly.discriminator, *assembly.augmentations.values()]
    for part in parts:
        part.to(device).to(memory_format=torch.channels_last)
    optimizers = {
        "gen": make_optimizer(experiment.optimizer.gen, assembly.generator.parameters(), device),
        "disc": make_optimizer(experiment.optimizer.disc, assembly.discriminator.parameters(), device),
    }
    steps = Steps(assembly, optimizers=optimizers, device=device, precision=precision)
    halflife = experiment.ema_halflife_images
    return steps, None if halflife is None else GeneratorEma(assembly.generator, halflife)
