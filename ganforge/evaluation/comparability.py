"""Comparability of scores: differences of two protocols that matter. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Entries that must agree for every score, and their names in messages.
ALWAYS = {
    "data": "data",
    "fingerprint": "images of the data (fingerprint)",
    "split": "split",
    "real_images": "real images",
    "fake_images": "fakes",
    "sampling": "sampling options",
}
#: Entries of a feature extractor that must agree. The hash of its weights stands for their file.
EXTRACTOR = {
    "name": "features",
    "distribution": "features from",
    "options": "options of the features",
    "weights": "weights of the features (SHA-256)",
    "preprocessing": "preprocessing",
}
#: Entries that describe the generator that was scored, not how.
OF_GENERATOR = frozenset({"checkpoint", "seed", "weights", "versions", "latent"})
MAX_LENGTH = 60
HASH_LENGTH, SHOWN_HASH_LENGTH = 64, 12
#: Needs of a metric that a feature extractor meets.
EXTRACTOR_NEEDS = frozenset({"features", "logits"})


def diff(one: Mapping[str, Any], other: Mapping[str, Any], score: str) -> list[str]:
    """Return the differences of two protocols that matter for a score; empty if they are comparable.

    The generator does not matter (seed, checkpoint, moving average, latents), nor do versions of programs. A damaged
    protocol is comparable with none.
    """
    try:
        return _diff(one, other, score)
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["a damaged protocol"]


def _diff(one: Mapping[str, Any], other: Mapping[str, Any], score: str) -> list[str]:
    metrics = [_metric(protocol, score) for protocol in (one, other)]
    missing = metrics.count(None)
    if missing:
        return [f"{'one protocol has' if missing == 1 else 'both protocols have'} no metric that gives {score}"]
    if one.keys() == other.keys() and all(one[key] == other[key] for key in one if key not in OF_GENERATOR):
        return []  # the usual case: must be fast for thousands of protocols
    first, second = (metric or {} for metric in metrics)
    needs = {need for metric in (first, second) for need in metric.get("needs", ())}
    names = dict(ALWAYS)
    if "train" in needs:
        names |= {"train_images": "training images", "train_fingerprint": "training images (fingerprint)"}
    lines = _lines(one, other, names)
    if needs & EXTRACTOR_NEEDS:
        lines += _lines(_features(one), _features(other), EXTRACTOR)
    names = {"distribution": f"{score} from", "options": f"options of {score}", "needs": f"inputs of {score}"}
    lines += _lines(first, second, names)
    directions = [(metric.get("higher_is_better") or {}).get(score) for metric in (first, second)]
    if directions[0] != directions[1]:
        lines.append(_line(f"higher_is_better of {score}", *directions))
    return lines


def is_valid(protocol: Mapping[str, Any]) -> bool:
    """Return whether a protocol has all entries with the right types; an edited file may not."""
    metrics, features = protocol.get("metrics"), protocol.get("features")
    return (
        isinstance(protocol.get("data"), str)
        and isinstance(metrics, Mapping)
        and all(
            isinstance(metric, Mapping) and isinstance(metric.get("higher_is_better"), Mapping)
            for metric in metrics.values()
        )
        and isinstance(features, Mapping | None)
    )


def higher_is_better(protocol: Mapping[str, Any], score: str) -> bool | None:
    """Return the direction of a score, or None if the protocol does not have it."""
    metrics = protocol.get("metrics")
    for metric in metrics.values() if isinstance(metrics, Mapping) else ():
        directions = metric.get("higher_is_better") if isinstance(metric, Mapping) else None
        if isinstance(directions, Mapping) and isinstance(directions.get(score), bool):
            return bool(directions[score])
    return None


def _metric(protocol: Mapping[str, Any], score: str) -> Mapping[str, Any] | None:
    metrics: Mapping[str, Mapping[str, Any]] = protocol.get("metrics") or {}
    giving = (metric for metric in metrics.values() if score in (metric.get("higher_is_better") or {}))
    return next(giving, metrics.get(score))


def _features(protocol: Mapping[str, Any]) -> dict[str, Any]:
    features: Mapping[str, Any] = protocol.get("features") or {}
    options = {key: value for key, value in (features.get("options") or {}).items() if key != "weights"}
    return {**features, "options": options}


def _lines(one: Mapping[str, Any], other: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for key, name in names.items():
        first, second = one.get(key), other.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            lines += _lines(first, second, {inner: f"{name}, {inner}" for inner in sorted({*first, *second})})
        elif first != second:
            lines.append(_line(name, first, second))
    return lines


def _line(name: str, one: object, other: object) -> str:
    return f"{name}: {_shown(one)}, {_shown(other)}"


def _shown(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    text = "unknown" if value is None else f"{value:,}" if number else str(value)
    if len(text) == HASH_LENGTH and text.isalnum():
        return text[:SHOWN_HASH_LENGTH]
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
