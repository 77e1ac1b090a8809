"""A run that was trained: its generator, and images drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganforge.components import DatasetInfo, Generator, ImageSpec, Split
from ganforge.components.sampling import Drawn, draw, draw_latents, rows_of_classes
from ganforge.config import Experiment
from ganforge.config.reload import reload
from ganforge.errors import CheckpointError, IncompatibleError, RunDirectoryError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import Asked, RunScores, evaluate_run
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import build_network
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.evaluation_budget import TRAINING
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import number_in, read_rows
from ganforge.utils.images import grid, png_bytes, save_png
from ganforge.utils.suggest import did_you_mean


def load_run(path: str | Path, *, plugins: Sequence[str | Path] = ()) -> TrainedRun:
    """Open a run directory. plugins: local plugin files that it needs. Raises RunDirectoryError where it is none."""
    return TrainedRun(RunDirectory.open(Path(path)), Registry.discover([Path(plugin) for plugin in plugins]))


@dataclass(frozen=True, slots=True)
class Samples:
    """Hold images drawn from a generator; a notebook shows them as a picture.

    images: uint8, `(N, H, W, C)`. latents: float32, `(N, Z)`. labels: int64, `(N,)`, or None. columns: images in a row
    of their grid; as near to a square as can be where it is None.
    """

    images: NDArray[np.uint8]
    latents: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    columns: int | None = None

    def __len__(self) -> int:
        return len(self.images)

    def _tensor(self) -> Tensor:
        return torch.from_numpy(self.images).permute(0, 3, 1, 2)

    def _repr_png_(self) -> bytes:
        return png_bytes(grid(self._tensor(), self.columns))

    def save_grid(self, path: str | Path, *, columns: int | None = None) -> None:
        """Write all images as one PNG. Raises OSError."""
        save_png(grid(self._tensor(), columns or self.columns), Path(path))

    def save_folder(self, folder: str | Path) -> None:
        """Write each image as a PNG of its own, 00000.png and on, into a new folder. Raises OSError."""
        place = Path(folder)
        place.mkdir(parents=True)
        for number, image in enumerate(self._tensor()):
            label = "" if self.labels is None else f"-{int(self.labels[number])}"
            save_png(image, place / f"{number:05d}{label}.png")

    def save_npz(self, path: str | Path) -> None:
        """Write `images`, `latents` and, where there are any, `labels` as one compressed file. Raises OSError."""
        arrays: dict[str, Any] = {"images": self.images, "latents": self.latents}
        if self.labels is not None:
            arrays["labels"] = self.labels
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)


def _samples(drawn: Drawn, columns: int | None = None) -> Samples:
    return Samples(
        drawn.images.permute(0, 2, 3, 1).contiguous().numpy(),
        drawn.latents.float().numpy(),
        None if drawn.labels is None else drawn.labels.numpy(),
        columns,
    )


class TrainedRun:
    """Give access to what a run left behind."""

    def __init__(self, directory: RunDirectory, registry: Registry) -> None:
        self.directory = directory
        self.registry = registry
        self.notices: list[str] = []
        self._generators: dict[tuple[int, str], Generator] = {}

    def __repr__(self) -> str:
        return f"<ganforge run {str(self.path)!r}, {self.manifest['status']}>"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment."""
        return self.directory.read_experiment()

    @property
    def manifest(self) -> dict[str, Any]:
        """run.json as it is now."""
        return self.directory.read_manifest()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return read_rows(self.directory.metrics)

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of evaluation.jsonl: those of the training, and those that `evaluate` has added."""
        return read_rows(self.directory.evaluations)

    def generator(self, *, ema: bool | None = None, step: int | None = None) -> Generator:
        """Return the trained generator in evaluation mode, on the CPU.

        ema: the moving average (True), the weights themselves (False), or the average where there is one (None). step:
        of which checkpoint; the newest valid one by default. Raises UsageError for one that is not there,
        CheckpointError, IncompatibleError.
        """
        name = self.weights_file(ema=ema)
        newest = next(iter(checkpoints.steps(self.directory)), 0)
        key = (newest if step is None else step, name)
        if key not in self._generators:
            checkpoint = self.checkpoint(step)
            key = (checkpoint.step, name)  # the newest may be damaged, and the one before it meant
            self._generators[key] = self.generator_of(checkpoint, name)
        return self._generators[key]

    def weights_file(self, *, ema: bool | None) -> str:
        """Return the file of a checkpoint that is meant: `generator` or `generator_ema`. Raises IncompatibleError."""
        averaged = self.experiment.ema_halflife_images is not None
        if ema and not averaged:
            raise IncompatibleError(f"{self.path} keeps no moving average", fix="train with --ema-halflife-images 5000")
        return "generator_ema" if averaged and ema is not False else "generator"

    def generator_of(self, checkpoint: Checkpoint, name: str) -> Generator:
        """Return the generator of a checkpoint's file in evaluation mode, on the CPU. Raises CheckpointError."""
        network = self._new_generator()
        checkpoints.load_module(network, checkpoint.part(name), name)
        return network.eval().requires_grad_(requires_grad=False)

    def evaluate(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        samples: int | None = None,
        step: int | Literal["best"] | None = None,
        split: Split | None = None,
        features: str | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        device: str = "auto",
        ema: bool | None = None,
        record: bool = True,
    ) -> RunScores:
        """Score the generator against real images, and add a row to evaluation.jsonl.

        metrics: names; FID, KID, precision and recall by default, and modes where the features tell classes apart.
        samples: fakes, and as many real images; 10,000 by default, or as many as the split has. step: of which
        checkpoint; the newest, or `best`. split: the test split where there is one. features: what describes images;
        the run's own by default. options: of these, such as `{"metric.kid.subsets": 50}`. seed: the run's own by
        default. record: whether the row and the metrics' pictures are written into the run directory.

        Raises UsageError and its kin for what does not fit, CheckpointError, PluginError.
        """
        names = [metrics] if isinstance(metrics, str) else metrics
        asked = Asked(names, samples, step, split, features, dict(options or {}), seed, device, ema)
        return evaluate_run(self, asked, record=record)

    def sample(
        self,
        n: int = 64,
        seed: int = 0,
        *,
        labels: int | Sequence[int] | None = None,
        ema: bool | None = None,
        step: int | None = None,
    ) -> Samples:
        """Draw `n` images that the seed decides. labels: one class for all, or one each, for generators that take them.

        Raises UsageError for a count below 1 or a step that has no checkpoint, IncompatibleError for labels that do
        not fit, CheckpointError.
        """
        if n < 1:
            raise UsageError(f"{n} images cannot be drawn; 1 is the fewest")
        generator = self.generator(ema=ema, step=step)
        wanted = None if labels is None else torch.tensor([labels] * n if isinstance(labels, int) else list(labels))
        if wanted is not None and len(wanted) != n:
            raise UsageError(f"{len(wanted)} labels were given for {n} images")
        return _samples(draw(generator, draw_latents(generator, n, seed=seed), wanted, seed=seed))

    def sample_by_class(
        self, columns: int = 10, seed: int = 0, *, ema: bool | None = None, step: int | None = None
    ) -> Samples | None:
        """Draw `columns` images of each class, whose grid has a row for each; a latent makes a column.

        None for a generator that takes no labels, and for more classes than a person looks at. Raises as `sample` does.
        """
        generator = self.generator(ema=ema, step=step)
        labels = rows_of_classes(generator, columns)
        if labels is None:
            return None
        latents = draw_latents(generator, columns, seed=seed).repeat(len(labels) // columns, 1)
        return _samples(draw(generator, latents, labels, seed=seed), columns)

    def class_number(self, label: str) -> int:
        """Return the number of a class, given by its number or its name. Raises IncompatibleError for none of these."""
        names = self.data_info().class_names or ()
        if label in names:
            return int(names.index(label))
        if label.isdecimal():
            return int(label)  # drawing says where there is no such class
        raise IncompatibleError(f"no class {label!r}{did_you_mean(label, names)}")

    def data_info(self) -> DatasetInfo:
        """Return what run.json says of the data, so that none is loaded. Raises RunDirectoryError."""
        data: Any = self.manifest.get("data")
        try:
            channels, height, width = (int(number) for number in data["image"].split("×"))
            if min(channels, height, width) < 1:
                raise ValueError(data["image"])  # noqa: TRY301 - as int() does for what is no number
            classes = None if data.get("classes") is None else tuple(map(str, data["classes"]))
            return DatasetInfo(
                name="".join(data["name"]),
                image=ImageSpec(channels, height, width, None if classes is None else len(classes)),
                class_names=classes,
                sizes=dict(data["sizes"]),
                fingerprint="".join(data["fingerprint"]),
                source=str(data.get("source") or ""),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RunDirectoryError(
                f"{self.directory.manifest} is damaged: it does not say which data the run had"
            ) from None

    def checkpoint(self, step: int | Literal["best"] | None = None) -> Checkpoint:
        """Return the checkpoint of a step, the best one, or the newest valid one.

        Raises UsageError for a step that has none, CheckpointError for damaged ones, and where there are none yet.
        """
        if step == "best":
            newest = self.checkpoint()
            best = newest.state["best"]
            if best is None:
                raise UsageError(
                    f"{self.path} knows no best checkpoint: {self._why_no_best(newest.step)}",
                    fix="train with --evaluate-every, or pass --checkpoint newest",
                )
            step = int(best["step"])
        if step is not None:
            there = checkpoints.steps(self.directory)
            if step not in there:
                listed = ", ".join(map(str, sorted(there))) or "none"
                raise UsageError(f"{self.path} has no checkpoint of step {step}; there is {listed}")
            return checkpoints.load(self.directory.checkpoint_path(step))
        checkpoint = checkpoints.load_newest(self.directory, self.notices.append)
        if checkpoint is None:
            raise CheckpointError(f"{self.path} has no checkpoint yet", fix=f"train it: ganforge resume {self.path}")
        return checkpoint

    def _why_no_best(self, step: int) -> str:
        made = [row for row in self.evaluations if row.get("made_by", TRAINING) == TRAINING]
        rows = [row for row in made if number_in(row, "step") <= step]
        if not rows:
            return "it was not evaluated while it trained"
        return f"the score that decides was not finite in any of its {len(rows)} evaluations"

    def _new_generator(self) -> Generator:
        """Build the generator without loading any data: run.json knows the images' shape."""
        info = self.data_info()
        resolved = reload(self.experiment, self.registry, self.manifest, ("gen",))
        network = build_network(resolved.one("gen"), info, resolved.experiment.seed, "weights/generator")
        assert isinstance(network, Generator), "the registry has checked it"  # noqa: S101
        return network
