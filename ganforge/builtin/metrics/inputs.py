"""What metrics compare: features and logits of images, looked at before they become a score."""

from __future__ import annotations

from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor
from ganforge.errors import DataError


def features_of(context: EvaluationContext, images: Tensor, *, score: str, what: str) -> Tensor:
    """Return what describes images, uint8 `(N, C, H, W)`: `(N, D)` float32.

    what: which images they are, for messages. Raises DataError where a feature is not finite.
    """
    return _finite(context.extract(images).features, f"{score}: the features of the {what}")


def logits_of(context: EvaluationContext, images: Tensor, *, score: str, what: str) -> Tensor:
    """Return a classifier's logits for images, uint8 `(N, C, H, W)`: `(N, K)` float32.

    what: as above. Raises DataError where there are none, or one is not finite.
    """
    logits = context.extract(images).logits
    if logits is None:
        raise _no_classes(score)
    return _finite(logits, f"{score}: the logits of the {what}")


def _finite(values: Tensor, words: str) -> Tensor:
    broken = len(values) - int(values.isfinite().all(dim=1).sum())
    if broken:
        raise DataError(
            f"{words} are not finite for {broken} of {len(values)} images",
            fix="choose other features, such as --features random-convolutions",
        )
    return values


def require_features(extractor: FeatureExtractor | None, *, score: str) -> FeatureExtractor:
    """Return the extractor. Raises DataError where there is none."""
    if extractor is None:
        raise DataError(
            f"{score} compares features, and this evaluation has no feature extractor",
            fix="choose one: --features digits, for example; `ganforge list features` names all",
        )
    return extractor


def require_classes(extractor: FeatureExtractor | None, *, score: str) -> FeatureExtractor:
    """Return the extractor. Raises DataError where it does not classify, or there is none."""
    if extractor is None or not extractor.class_names:
        raise _no_classes(score)
    return extractor


def _no_classes(score: str) -> DataError:
    return DataError(
        f"{score} asks a classifier which class each image is of; these features have none",
        fix="choose features that classify: --features digits (MNIST), --features fashion (Fashion-MNIST)",
    )


def require_images(least: int, *counts: int, score: str, because: str) -> None:
    """Raise DataError where a count of images is below `least`."""
    if min(counts) < least:
        raise DataError(
            f"{score} needs {least} images or more, real ones and fakes each, not {min(counts)}: {because}",
            fix=f"compare {least} or more: --samples for `ganforge evaluate`, --num-samples for `ganforge run`",
        )
