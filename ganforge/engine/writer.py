"""What a run leaves behind while it trains: rows, grids, evaluations and checkpoints. One process of it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganforge.engine import checkpoint as checkpoints
from ganforge.engine.checkpoint import Checkpoint
from ganforge.engine.services import Services
from ganforge.interfaces import Generator
from ganforge.pictures import grid, save_png
from ganforge.runs import RunDirectory, append_row, read_rows, truncate_rows
from ganforge.runs.files import number_in, sync_file
from ganforge.sampling import default_labels, draw, draw_latents, rows_of_classes

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

    def evaluation(self, generator: Generator, step: int, best: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Score the generator, and return what `best` becomes where it is the best so far, else None."""
        assert self.services.evaluate is not None, "launch gives one where evaluate_every is set"  # noqa: S101
        scored = self.services.evaluate(generator)
        row = {"step": step, "scores": scored.scores, "passport": scored.passport}
        append_row(self.run.evaluations, row)
        self.services.send("evaluated", step=step, scores=scored.scores, passport=scored.passport)
        value = scored.scores[scored.metric]
        if value is None:
            return None
        if best is not None:
            better = value > best["value"] if scored.higher_is_better else value < best["value"]
            if not better:
                return None
        return {"metric": scored.metric, "value": value, "step": step}

    def checkpoint(self, checkpoint: Checkpoint, *, keep: int, best: Mapping[str, Any] | None) -> None:
        """Save a checkpoint, after the rows before it, and remove the ones that are no longer kept."""
        sync_file(self.run.metrics)
        sync_file(self.run.evaluations)
        place = checkpoints.save(self.run, checkpoint)
        step = checkpoint.step
        checkpoints.prune(self.run, newest=step, keep=keep, best=None if best is None else best["step"])
        self.services.send("checkpoint_saved", step=step, path=str(place.resolve()))

    def rows_up_to(self, step: int) -> list[dict[str, Any]]:
        """Remove the rows after a step, to be written again, and return the remaining rows of metrics.jsonl."""
        for path in (self.run.metrics, self.run.evaluations):
            truncate_rows(path, lambda row: number_in(row, "step") <= step)
        return read_rows(self.run.metrics)
