"""What a run leaves behind while it trains: rows, grids, evaluations and checkpoints. One process of it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ganforge.components import Generator
from ganforge.components.sampling import default_labels, draw, draw_latents, rows_of_classes
from ganforge.diagnostics.alerts import Finding
from ganforge.diagnostics.monitor import Health
from ganforge.errors import GanforgeError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.evaluation_budget import TRAINING
from ganforge.training.run_directory import RunDirectory
from ganforge.training.services import Scored, Services
from ganforge.utils.files import append_row, number_in, read_rows, sync_file, truncate_rows
from ganforge.utils.images import grid, save_png

SAMPLES = 64
COLUMNS = 8
PREVIEWS = 10
PREVIEW_SECONDS = 2.0


class Writer:
    """Write a run's files, and tell those who watch and listen. Everything here raises OSError."""

    def __init__(self, run: RunDirectory, services: Services, generator: Generator, *, seed: int) -> None:
        self.run = run
        self.services = services
        self.seed = seed
        self.labels = rows_of_classes(generator, COLUMNS)
        if self.labels is None:
            self.latents = draw_latents(generator, SAMPLES, seed=seed)
            self.labels = default_labels(generator, SAMPLES)
            self._shown = slice(PREVIEWS)
        else:  # a latent in each column, and a class in each row
            self.latents = draw_latents(generator, COLUMNS, seed=seed).repeat(len(self.labels) // COLUMNS, 1)
            self._shown = slice(0, PREVIEWS * COLUMNS, COLUMNS)
        self._previewed = -math.inf

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row to metrics.jsonl."""
        append_row(self.run.metrics, row)
        self.services.observer.logged(row)
        self.services.send("step_logged", row=row)

    def health(self, health: Health, changes: Iterable[Finding] = ()) -> None:
        """Tell what has been found, or is over, and keep it in run.json, where that is possible."""
        for finding in changes:
            self.services.observer.noticed(finding.news)
        self.services.observer.found(list(health.current))
        try:
            self.run.update_manifest(health=health.report())
        except (OSError, GanforgeError) as reason:  # a run does not end for what is told once more at its end
            self.services.observer.noticed(f"run.json could not be updated: {reason}")

    def preview(self, generator: Generator) -> None:
        """Show a few of the fixed samples to whoever watches, every now and then."""
        if not self.services.observer.wants_previews or time.monotonic() - self._previewed < PREVIEW_SECONDS:
            return
        labels = None if self.labels is None else self.labels[self._shown]
        self._show(draw(generator, self.latents[self._shown], labels, seed=self.seed).images)

    def samples(self, generator: Generator, step: int) -> None:
        """Save the grid of the fixed samples."""
        images = draw(generator, self.latents, self.labels, seed=self.seed).images
        path = self.run.sample_path(step)
        save_png(grid(images, COLUMNS), path)
        self._show(images[self._shown])
        self.services.send("images_saved", step=step, path=str(path.resolve()))

    def _show(self, images: Tensor) -> None:
        self.services.observer.previewed(images)
        self._previewed = time.monotonic()

    def evaluation(self, generator: Generator, step: int) -> Scored:
        """Score the generator, and write down what was found."""
        assert self.services.evaluate is not None, "launch gives one where evaluate_every is set"  # noqa: S101
        scored = self.services.evaluate(generator)
        append_row(self.run.evaluations, {"step": step, **scored.row, "made_by": TRAINING})
        for name, picture in scored.pictures.items():
            save_png(picture, self.run.evaluation_picture_path(name, step))
        self.services.send("evaluated", step=step, scores=scored.scores, protocol=scored.row["protocol"])
        return scored

    def checkpoint(self, checkpoint: Checkpoint, *, keep: int, best: Mapping[str, Any] | None) -> None:
        """Save a checkpoint, after the rows before it, and remove the ones that are no longer kept."""
        sync_file(self.run.metrics)
        sync_file(self.run.evaluations)
        place = checkpoints.save(self.run, checkpoint)
        step = checkpoint.step
        checkpoints.prune(self.run, newest=step, keep=keep, best=None if best is None else best["step"])
        self.services.send("checkpoint_saved", step=step, path=str(place.resolve()))

    def forget_after(self, step: int) -> None:
        """Remove the rows and pictures after a step, to be made again."""
        for path in (self.run.metrics, self.run.evaluations):
            truncate_rows(path, lambda row: number_in(row, "step") <= step)
        for later, picture in self.run.pictures():
            if later > step:
                picture.unlink(missing_ok=True)

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of metrics.jsonl, and of evaluation.jsonl."""
        return read_rows(self.run.metrics), read_rows(self.run.evaluations)
