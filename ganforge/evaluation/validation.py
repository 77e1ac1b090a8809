"""Checks of an evaluation before any image is generated."""

from __future__ import annotations

from ganforge.components import Split
from ganforge.data.scoring import Scoring, blame
from ganforge.errors import ConfigError, DataError, IncompatibleError, TooFewImagesError
from ganforge.evaluation.comparability import EXTRACTOR_NEEDS


def score_directions(scoring: Scoring) -> dict[str, bool]:
    """Return, for every score of the chosen metrics, whether a higher value is better."""
    return {name: higher for metric in scoring.metrics.values() for name, higher in metric.higher_is_better.items()}


def needs_extractor(scoring: Scoring) -> bool:
    """Return whether one of the chosen metrics needs features."""
    return any(EXTRACTOR_NEEDS & metric.needs for metric in scoring.metrics.values())


def scored_split(scoring: Scoring, split: Split | None = None) -> Split:
    """Return the split of the real images: the given one, else the test split if there is one.

    Raises:
        DataError: The dataset does not have the split.
    """
    sizes = scoring.info.sizes
    if split is None:
        return "test" if "test" in sizes else "train"
    if split not in sizes:
        raise DataError(f"data {scoring.info.name!r} has no {split} split; it has {', '.join(sizes)}")
    return split


def check(scoring: Scoring, *, num_samples: int, split: Split, with_generator: bool = True) -> None:
    """Raise an error if an evaluation cannot give meaningful scores.

    Args:
        scoring: Data, metrics and features.
        num_samples: Number of fakes, and of real images.
        split: Split of the real images.
        with_generator: Whether there is a generator, not only its images.

    Raises:
        ConfigError: Two metrics give scores of the same name.
        DataError: There are too many images for the split, or too few for a metric.
        IncompatibleError: The feature extractor does not suit the images or a metric, or a metric needs a generator.
        PluginError: A metric's own check fails.
    """
    if len(score_directions(scoring)) < sum(len(metric.higher_is_better) for metric in scoring.metrics.values()):
        raise ConfigError(f"two of the metrics {', '.join(scoring.metrics)} give a score of the same name")
    size = scoring.info.sizes[split]
    if size < num_samples:
        raise DataError(
            f"evaluating on {num_samples:,} images needs as many real ones; data {scoring.info.name!r} has {size:,} in "
            f"its {split} split",
            fix=f"pass --num-samples {size} or less",
        )
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
        check_metric(scoring, name, num_samples=num_samples, split=split)


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
