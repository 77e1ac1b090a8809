"""Images drawn from a trained run, and the files that they are saved to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganforge.components import Dataset, Generator, ImageSpec, Space, Split
from ganforge.components.sampling import Sampler, class_rows, default_condition
from ganforge.config.reload import reload
from ganforge.data.pictures import render, sample_condition, to_pictures
from ganforge.data.scoring import build_scoring, instantiate
from ganforge.errors import DataError, IncompatibleError, UnknownComponentError, UsageError
from ganforge.image_files.streamed import machine_memory
from ganforge.runs.conditions import Condition, to_condition
from ganforge.runs.latents import Latents, check_latents
from ganforge.runs.rebuild import LoadedGenerator
from ganforge.utils.arrays import write_npz
from ganforge.utils.format import format_bytes
from ganforge.utils.images import grid, png_bytes, save_png, side_by_side

if TYPE_CHECKING:
    from ganforge.runs.trained_run import TrainedRun

NUM_SAMPLES = 64
#: Limit of the part of a file's name that names a class.
MAX_CLASS_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Samples:
    """Images drawn from a generator, shown by a notebook as one picture.

    Attributes:
        images: Pictures, `(N, H, W, C)` uint8.
        latents: `(N, Z)` float32, or `(N, …)` in w.
        condition: Condition of each image, `(N,)` int64 classes, `(N, D)` float32 vectors or `(N, …)` tensors, or None.
        raw: Images of a dataset of float32 numbers as the generator returned them, `(N, H, W, C)` float32, or None.
        columns: Images per row of the grid; by default it is nearly square.
        rendered: One picture of all samples, `(C, H, W)` uint8, of a dataset that renders them, or None for a grid.
        space: Space of the latents.
        seeds: Seed of each latent and its number among those of the seed, `(N, 2)` int64, or None for given latents.
        checkpoint: SHA-256 of the generator's weights.
        class_names: Names of the classes, or None.
    """

    images: NDArray[np.uint8]
    latents: NDArray[np.float32]
    condition: NDArray[Any] | None = None
    raw: NDArray[np.float32] | None = None
    columns: int | None = None
    rendered: Tensor | None = None
    space: Space = "z"
    seeds: NDArray[np.int64] | None = None
    checkpoint: str | None = None
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.images.shape[1:]))
        return f"<{len(self):,} samples {size}, latents {self.space} {self.latents.shape[1:]}>"

    def picture(self, columns: int | None = None) -> Tensor:
        """Return one picture of all samples, `(C, H, W)` uint8: a grid, with image conditions to the left of results.

        Args:
            columns: Images per row.
        """
        return self.rendered if self.rendered is not None else grid(self._pictures(), columns or self.columns)

    def _pictures(self) -> Tensor:
        pictures = torch.from_numpy(self.images).permute(0, 3, 1, 2)
        condition = self.condition
        if condition is None or condition.dtype != np.uint8 or condition.ndim != pictures.ndim:
            return pictures
        return side_by_side(torch.from_numpy(condition), pictures)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.picture())

    def save_grid(self, path: str | Path, *, columns: int | None = None) -> None:
        """Write one picture of all samples as PNG. Raises OSError."""
        save_png(self.picture(columns), Path(path))

    def save_folder(self, folder: str | Path) -> None:
        """Write each image as a PNG, 00000.png or with its class 00000-cat.png, into a new folder. Raises OSError."""
        path = Path(folder)
        path.mkdir(parents=True)
        classes = self.condition if self.condition is not None and self.condition.dtype == np.int64 else None
        names = dict(enumerate(_file_names(self.class_names or ())))
        for number, image in enumerate(torch.from_numpy(self.images).permute(0, 3, 1, 2)):
            suffix = "" if classes is None else f"-{names.get(int(classes[number]), classes[number])}"
            save_png(image, path / f"{number:05d}{suffix}.png")

    def save_npz(self, path: str | Path) -> None:
        """Write `images`, the latents as `Latents` has them, their condition and the names of classes. Raises OSError.

        For a dataset of float32 numbers, `images` are those numbers, and the pictures are saved as `pixels`.
        """
        arrays: dict[str, NDArray[Any] | None] = {
            "images": self.images if self.raw is None else self.raw,
            "pixels": None if self.raw is None else self.images,
            self.space: self.latents,
            "condition": self.condition,
            "class_names": None if self.class_names is None else np.array(self.class_names),
            "seeds": self.seeds,
            "checkpoint": None if self.checkpoint is None else np.array(self.checkpoint),
        }
        write_npz(Path(path), {name: array for name, array in arrays.items() if array is not None})


def _file_names(class_names: Sequence[str]) -> list[str]:
    """Return names of classes as parts of names of files, with the number of a class where two would be equal."""
    names = [re.sub(r"[^\w.-]+", "_", name)[:MAX_CLASS_CHARACTERS] for name in class_names]
    counts = Counter(names)
    return [name if counts[name] == 1 else f"{label}-{name}" for label, name in enumerate(names)]


def conditioned_latents(
    run: TrainedRun,
    loaded: LoadedGenerator,
    num_samples: int | None,
    seed: int,
    condition: Condition | None,
    latents: Latents | NDArray[np.float32] | Tensor | None,
) -> Latents:
    """Return given or drawn latents, each with its condition. Arguments and errors are those of `TrainedRun.sample`."""
    generator = loaded.generator
    conditions = None if condition is None else condition_of(run, generator, condition)
    if latents is not None and not isinstance(latents, Latents):
        latents = Latents(torch.as_tensor(latents, dtype=torch.float32))
    if latents is not None:
        latents = check_latents(generator, latents)
        if conditions is None and generator.conditional:
            conditions = latents.condition
    if num_samples is None:
        longest = max(0 if values is None else len(values) for values in (conditions, latents))
        num_samples = longest if longest > 1 or latents is not None else NUM_SAMPLES
    check_count(num_samples, generator.image, generator.latent_dim)
    if latents is None:
        latents = loaded.draw(num_samples, seed)
    if len(latents) != num_samples:
        raise UsageError(f"{len(latents)} latents for {num_samples} images")
    if conditions is None:
        conditions = default_conditions(run, generator, num_samples)
    elif len(conditions) == 1:
        conditions = conditions.expand(num_samples, *conditions.shape[1:])
    return replace(latents, condition=conditions)


def check_count(num_samples: int, image: ImageSpec, latent_dim: int = 0) -> None:
    """Raise UsageError for no image, and for more than fit into memory, where they lie twice when they are joined."""
    if num_samples < 1:
        raise UsageError(f"invalid number of images {num_samples}; the minimum is 1")
    bytes_each = 2 * image.numel * (5 if image.dtype == "float32" else 1) + 4 * latent_dim
    memory = machine_memory()
    if memory is not None and num_samples * bytes_each > memory:
        raise UsageError(
            f"{num_samples:,} images do not fit into the memory of this machine ({format_bytes(memory)})",
            fix=f"pass --num-samples {memory // (2 * bytes_each)} or less",
        )


def latents_by_class(loaded: LoadedGenerator, columns: int, seed: int) -> Latents | None:
    """Return the same latents for each class, row by row, or None as `TrainedRun.sample_by_class` does.

    Raises UsageError without columns.
    """
    if columns < 1:
        raise UsageError(f"invalid number of columns {columns}; the minimum is 1")
    generator = loaded.generator
    check_count(columns * (generator.image.num_classes or 1), generator.image, generator.latent_dim)
    classes = class_rows(generator, columns)
    if classes is None:
        return None
    return replace(loaded.draw(columns, seed)[torch.arange(len(classes)) % columns], condition=classes)


def draw_samples(
    run: TrainedRun,
    loaded: LoadedGenerator,
    latents: Latents,
    *,
    seed: int,
    sampling: Mapping[str, Any] | None,
    device: str,
    columns: int | None,
    noise_period: int | None = None,
) -> Samples:
    """Return the images of latents. Arguments and errors are those of `TrainedRun.sample` and `Sampler`."""
    dataset, generator = dataset_of(run), loaded.on(device)
    condition, seeds = latents.condition, latents.seeds
    rendered, is_float = type(dataset).render is not Dataset.render, generator.image.dtype == "float32"
    pictures, images = [], []
    sampler = Sampler(generator, seed=seed, sampling=sampling, noise_period=noise_period)
    for batch in sampler.batches(latents.values, condition, space=latents.space):
        pictures.append(to_pictures(dataset, batch))
        images += [batch.cpu()] if rendered or is_float else []
    return Samples(
        images=_channels_last(torch.cat(pictures)),
        latents=latents.values.float().numpy(),
        condition=None if condition is None else condition.numpy(),
        raw=_channels_last(torch.cat(images)) if is_float else None,
        columns=columns,
        rendered=render(dataset, torch.cat(images)) if rendered else None,
        space=latents.space,
        seeds=None if seeds is None else seeds.numpy(),
        checkpoint=loaded.checkpoint,
        class_names=None if condition is None else run.dataset_info().class_names,
    )


def _channels_last(images: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = images.permute(0, 2, 3, 1).contiguous().numpy()
    return array


def condition_of(run: TrainedRun, generator: Generator, condition: Condition) -> Tensor:
    """Return a condition for a run's generator, `(N, …)`, or `(1, …)` for all images. Raises IncompatibleError."""
    if not generator.conditional:
        raise IncompatibleError("this generator takes no condition", fix="leave the condition out")
    return to_condition(condition, run.dataset_info())


def default_conditions(run: TrainedRun, generator: Generator, count: int) -> Tensor | None:
    """Return classes in turn, or the conditions of the first real images, `(N, …)`; None without conditions."""
    if not generator.conditional or generator.image.num_classes is not None:
        return default_condition(generator, count)
    experiment = run.experiment.model_copy(update={"metric": ()})
    resolved = reload(experiment, run.registry, run.manifest, ("data", "metric"))
    return sample_condition(generator, build_scoring(resolved), count)


def dataset_of(run: TrainedRun) -> Dataset:
    """Return a run's dataset without opening its data. Raises UnknownComponentError as `rebuild_modules`.

    A generator of uint8 images is drawn without the plugin of its dataset.
    """
    try:
        dataset: Dataset = instantiate(reload(run.experiment, run.registry, run.manifest, ("data",)).one("data"))
    except UnknownComponentError:
        if run.dataset_info().image.dtype != "uint8":
            raise  # only the dataset knows the pictures of its numbers
        return _MissingDataset(_MissingDataset.Options())
    return dataset


class _MissingDataset(Dataset):
    """Dataset whose plugin is not installed; its uint8 images are pictures."""

    def open(self, split: Split) -> NoReturn:
        """Raise DataError."""
        raise DataError(f"the {split} split cannot be read: the plugin of the dataset is not installed")
