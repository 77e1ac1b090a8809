"""Output files of a training run: rows, grids of fixed samples, evaluations and checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ganforge.components import Dataset, Generator
from ganforge.components.sampling import Sampler, class_rows, draw_latents
from ganforge.data.pictures import render, sample_condition, to_pictures, with_condition
from ganforge.diagnostics.monitor import Alert, HealthMonitor
from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.schemas.rows import EVALUATIONS, METRICS, EvaluationRow, MetricsRow, read_rows
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents
from ganforge.training.callbacks import EvaluationResult, TrainerContext
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import append_row, error_reason, output_errors, sync_file, write_atomically
from ganforge.utils.images import RGB, grid, save_png
from ganforge.utils.process import kept_process
from ganforge.utils.signals import Interruption

PREVIEW_SECONDS = 2.0
SAMPLES, COLUMNS = 64, 8
#: Pairs of a condition image and its result, side by side.
PAIRS, PAIR_COLUMNS = 32, 4
#: Samples of a picture that the dataset renders, such as a scatter plot.
RENDERED_SAMPLES = 1024
PREVIEWS = 10


class Writer:
    """Writer of a run's files, which also calls the callback and sends events. Only the main rank writes.

    Every method raises OutputError if a file cannot be written.
    """

    def __init__(self, run: RunDirectory, context: TrainerContext, gan: GANComponents, *, seed: int) -> None:
        self.run = run
        self.context = context
        self._gan = gan
        self._seed = seed
        self._preview_time = -math.inf

    @cached_property
    def fixed_samples(self) -> FixedSamples:
        """Samples of the grids."""
        channels = self._gan.info.image.channels
        if channels > RGB and type(self._gan.dataset).to_pixels is Dataset.to_pixels:
            self.context.callback.on_message(
                f"images have {channels} channels; grids show the first {RGB} (a dataset's to_pixels returns others)"
            )
        return FixedSamples(self._gan, seed=self._seed)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        with output_errors():
            append_row(self.run.metrics, row)
        self.context.callback.on_log(row)
        self.context.send("step_logged", row=row)

    def health(self, monitor: HealthMonitor, changes: Iterable[Alert] = ()) -> None:
        """Report changed alerts, and write all alerts to run.json.

        An error of run.json does not end the run, since it is written again at the end.
        """
        for alert in changes:
            self.context.callback.on_message(alert.summary)
        self.context.callback.on_alert(list(monitor.active))
        try:
            self.run.update_manifest(health=monitor.report())
        except (OSError, GanforgeError) as reason:
            self.context.callback.on_message(f"run.json could not be updated: {reason}")

    def preview(self, generator: Generator) -> None:
        """Pass a few of the fixed samples to the callback every few seconds, if it wants previews."""
        if self.context.callback.wants_previews and time.monotonic() - self._preview_time >= PREVIEW_SECONDS:
            self._show(self.fixed_samples.previews(generator))

    def samples(self, generator: Generator, step: int) -> None:
        """Save a picture of the fixed samples."""
        picture, previews = self.fixed_samples.picture(generator)
        path = self.run.sample_path(step)
        with output_errors():
            save_png(picture, path)
        self._show(previews)
        self.context.send("images_saved", step=step, path=str(path.resolve()))

    def _show(self, pictures: Tensor) -> None:
        self.context.callback.on_sample(pictures)
        self._preview_time = time.monotonic()

    def evaluate(self, generator: Generator, interruption: Interruption) -> EvaluationResult:
        """Evaluate the generator; nothing is written. Raises WaitInterrupted at the first signal."""
        assert self.context.evaluate is not None, "launch sets it if evaluate_every is set"  # noqa: S101
        with interruption.waiting():
            return self.context.evaluate(generator)

    def evaluation(self, result: EvaluationResult, step: int) -> None:
        """Write the scores and pictures of an evaluation."""
        row = EvaluationRow(step=step, **result.row, source="training")
        with output_errors():
            append_row(self.run.evaluations, row.model_dump(mode="json"))
            for name, picture in result.pictures.items():
                save_png(picture, self.run.evaluation_picture_path(name, step))
        self.context.callback.on_evaluate(step, row.scores, row.reference)
        self.context.send("evaluated", step=step, scores=row.scores, protocol=row.model_dump(mode="json")["protocol"])

    def checkpoint(self, checkpoint: Checkpoint, *, keep: int, best: Mapping[str, Any] | None) -> None:
        """Sync all rows, save a checkpoint, and remove old checkpoints."""
        step = checkpoint.step
        with output_errors():
            sync_file(self.run.metrics)
            sync_file(self.run.evaluations)
            path = checkpoints.save(self.run, checkpoint)
            checkpoints.prune(self.run, newest=step, keep=keep, best=None if best is None else best["step"])
        self.context.send("checkpoint_saved", step=step, path=str(path.resolve()))

    def truncate_after(self, step: int) -> None:
        """Remove the rows and pictures after a step, before the run continues there; report lost rows before it."""
        metrics, evaluations = self.rows()
        expected = range(self._gan.resolved.experiment.log_every, step + 1, self._gan.resolved.experiment.log_every)
        lost = sorted(set(expected) - {row["step"] for row in metrics})
        if lost:
            self.context.callback.on_message(
                f"{self.run.metrics} lacks {len(lost):,} of {len(expected):,} rows up to step {step:,}, the first of "
                f"step {lost[0]:,}: they are lost or damaged, and curves have gaps there"
            )
        kept = [row.model_dump(mode="json") for row in evaluations if row.step <= step]
        with output_errors():
            self._rewrite(self.run.metrics, [row for row in metrics if row["step"] <= step])
            self._rewrite(self.run.evaluations, kept)
            for picture_step, picture in self.run.pictures():
                if picture_step > step:
                    picture.unlink(missing_ok=True)

    @staticmethod
    def _rewrite(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        if path.exists():
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))

    def rows(self) -> tuple[list[MetricsRow], list[EvaluationRow]]:
        """Return the rows of metrics.jsonl and of evaluation.jsonl. Raises RunDirectoryError if one cannot be read."""
        try:
            return read_rows(self.run.metrics, METRICS), read_rows(self.run.evaluations, EVALUATIONS)
        except OSError as error:
            problem = f"{error.filename} cannot be read: {error_reason(error)}"
            raise RunDirectoryError(problem, fix="restore it, or remove it: the weights do not depend on it") from None


class FixedSamples:
    """Fixed latents and conditions, and pictures of a generator's images for them.

    With few classes, a grid has one row per class and one latent per column. A condition image is to the left of its
    result.
    """

    def __init__(self, gan: GANComponents, *, seed: int) -> None:
        self._dataset, self._image, self._seed = gan.dataset, gan.info.image, seed
        condition = self._image.condition if gan.generator.conditional else None
        pairs = condition is not None and condition.is_image
        self._columns = PAIR_COLUMNS if pairs else COLUMNS
        self._shown = slice(PREVIEWS)
        self._noise_period: int | None = None
        self._rendered = type(gan.dataset).render is not Dataset.render
        count = RENDERED_SAMPLES if self._rendered else PAIRS if pairs else SAMPLES
        self.condition = None if self._rendered else class_rows(gan.generator, COLUMNS)
        if self.condition is None:
            self.latents = draw_latents(gan.latent, gan.generator, count, seed=seed)
            self.condition = sample_condition(gan.generator, gan, count)
        else:
            rows = len(self.condition) // COLUMNS
            self.latents = draw_latents(gan.latent, gan.generator, COLUMNS, seed=seed).repeat(rows, 1)
            self._shown = slice(0, PREVIEWS * COLUMNS, COLUMNS)
            self._noise_period = COLUMNS

    @kept_process()
    def picture(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return one picture of all samples, `(C, H, W)` uint8, and the previews among them, `(N, C, H, W)` uint8."""
        sampler = Sampler(generator, seed=self._seed, noise_period=self._noise_period)
        images = sampler.images(self.latents, self.condition)
        rendered = render(self._dataset, images) if self._rendered else None
        if rendered is not None:
            return rendered, rendered[None]
        pictures = self._pictures(images, self.condition)
        return grid(pictures[:SAMPLES] if self._rendered else pictures, self._columns), pictures[self._shown]

    @kept_process()
    def previews(self, generator: Generator) -> Tensor:
        """Return pictures of a few samples, `(N, C, H, W)` uint8."""
        if self._rendered:
            return self.picture(generator)[1]
        condition = None if self.condition is None else self.condition[self._shown]
        period = None if self._noise_period is None else 1  # they are the first images of their rows
        sampler = Sampler(generator, seed=self._seed, noise_period=period)
        images = sampler.images(self.latents[self._shown], condition)
        return self._pictures(images, condition)

    def _pictures(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return with_condition(to_pictures(self._dataset, images), condition, self._image)
