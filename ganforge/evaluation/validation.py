"""What can be found wrong with an evaluation before anything is drawn."""

from __future__ import annotations

from typing import Literal

from ganforge.components import Split
from ganforge.data.scoring import Scoring
from ganforge.errors import ConfigError, DataError, GanforgeError, IncompatibleError, PluginError
from ganforge.evaluation.comparability import DESCRIBED
from ganforge.plugins.sources import explain


def score_directions(scoring: Scoring) -> dict[str, Literal["lower", "higher"]]:
    """Return, for every score that the chosen metrics give, which direction is better."""
    return {name: better for metric in scoring.metrics.values() for name, better in metric.better.items()}


def needs_extractor(scoring: Scoring) -> bool:
    """Whether one of the chosen metrics needs images described."""
    return any(DESCRIBED & metric.needs for metric in scoring.metrics.values())


def scored_split(scoring: Scoring, split: Split | None = None) -> Split:
    """Return the split whose images count as real: the one asked for, else the test split where there is one.

    Raises DataError for one that the data does not have.
    """
    sizes = scoring.info.sizes
    if split is None:
        return "test" if "test" in sizes else "train"
    if split not in sizes:
        raise DataError(f"data {scoring.info.name!r} has no {split} split; it has {', '.join(sizes)}")
    return split


def check(scoring: Scoring, *, count: int, split: Split, option: str) -> None:
    """Refuse what can give no score, or one that means nothing.

    option: the flag that sets the count, for the messages. Raises ConfigError for metrics that clash, DataError for a
    count that is too large for the split or too small for a metric, IncompatibleError for an extractor that does not
    suit the images or a metric, PluginError.
    """
    if len(score_directions(scoring)) < sum(len(metric.better) for metric in scoring.metrics.values()):
        raise ConfigError(f"two of the metrics {', '.join(scoring.metrics)} give a score of the same name")
    size = scoring.info.sizes[split]
    if size < count:
        have = f"data {scoring.info.name!r} has {size:,} in its {split} split"
        raise DataError(
            f"evaluating on {count:,} images needs as many real ones; {have}", fix=f"pass {option} {size} or less"
        )
    for name, metric in scoring.metrics.items():
        if split == "train" and "train" in metric.needs:
            others = "test" in scoring.info.sizes
            raise DataError(
                f"{name} compares with real images that were not trained on, and those of the training split were",
                fix="pass --split test" if others else f"data {scoring.info.name!r} has no test split; leave it out",
            )
        check_metric(scoring, name, count=count)


def check_metric(scoring: Scoring, name: str, *, count: int) -> None:
    """Refuse a metric that does not go with the chosen features, or with so few images. Raises as `check` does."""
    metric = scoring.metrics[name]
    entry = dict(zip(scoring.metrics, scoring.resolved.chosen["metric"], strict=True))[name].entry
    extractor = scoring.extractor() if DESCRIBED & metric.needs else None
    if extractor is not None and "logits" in metric.needs and not extractor.class_names:
        raise IncompatibleError(
            f"metric {name!r} needs a feature extractor that tells classes apart; "
            f"{scoring.resolved.one('features').entry} does not",
            fix="pass one that does, such as --features digits for handwritten digits",
        )
    try:
        metric.check(count=count, extractor=extractor)
    except GanforgeError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{entry} cannot check {count} images: {explain(error)}") from error
