"""Comparability of scores: differences of two protocols that matter. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from ganforge.schemas.rows import MetricProtocol, Protocol, RealImagesProtocol

#: Entries of the real images that must agree for every score, and their names in messages.
REAL = {
    "data": "data",
    "fingerprint": "images of the data (fingerprint)",
    "split": "split",
    "real_images": "real images",
}
#: All entries that must agree for every score.
ALWAYS = REAL | {"fake_images": "fakes", "sampling": "sampling options"}
TRAIN = {"train_images": "training images", "train_fingerprint": "training images (fingerprint)"}
#: Entries of a feature extractor that must agree. The hash of its weights stands for their file.
EXTRACTOR = {
    "name": "features",
    "distribution": "features from",
    "options": "options of the features",
    "weights": "weights of the features (SHA-256)",
    "preprocessing": "preprocessing",
    "source": "code of the features (SHA-256)",
}
#: Needs of a metric that a feature extractor meets.
EXTRACTOR_NEEDS = frozenset({"features", "logits"})
#: Entries that describe the generator that was scored, not how.
OF_GENERATOR = frozenset({"checkpoint", "seed", "weights", "versions", "latent"})
MAX_LENGTH = 60
HASH_LENGTH, SHOWN_HASH_LENGTH = 64, 12


def diff(one: Protocol, other: Protocol, score: str) -> list[str]:
    """Return the differences of two protocols that matter for a score; empty if they are comparable.

    The generator does not matter (seed, checkpoint, moving average, latents), nor do versions of programs.
    """
    first, second = _metric(one, score), _metric(other, score)
    if first is None or second is None:
        both = first is None and second is None
        return [f"{'both protocols have' if both else 'one protocol has'} no metric that gives {score}"]
    needs = {*first.needs, *second.needs}
    lines = list(_lines(one, other, ALWAYS | (TRAIN if "train" in needs else {})))
    if needs & EXTRACTOR_NEEDS:
        lines += _lines(_features(one), _features(other), EXTRACTOR)
    names = {"distribution": "{} from", "options": "options of {}", "needs": "inputs of {}"}
    names["source"] = "code of {} (SHA-256)"
    lines += _lines(first, second, {key: name.format(score) for key, name in names.items()})
    directions = (first.higher_is_better.get(score), second.higher_is_better.get(score))
    return lines if directions[0] == directions[1] else [*lines, _line(f"higher_is_better of {score}", *directions)]


def diff_real_images(one: RealImagesProtocol, other: RealImagesProtocol) -> list[str]:
    """Return the differences of real images and their features; empty if the features of one stand for the other's."""
    return [*_lines(one, other, REAL), *_lines(_features(one), _features(other), EXTRACTOR)]


def higher_is_better(protocol: Protocol, score: str) -> bool | None:
    """Return the direction of a score, or None if the protocol does not have it."""
    metric = _metric(protocol, score)
    return None if metric is None else metric.higher_is_better.get(score)


def bounds(protocol: Protocol, score: str) -> tuple[float, float]:
    """Return the smallest and the largest possible value of a score; infinite without a limit."""
    metric = _metric(protocol, score)
    low, high = (None, None) if metric is None else metric.bounds.get(score, (None, None))
    return -math.inf if low is None else low, math.inf if high is None else high


def _metric(protocol: Protocol, score: str) -> MetricProtocol | None:
    giving = (metric for metric in protocol.metrics.values() if score in metric.higher_is_better)
    return next(giving, protocol.metrics.get(score))


def _features(protocol: RealImagesProtocol) -> dict[str, object]:
    if protocol.features is None:
        return {}
    features = dict(protocol.features)
    return features | {"options": {key: value for key, value in features["options"].items() if key != "weights"}}


def _lines(one: object, other: object, names: Mapping[str, str]) -> Iterator[str]:
    for key, name in names.items():
        first, second = (part.get(key) if isinstance(part, Mapping) else getattr(part, key) for part in (one, other))
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from _lines(first, second, {inner: f"{name}, {inner}" for inner in _keys(first, second)})
        elif first != second:
            yield _line(name, first, second)


def _keys(*tables: Mapping[str, object]) -> Iterable[str]:
    return sorted({key for table in tables for key in table})


def _line(name: str, one: object, other: object) -> str:
    return f"{name}: {_shown(one)}, {_shown(other)}"


def _shown(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    text = "unknown" if value is None else f"{value:,}" if number else str(value)
    if len(text) == HASH_LENGTH and text.isalnum():
        return text[:SHOWN_HASH_LENGTH]
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
