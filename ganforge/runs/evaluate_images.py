"""Evaluation of images that exist already, without a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ganforge.config.resolve import resolve
from ganforge.data.scoring import build_scoring
from ganforge.errors import DataError, UsageError
from ganforge.evaluation.evaluator import Evaluator
from ganforge.evaluation.reference_statistics import ReferenceStatistics, reference_scoring
from ganforge.evaluation.validation import score_directions
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import (
    EVALUATION_SECTIONS,
    EvaluationRequest,
    MeasuredScores,
    checked_comparison,
    data_notices,
    evaluation_layers,
    save_statistics,
)
from ganforge.runs.stored_images import open_images
from ganforge.training.precision import choose_device
from ganforge.utils.images import save_png
from ganforge.utils.rng import derive_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScores(MeasuredScores):
    """Scores of images.

    Attributes:
        images: Folder or file of the images, or None for an array.
    """

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
        source: Folder, file or array of images, as in `stored_images.open_images`.
        request: Metrics, features, the dataset in `options` (`data`, `data.OPTION`), and numbers.
        registry: Installed components.
        resize: Whether pictures of another size are resized.
        out: File next to which the metrics' pictures are written, or None to write none.
        notice: Callback for messages.
        progress: Callback for stages of the work.

    Raises:
        UsageError: A name, an option, a number or the images are invalid.
        PluginError: A component fails.
        OSError: A picture cannot be written.
    """
    path = source if isinstance(source, Path) else None
    if request.sampling or request.ema is not None or request.checkpoint != "newest":
        raise UsageError(
            f"{path or 'the array'} holds images; checkpoints, moving averages and sampling options belong to runs",
            fix="leave out --checkpoint, --ema and --sampling",
        )
    statistics = None if request.reference is None else ReferenceStatistics.load(request.reference)
    if statistics is None and "data" not in request.options:
        raise UsageError(
            f"{path or 'the array'} is not a run, and images are compared with a dataset's",
            fix="name the dataset: --data mnist, or --data folder --data.path DIR; or its statistics: --reference FILE",
        )
    sections = EVALUATION_SECTIONS if statistics is not None else ("data", *EVALUATION_SECTIONS)
    device = choose_device(request.device)
    resolved = resolve(evaluation_layers(request, sections, statistics), registry)
    scoring = build_scoring(resolved) if statistics is None else reference_scoring(resolved, statistics)
    images = open_images(source, scoring, registry, resize=resize)
    wanted = request.num_samples if statistics is None else statistics.protocol.real_images
    if wanted is not None and wanted > images.count:
        fix = f"pass --num-samples {images.count} or less" if statistics is None else "the reference decides the number"
        raise DataError(f"{path or 'the array'} has {images.count:,} images, fewer than {wanted:,}", fix=fix)
    split, count = checked_comparison(scoring, request, statistics, notice, images.count)
    for line in (*resolved.notices, *data_notices(scoring, statistics), *images.notices):
        notice(line)
    seed = request.seed or 0
    order = torch.randperm(images.count, generator=derive_generator(seed, "evaluation/images"))
    evaluator = Evaluator(
        scoring,
        num_samples=count,
        split=split,
        seed=seed,
        notice=notice,
        progress=progress,
        statistics=statistics,
        keeps_training_images=request.save_reference is not None,
    )
    evaluation = evaluator.evaluate_images(images.take, images.spec, order[:count].sort().values, device)
    save_statistics(evaluator, evaluation, request)
    pictures: dict[str, Path] = {}
    if out is not None:
        for name, picture in evaluation.pictures.items():
            pictures[name] = out.with_name(f"{out.stem}-{name}.png")
            save_png(picture, pictures[name])
    return ImageScores(
        images=path,
        scores=evaluation.scores,
        reference=evaluation.reference,
        details=evaluation.details,
        protocol=evaluation.protocol,
        seconds=evaluation.seconds,
        higher_is_better=score_directions(scoring),
        pictures=pictures,
    )
