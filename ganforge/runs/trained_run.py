"""Trained run: generator, samples, scores and files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ganforge.components import DatasetInfo, Generator, LatentDistribution, Split
from ganforge.config import Experiment
from ganforge.errors import IncompatibleError, RunDirectoryError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs import ReportWriter
from ganforge.runs.conditions import Condition
from ganforge.runs.evaluate import EvaluationRequest, RunScores, evaluate_run
from ganforge.runs.index import current_status
from ganforge.runs.latents import Latents
from ganforge.runs.plot import Plot, plot_rows
from ganforge.runs.rebuild import LoadedGenerator, find_module, rebuild_generator, rebuild_modules
from ganforge.runs.sample import Samples, conditioned_latents, draw_samples, latents_by_class
from ganforge.runs.table import Table
from ganforge.schemas.manifest import Manifest
from ganforge.schemas.rows import EVALUATIONS, METRICS, EvaluationRow, MetricsRow, read_rows
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import read_file
from ganforge.utils.format import format_number
from ganforge.utils.text import printable

#: Limit of a grid that a notebook shows.
MAX_PICTURE_BYTES = 1 << 24
#: Step of a checkpoint, the newest valid one, or the one with the best score.
CheckpointChoice: TypeAlias = int | Literal["newest", "best"]


class TrainedRun:
    """Access to a run directory.

    Attributes:
        directory: The run directory.
        registry: Installed components.
        report: Writer of report.html, which an evaluation updates.
        notices: Messages for the user, such as skipped checkpoints.
    """

    def __init__(self, directory: RunDirectory, registry: Registry, *, report: ReportWriter | None = None) -> None:
        self.directory = directory
        self.registry = registry
        self.report = report
        self.notices: list[str] = []
        self._loaded: dict[tuple[int, str], LoadedGenerator] = {}

    def __repr__(self) -> str:
        summary = self.manifest.summary
        steps = "" if summary is None else f" after {summary.steps:,} steps"
        return f"<ganforge run {str(self.path)!r}, {current_status(self.path, self.manifest.status)}{steps}>"

    def _repr_html_(self) -> str:
        """Return the run as a notebook shows it: what it is, its newest scores and its newest grid."""
        components = " · ".join(f"{section} {name}" for section, name in self.manifest.components.items())
        newest = [
            f"{name} {value if isinstance(value, str) else format_number(value)}"
            for row in self.scores[-1:]
            for name, value in row.items()
        ]
        lines = [repr(self).strip("<>"), components, " · ".join(newest)]
        html = "".join(f"<div>{escape(printable(line))}</div>" for line in lines if line)
        grids = sorted(self.directory.samples.glob("step-*.png"))
        if grids:
            encoded = base64.b64encode(read_file(grids[-1], max_bytes=MAX_PICTURE_BYTES)).decode()
            html += f'<img src="data:image/png;base64,{encoded}" alt="samples" style="image-rendering:pixelated">'
        return html

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment."""
        return self.directory.read_experiment()

    @property
    def manifest(self) -> Manifest:
        """Current content of run.json."""
        return self.directory.read_manifest()

    @property
    def metrics(self) -> Table[MetricsRow]:
        """Rows of metrics.jsonl."""
        return Table(read_rows(self.directory.metrics, METRICS))

    @property
    def evaluations(self) -> list[EvaluationRow]:
        """Rows of evaluation.jsonl, from the training and from `evaluate`."""
        return read_rows(self.directory.evaluations, EVALUATIONS)

    @property
    def scores(self) -> Table[dict[str, float | str | None]]:
        """Scores of all evaluations, a row for each, with its step, weights and fakes; `evaluations` has all."""
        return Table(
            {"step": row.step, "weights": row.protocol.weights, "num_samples": row.protocol.fake_images, **row.scores}
            for row in self.evaluations
        )

    @property
    def latent(self) -> LatentDistribution:
        """Latent distribution of the newest checkpoint, on the CPU."""
        return self.load().latent

    def dataset_info(self) -> DatasetInfo:
        """Return the metadata of the training data from run.json, without opening data. Raises RunDirectoryError."""
        return self.manifest.data

    def generator(self, *, ema: bool | None = None, checkpoint: CheckpointChoice = "newest") -> Generator:
        """Return the trained generator in evaluation mode, on the CPU.

        Args:
            ema: The moving average (True), the weights themselves (False), or the average if there is one (None).
            checkpoint: Step of a checkpoint, `newest` or `best`.

        Raises:
            UsageError: The checkpoint does not exist.
            CheckpointError: It is damaged.
            IncompatibleError: The run has no moving average.
        """
        return self.load(ema=ema, checkpoint=checkpoint).generator

    def module(self, name: str, *, ema: bool | None = None, checkpoint: CheckpointChoice = "newest") -> nn.Module:
        """Return a trained component or a submodule of one, in evaluation mode, on the CPU.

        Args:
            name: Component, such as `discriminator` or the name of a term, or a submodule, such as `encoder` or
                `discriminator.encoder`.
            ema: Weights of the generator and its submodules, as for `generator`.
            checkpoint: Step of a checkpoint, `newest` or `best`.

        Raises:
            UsageError: The module or the checkpoint does not exist.
            CheckpointError: The checkpoint is damaged.
        """
        file = self.weights_file(ema=ema)
        loaded = self.checkpoint(checkpoint)
        modules = rebuild_modules(self, loaded)
        checkpoints.load_module(modules.generator, loaded.file(file), file, frozen=modules.generator.frozen)
        return find_module(modules, name)

    def weights_file(self, *, ema: bool | None) -> str:
        """Return the checkpoint's file of the generator: `generator` or `generator_ema`. Raises IncompatibleError."""
        averaged = self.experiment.ema_halflife_images is not None
        if ema and not averaged:
            raise IncompatibleError(f"{self.path} has no moving average", fix="train with --ema-halflife-images 5000")
        return "generator_ema" if averaged and ema is not False else "generator"

    def load(self, *, ema: bool | None = None, checkpoint: CheckpointChoice = "newest") -> LoadedGenerator:
        """Return generator and latent distribution of a checkpoint; arguments and errors are those of `generator`."""
        file = self.weights_file(ema=ema)
        newest = next(iter(checkpoints.steps(self.directory)), 0)
        key = (newest if checkpoint == "newest" else checkpoint, file)
        if key not in self._loaded:
            read = self.checkpoint(checkpoint)
            key = (read.step, file)  # an older one if the newest is damaged
            self._loaded[key] = rebuild_generator(self, read, file)
        return self._loaded[key]

    def evaluate(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        num_samples: int | None = None,
        checkpoint: CheckpointChoice = "newest",
        split: Split | None = None,
        features: str | None = None,
        options: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        seed: int | None = None,
        device: str = "auto",
        ema: bool | None = None,
        reference: str | Path | None = None,
        save_reference: str | Path | None = None,
        record: bool = True,
    ) -> RunScores:
        """Score the generator against real images, and add a row to evaluation.jsonl.

        Args:
            metrics: Names; FID, KID, precision and recall by default, and modes if the features include classes.
            num_samples: Fakes, and as many real images; 10,000 by default, or as many as the split has.
            checkpoint: Step of a checkpoint, `newest` or `best`.
            split: Split of the real images; the test split if there is one.
            features: Feature extractor; that of the run by default.
            options: Options of metrics and features, such as `{"metric.kid.subsets": 50}`, and `data.path` or
                `data.root` for data that has moved.
            sampling: Sampling options of the generator, such as `{"truncation": 0.7}`.
            seed: Seed of latents and real images; that of the run by default.
            device: Device to compute on.
            ema: Weights of the generator, as for `generator`.
            reference: File of statistics of the real images, in place of the dataset.
            save_reference: File that statistics of the real images are written to.
            record: Whether the row and the metrics' pictures are written into the run directory.

        Raises:
            UsageError: A name, an option or a number is invalid.
            CheckpointError: The checkpoint is damaged.
            PluginError: A component fails.
        """
        names = [metrics] if isinstance(metrics, str) else metrics
        request = EvaluationRequest(
            metrics=names,
            num_samples=num_samples,
            checkpoint=checkpoint,
            split=split,
            features=features,
            options=dict(options or {}),
            sampling=dict(sampling or {}),
            seed=seed,
            device=device,
            ema=ema,
            reference=None if reference is None else Path(reference),
            save_reference=None if save_reference is None else Path(save_reference),
        )
        return evaluate_run(self, request, record=record)

    def resume(
        self,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        device: str | None = None,
        workers: int | None = None,
        data: Mapping[str, Any] | None = None,
        callback: Callback | None = None,
        progress: bool = True,
    ) -> TrainedRun:
        """Resume exactly at the newest checkpoint, with the plugins of this object, and return the finished run.

        Arguments and errors are those of `ganforge.resume`.
        """
        from ganforge.runs.launch import ResumeOverrides, resume_to_end  # noqa: PLC0415 - it imports this class

        overrides = ResumeOverrides(epochs=epochs, steps=steps, device=device, workers=workers, data=data or {})
        return resume_to_end(
            self.directory, self.registry, overrides, callback=callback, progress=progress, report=self.report
        )

    def plot(self, *columns: str) -> Plot:
        """Return a chart of columns of metrics.jsonl, such as "prob/real"; of the losses by default.

        Raises:
            UsageError: A column does not exist.
        """
        return plot_rows(self.metrics, columns)

    def sample(
        self,
        num_samples: int | None = None,
        seed: int = 0,
        *,
        condition: Condition | None = None,
        latents: Latents | NDArray[np.float32] | Tensor | None = None,
        sampling: Mapping[str, Any] | None = None,
        columns: int | None = None,
        ema: bool | None = None,
        checkpoint: CheckpointChoice = "newest",
        device: str = "cpu",
    ) -> Samples:
        """Draw images.

        Args:
            num_samples: Number of images; by default that of the latents or conditions, or 64.
            seed: Seed of latents and noise.
            condition: One condition for all images, or one for each: classes by number or name, vectors, or tensors. By
                default classes take turns, and vectors and tensors are those of the first test images, which are read.
            latents: `(N, Z)`, or `Latents` in z or w, whose condition is the default then; drawn by default.
            sampling: Sampling options of the generator, such as `{"truncation": 0.7}`.
            columns: Images per row of the picture; by default it is nearly square.
            ema: Weights, as for `generator`.
            checkpoint: Step of a checkpoint, `newest` or `best`.
            device: Device to compute on, such as `auto` or `cuda`; the CPU draws the same bits on every machine.

        Raises:
            UsageError: A number, an option or the checkpoint is invalid.
            IncompatibleError: The condition does not fit the generator.
            CheckpointError: The checkpoint is damaged.
        """
        loaded = self.load(ema=ema, checkpoint=checkpoint)
        drawn = conditioned_latents(self, loaded, num_samples, seed, condition, latents)
        return draw_samples(self, loaded, drawn, seed=seed, sampling=sampling, device=device, columns=columns)

    def sample_by_class(
        self,
        columns: int = 10,
        seed: int = 0,
        *,
        sampling: Mapping[str, Any] | None = None,
        ema: bool | None = None,
        checkpoint: CheckpointChoice = "newest",
        device: str = "cpu",
    ) -> Samples | None:
        """Draw images of each class from the same latents; their grid has a row for each class.

        Returns:
            The images, or None for a generator without classes, and for more classes than a grid can show.

        Raises:
            UsageError: As for `sample`.
            CheckpointError: As for `sample`.
        """
        loaded = self.load(ema=ema, checkpoint=checkpoint)
        latents = latents_by_class(loaded, columns, seed)
        if latents is None:
            return None
        return draw_samples(
            self,
            loaded,
            latents,
            seed=seed,
            sampling=sampling,
            device=device,
            columns=columns,
            noise_period=columns,
        )

    def checkpoint(self, choice: CheckpointChoice = "newest") -> Checkpoint:
        """Return the checkpoint of a step, the newest valid one, or the one with the best score.

        Raises:
            UsageError: The checkpoint does not exist, or the run has none yet.
            CheckpointError: It is damaged.
        """
        if choice == "newest":
            newest = checkpoints.load_newest(self.directory, self.notices.append)
            if newest is None:
                raise RunDirectoryError(
                    f"{self.path} has no checkpoint yet", fix=f"train it: {self.directory.command('resume', self.path)}"
                )
            return newest
        step = self._best_step() if choice == "best" else choice
        steps = checkpoints.steps(self.directory)
        if step not in steps:
            available = ", ".join(map(str, sorted(steps))) or "none"
            raise UsageError(f"{self.path} has no checkpoint of step {step} (available: {available})")
        return checkpoints.load(self.directory.checkpoint_path(step))

    def _best_step(self) -> int:
        newest = self.checkpoint()
        best = newest.state["best"]
        if best is not None:
            return int(best["step"])
        count = sum(row.source == "training" and row.step <= newest.step for row in self.evaluations)
        reason = (
            f"the best_metric of all {count} evaluations is not finite" if count else "the training had no evaluations"
        )
        raise UsageError(
            f"{self.path} has no best checkpoint: {reason}",
            fix="train with --evaluate-every, or pass --checkpoint newest",
        )
