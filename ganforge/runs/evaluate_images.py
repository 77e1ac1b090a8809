"""Evaluation of images that exist already: pictures of any format of the dataset `folder`, or arrays in a .npz file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganforge.components import ConditionSpec, Dataset, DatasetInfo, ImageTensors, Split
from ganforge.config import Experiment, Layer
from ganforge.config.resolve import Resolver, resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.data.scoring import Scoring, build_scoring, instantiate
from ganforge.errors import DataError, IncompatibleError, UsageError
from ganforge.evaluation.image_sets import Take
from ganforge.evaluation.reference_statistics import ReferenceStatistics, reference_scoring
from ganforge.evaluation.validation import score_directions
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import (
    EVALUATION_SECTIONS,
    EvaluationRequest,
    MeasuredScores,
    data_notices,
    evaluation_layers,
    make_evaluator,
    save_statistics,
)
from ganforge.training.precision import choose_device
from ganforge.utils.arrays import read_npz
from ganforge.utils.images import GRAY, RGB, save_png
from ganforge.utils.rng import Stream, derive_generator

ARCHIVE = ".npz"
#: Arrays of images and of their classes: those of `ganforge sample`, and those that guided-diffusion's scripts write.
IMAGES, CONDITIONS = ("images", "arr_0"), ("condition", "arr_1")
#: Split of a folder without splits.
ALL: Split = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScores(MeasuredScores):
    """Scores of the images of a folder or a file, or, with `images` None, of an array."""

    images: Path | None

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `evaluate --json` prints."""
        return {"images": None if self.images is None else str(self.images)} | self.measurement()


def evaluate_images(
    source: Path | NDArray[Any],
    request: EvaluationRequest,
    registry: Registry,
    *,
    resize: bool = False,
    out: Path | None = None,
    notice: Callable[[str], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> ImageScores:
    """Score the images of a folder or a file against a dataset's, or against its statistics.

    Args:
        source: .npz file, or folder or file of any other format of the dataset `folder`; or images, `(N, H, W, C)`.
        request: Metrics, features, the dataset in `options` (`data`, `data.OPTION`), and numbers.
        registry: Installed components.
        resize: Whether pictures of another size are resized.
        out: File next to which the metrics' pictures are written, or None to write none.
        notice: Callback for messages.
        progress: Callback for stages of the work.

    Raises:
        UsageError: A name, an option or a number is invalid, or the archive cannot be read.
        DataError: The images cannot be read, or have another shape or type than the data's.
        IncompatibleError: The data's images are not pictures.
        PluginError: A component fails.
        OSError: A picture cannot be written.
    """
    path, name = source if isinstance(source, Path) else None, _name(source)
    if request.sampling or request.ema is not None or request.checkpoint != "newest":
        raise UsageError(
            f"{name} holds images; checkpoints, moving averages and sampling options belong to runs",
            fix="leave out --checkpoint, --ema and --sampling",
        )
    statistics = None if request.reference is None else ReferenceStatistics.load(request.reference)
    if statistics is None and "data" not in request.options:
        raise UsageError(
            f"{name} is not a run, and images are compared with a dataset's",
            fix="name the dataset: --data mnist, or --data folder --data.path DIR; or its statistics: --reference FILE",
        )
    sections = EVALUATION_SECTIONS if statistics is not None else ("data", *EVALUATION_SECTIONS)
    device = choose_device(request.device)
    resolved = resolve(evaluation_layers(request, sections, statistics), registry)
    scoring = build_scoring(resolved) if statistics is None else reference_scoring(resolved, statistics)
    images = _open(source, scoring, registry, resize=resize)
    wanted = request.num_samples if statistics is None else statistics.protocol.real_images
    if wanted is not None and wanted > images.count:
        fix = f"pass --num-samples {images.count} or less" if statistics is None else "the reference decides the number"
        raise DataError(f"{name} has {images.count:,} images, fewer than {wanted:,}", fix=fix)
    seed = request.seed or 0
    evaluator = make_evaluator(
        scoring, request, statistics, seed=seed, notice=notice, progress=progress, images=images.count
    )
    for line in (*resolved.notices, *data_notices(scoring, statistics), *images.notices):
        notice(line)
    order = torch.randperm(images.count, generator=derive_generator(seed, "evaluation/images"))
    chosen = order[: evaluator.selection.num_samples].sort().values
    evaluation = evaluator.evaluate_images(images.take, images.spec, chosen, device)
    save_statistics(evaluator, evaluation, request)
    pictures: dict[str, Path] = {}
    if out is not None:
        pictures = {key: out.with_name(f"{out.stem}-{key}.png") for key in evaluation.pictures}
        for key, file in pictures.items():
            save_png(evaluation.pictures[key], file)
    return ImageScores(images=path, **evaluation.row(), higher_is_better=score_directions(scoring), pictures=pictures)


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Images of files, in the shape and type of a dataset's.

    Attributes:
        count: Number of images.
        take: Function that returns images by their indices.
        spec: Condition of an image, the data's, or None.
        notices: Lines for the user, such as skipped pictures.
    """

    count: int
    take: Take
    spec: ConditionSpec | None
    notices: tuple[str, ...] = ()


def _open(source: Path | NDArray[Any], scoring: Scoring, registry: Registry, *, resize: bool) -> ImageFiles:
    """Return the images of a folder, a file or an array, which must have the shape of the data's.

    Gray pictures become RGB if the data is, and RGB pictures without colors gray. Nothing else is converted.
    """
    if isinstance(source, Path) and source.suffix.lower() != ARCHIVE:
        return _folder(source, scoring, registry, resize=resize)
    if resize:
        raise DataError(f"--resize is for pictures; {_name(source)} holds arrays", fix="resize the arrays before")
    arrays = read_npz(source) if isinstance(source, Path) else {IMAGES[0]: source}
    return _arrays(arrays, scoring.info, _name(source))


def _name(source: Path | NDArray[Any]) -> str:
    return str(source) if isinstance(source, Path) else "the array"


def _arrays(arrays: Mapping[str, NDArray[Any]], data: DatasetInfo, path: str) -> ImageFiles:
    """Return the images of a file's arrays: `(N, H, W, C)` uint8, or float32 as networks see them."""
    images = next((arrays[name] for name in IMAGES if name in arrays), None)
    if images is None:
        names = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"{path} has neither an array images nor arr_0 (available: {names})")
    if images.ndim != len("NHWC") or images.dtype not in (np.uint8, np.float32) or len(images) == 0:
        raise DataError(
            f"the images in {path} are {images.dtype} of shape {images.shape}; "
            "uint8 or float32 (N, height, width, channels) is required"
        )
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    if not bool(tensor.isfinite().all()):
        raise DataError(f"the images in {path} have numbers that are not finite")
    condition = next((arrays[name] for name in CONDITIONS if name in arrays), None)
    tensors = ImageTensors(_fitted(tensor, data, path), _conditions(condition, len(images), data, path))

    def take(indices: Sequence[int], stream: Stream) -> ImageTensors:
        return tensors.select(torch.tensor(indices, dtype=torch.int64))

    return ImageFiles(len(images), take, None if tensors.condition is None else data.image.condition)


def _conditions(array: NDArray[Any] | None, count: int, data: DatasetInfo, path: str) -> Tensor | None:
    """Return the conditions of an archive as the data stores them, or None if either has none."""
    spec = data.image.condition
    if array is None or spec is None:
        return None
    condition = torch.from_numpy(array)
    if spec.kind == "classes" and array.dtype.kind in "iu":
        condition = condition.long()
    invalid = tuple(condition.shape) != (count, *spec.shape) or str(condition.dtype) != f"torch.{spec.dtype}"
    if invalid or (spec.num_classes and not bool(((condition >= 0) & (condition < spec.num_classes)).all())):
        raise DataError(f"the conditions in {path} are not those of the data, {spec} for each of {count:,} images")
    return condition


def _folder(path: Path, scoring: Scoring, registry: Registry, *, resize: bool) -> ImageFiles:
    """Return the pictures of a folder or an archive, read by the dataset `folder`."""
    data, image = scoring.info, scoring.info.image
    if image.channels not in {GRAY, RGB} or type(scoring.dataset).to_pixels is not Dataset.to_pixels:
        raise IncompatibleError(
            f"the images of data {data.name!r} are not pictures ({image})", fix="pass them as arrays, in a .npz file"
        )
    options: dict[str, Any] = {"path": path, "depth": 8 if image.dtype == "uint8" else 16}
    if image.channels == RGB:
        options["color"] = "rgb"
    if resize:
        if image.height != image.width:
            raise DataError(f"--resize makes squares, and the images of data {data.name!r} are {image}")
        options["size"] = image.height
    resolver = Resolver([Layer("images", {"data": {"name": "folder", "folder": options}})], registry)
    resolver.choose("data")
    resolved = ResolvedConfig(Experiment(metric=()), {"data": resolver.chosen("data"), "metric": ()})
    dataset: Dataset = instantiate(resolved.one("data"))
    with _own_fix(None):
        splits = dataset.splits
    if splits != (ALL,):
        raise DataError(f"{path} has the splits {', '.join(splits)}", fix=f"name one: {path / 'test'}")
    resizing = f"--resize makes pictures of {image.height}×{image.width}, which changes scores"
    with _own_fix(None if resize else resizing):
        pictures = build_scoring(resolved, dataset)
    _fitted(pictures.take(ALL, [0], "evaluation/items").images, data, path)
    classes, notices = _classes(pictures.info, data, path)

    def take(indices: Sequence[int], stream: Stream) -> ImageTensors:
        tensors = pictures.take(ALL, indices, stream)
        condition = None if classes is None or tensors.condition is None else classes[tensors.condition]
        return replace(tensors, images=_fitted(tensors.images, data, path), condition=condition)

    spec = None if classes is None else data.image.condition
    return ImageFiles(pictures.info.sizes[ALL], take, spec, (*dataset.notices, *notices))


@contextmanager
def _own_fix(fix: str | None) -> Iterator[None]:
    """Replace the fix of DataErrors, which names options of a dataset."""
    try:
        yield
    except DataError as error:
        raise DataError(error.message, fix=fix) from None


def _classes(pictures: DatasetInfo, data: DatasetInfo, path: Path) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the data's class of each subfolder, `(K,)`, or None if there are others; and a notice about them."""
    names, known = pictures.class_names, data.class_names
    if names is None or known is None:
        return None, ()
    if unknown := [name for name in names if name not in known]:
        return None, (f"subfolders of {path} are not classes of data {data.name!r}: {', '.join(unknown[:5])}",)
    return torch.tensor([known.index(name) for name in names]), ()


def _fitted(images: Tensor, data: DatasetInfo, path: object) -> Tensor:
    """Return images, `(N, C, H, W)`, with the channels of the data's. Raises DataError for another shape or type."""
    spec = data.image
    channels = images.shape[1]
    if (channels, spec.channels) == (GRAY, RGB):
        images = images.expand(-1, RGB, -1, -1)
    elif (channels, spec.channels) == (RGB, GRAY) and bool((images == images[:, :1]).all()):
        images = images[:, :1]
    if tuple(images.shape[1:]) != spec.shape:
        shape = "×".join(map(str, (channels, *images.shape[2:])))
        raise DataError(
            f"the images in {path} are {shape}, those of data {data.name!r} {spec}",
            fix="--resize makes pictures of the data's height and width, which changes scores"
            if images.shape[1] == spec.channels
            else "RGB pictures have colors, and the data has none; convert them before",
        )
    if str(images.dtype) != f"torch.{spec.dtype}":
        raise DataError(
            f"the images in {path} are {str(images.dtype).removeprefix('torch.')}, those of data {data.name!r} "
            f"{spec.dtype}"
        )
    return images
