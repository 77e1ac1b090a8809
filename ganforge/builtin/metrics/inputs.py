"""Checked inputs of metrics: features and logits of the images, and their count."""

from __future__ import annotations

from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor
from ganforge.components.metrics import Source
from ganforge.errors import DataError, TooFewImagesError

#: Names of the sources in messages.
SOURCE_NAMES: dict[Source, str] = {"real": "real images", "fake": "fakes", "train": "training images"}


def features_of(context: EvaluationContext, source: Source, *, score: str) -> Tensor:
    """Return the features of a source's images, `(N, D)` float32.

    Raises:
        DataError: A feature is not finite.
    """
    return _finite(context.features(source).features, f"{score}: the features of the {SOURCE_NAMES[source]}")


def logits_of(context: EvaluationContext, source: Source, *, score: str) -> Tensor:
    """Return a classifier's logits for a source's images, `(N, K)` float32.

    Raises:
        DataError: The extractor is not a classifier, or a logit is not finite.
    """
    logits = context.features(source).logits
    if logits is None:
        raise _no_classes(score)
    return _finite(logits, f"{score}: the logits of the {SOURCE_NAMES[source]}")


def _finite(values: Tensor, name: str) -> Tensor:
    broken = len(values) - int(values.isfinite().all(dim=1).sum())
    if broken:
        raise DataError(
            f"{name} are not finite for {broken} of {len(values)} images",
            fix="choose other features, such as --features random-convolutions",
        )
    return values


def require_features(extractor: FeatureExtractor | None, *, score: str) -> FeatureExtractor:
    """Return the extractor. Raises DataError if it is None."""
    if extractor is None:
        raise DataError(
            f"{score} compares features, and this evaluation has no feature extractor",
            fix="choose one: --features digits, for example; `ganforge list features` names all",
        )
    return extractor


def require_classes(extractor: FeatureExtractor | None, *, score: str) -> FeatureExtractor:
    """Return the extractor. Raises DataError if it is not a classifier."""
    if extractor is None or not extractor.class_names:
        raise _no_classes(score)
    return extractor


def _no_classes(score: str) -> DataError:
    return DataError(
        f"{score} needs a classifier's classes; these features have none",
        fix="choose features that classify: --features digits (MNIST), --features fashion (Fashion-MNIST)",
    )


def require_images(minimum: int, *counts: int, score: str, because: str) -> None:
    """Raise TooFewImagesError if a count of images is below the minimum."""
    if min(counts) < minimum:
        raise TooFewImagesError(
            f"{score} needs {minimum} images or more, real ones and fakes each, not {min(counts)}: {because}",
            minimum=minimum,
        )
