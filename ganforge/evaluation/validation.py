"""Checks of an evaluation: before any image is generated, and of what metrics return."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Split
from ganforge.components.spec import NAME
from ganforge.data.reader import describe
from ganforge.data.scoring import Scoring, blame
from ganforge.errors import ConfigError, DataError, IncompatibleError, PluginError, TooFewImagesError
from ganforge.evaluation.comparability import EXTRACTOR_NEEDS
from ganforge.plugins.registry import Entry

GRAY_OR_RGB = (1, 3)
#: Deepest nesting of details; a container that contains itself has no end.
MAX_DEPTH = 20
#: Integers that every JSON reader can hold are below it.
MAX_INTEGER = 2**63


def score_directions(scoring: Scoring) -> dict[str, bool]:
    """Return, for every score of the chosen metrics, whether a higher value is better."""
    return {name: higher for metric in scoring.metrics.values() for name, higher in metric.higher_is_better.items()}


def needs_extractor(scoring: Scoring) -> bool:
    """Return whether one of the chosen metrics needs features."""
    return any(EXTRACTOR_NEEDS & metric.needs for metric in scoring.metrics.values())


def scored_split(scoring: Scoring, split: Split | None = None) -> Split:
    """Return the split of the real images: the given one, else the test split if there is one.

    Raises DataError if the dataset does not have the split.
    """
    sizes = scoring.info.sizes
    if split is None:
        return "test" if "test" in sizes else "train"
    if split not in sizes:
        raise DataError(f"data {scoring.info.name!r} has no {split} split; it has {', '.join(sizes)}")
    return split


def check(scoring: Scoring, *, num_samples: int, split: Split, with_generator: bool = True) -> None:
    """Raise an error if an evaluation cannot give meaningful scores.

    Raises ConfigError for two scores of the same name, DataError for too many images for the split or too few for a
    metric, IncompatibleError for a feature extractor that does not suit the images or a metric and for a metric that
    needs a generator if there are only images, and PluginError if a metric's own check fails.
    """
    if len(score_directions(scoring)) < sum(len(metric.higher_is_better) for metric in scoring.metrics.values()):
        raise ConfigError(f"two of the metrics {', '.join(scoring.metrics)} give a score of the same name")
    size = scoring.info.sizes[split]
    for name, metric in scoring.metrics.items():
        if "generator" in metric.needs and not with_generator:
            raise IncompatibleError(
                f"metric {name!r} needs the generator, not only its images",
                fix=f"leave {name} out, or evaluate the run that drew the images",
            )
        if split == "train" and "train" in metric.needs:
            has_test = "test" in scoring.info.sizes
            raise DataError(
                f"{name} compares with real images that were not trained on, and those of the training split were",
                fix="pass --split test" if has_test else f"data {scoring.info.name!r} has no test split; leave it out",
            )
        check_metric(scoring, name, num_samples=min(num_samples, size), split=split)
    if size < num_samples:
        raise DataError(
            f"evaluating on {num_samples:,} images needs as many real ones; data {scoring.info.name!r} has {size:,} in "
            f"its {split} split",
            fix=f"pass --num-samples {size} or less",
        )


def check_metric(scoring: Scoring, name: str, *, num_samples: int, split: Split) -> None:
    """Raise an error if a metric does not suit the features or the number of images; see `check`."""
    metric = scoring.metrics[name]
    extractor = scoring.extractor() if EXTRACTOR_NEEDS & metric.needs else None
    if extractor is not None and "logits" in metric.needs and not extractor.class_names:
        raise IncompatibleError(
            f"metric {name!r} needs a feature extractor that is a classifier; "
            f"{scoring.resolved.one('features').entry} is not",
            fix="pass one that is, such as --features digits for handwritten digits",
        )
    with blame(scoring.metric_components[name], f"check {num_samples} images"):
        try:
            metric.check(num_samples=num_samples, extractor=extractor)
        except TooFewImagesError as error:
            size = scoring.info.sizes[split]
            if size >= error.minimum:
                raise
            fix = f"choose other metrics: data {scoring.info.name!r} has {size:,} images in its {split} split"
            raise TooFewImagesError(error.message, minimum=error.minimum, fix=fix) from None


# Results of a metric, so that files and readers can hold them


def plain_scores(scores: object, names: Iterable[str], entry: Entry) -> dict[str, float | None]:
    """Return scores as JSON can hold them: None for one that is not finite.

    Raises PluginError unless there is a number for exactly the names that the metric declares.
    """
    declared = list(names)
    if not isinstance(scores, Mapping) or scores.keys() != set(declared):
        returned = ", ".join(map(str, scores)) if isinstance(scores, Mapping) else type(scores).__name__
        raise PluginError(f"{entry} returns {returned or 'no scores'}; it declares {', '.join(declared)}")
    return {name: _finite(scores[name], f"{entry}: {name}") for name in declared}


def plain_details(details: object, entry: Entry) -> dict[str, Any]:
    """Return a metric's details as JSON can hold them, or raise PluginError."""
    if not isinstance(details, Mapping):
        raise PluginError(f"{entry}: details are {type(details).__name__}; a dictionary is required")
    return dict(plain(details, entry, "details"))


def plain(value: object, entry: Entry, path: str, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as JSON can hold it, None for numbers that are not finite. Raises PluginError."""
    if depth > MAX_DEPTH:
        raise PluginError(f"{entry}: details are nested more than {MAX_DEPTH} deep, or contain themselves")
    if isinstance(value, Mapping):
        _check_keys(value, entry, path)
        return {key: plain(item, entry, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, entry, f"{path}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, str) and not _is_unicode(value):
        raise PluginError(f"{entry}: {path} is {value!r}, which is not Unicode text")
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise PluginError(f"{entry}: {path} is an integer of more than 64 bits; a float can be as large")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise PluginError(f"{entry}: {path} is {type(value).__name__}, which JSON cannot hold")


def check_pictures(pictures: object, entry: Entry) -> dict[str, Tensor]:
    """Return pictures by name, or raise PluginError for a picture or a name that no file can have."""
    if not isinstance(pictures, Mapping):
        raise PluginError(f"{entry}: images are {type(pictures).__name__}; a dictionary is required")
    for name, picture in pictures.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(
                f"{entry}: a picture's name is lower-case letters and digits joined by dashes, not {name!r}"
            )
        if not isinstance(picture, Tensor) or picture.dtype != torch.uint8 or picture.ndim != len("CHW"):
            raise PluginError(
                f"{entry}: picture {name!r} is {describe(picture)}; a tensor torch.uint8 (C, H, W) is required"
            )
        if picture.shape[0] not in GRAY_OR_RGB or picture.numel() == 0:
            shape = tuple(picture.shape)
            raise PluginError(f"{entry}: picture {name!r} is {shape}; 1 or 3 channels of pixels are required")
    return dict(pictures)


def _check_keys(value: Mapping[Any, Any], entry: Entry, path: str) -> None:
    for key in value:
        if not isinstance(key, str) or not _is_unicode(key):
            raise PluginError(f"{entry}: {path} has the key {key!r}; its keys must be text")


def _is_unicode(text: str) -> bool:
    """Return whether a file can hold a text; half of a surrogate pair is not a character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _finite(value: object, name: str) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PluginError(f"{name} is {type(value).__name__}; a number is required")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None
