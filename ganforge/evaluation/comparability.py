"""Whether two scores may stand in one column: what their protocols differ in that matters. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What must agree for any score, and what it is called.
ALWAYS = {
    "data": "data",
    "fingerprint": "images of the data (fingerprint)",
    "split": "split",
    "real_images": "real images",
    "fake_images": "fakes",
}
#: What must agree of a feature extractor. Which file its weights came from is told by their hash.
EXTRACTOR = {
    "name": "features",
    "distribution": "features from",
    "options": "options of the features",
    "weights": "weights of the features (SHA-256)",
    "preprocessing": "preprocessing",
}
#: What a protocol says of the generator that was scored, and of nothing that its scores are compared by.
OF_ONE = frozenset({"checkpoint", "seed", "weights", "versions"})
LONGEST = 60
HASH = 64
SHOWN_OF_A_HASH = 12
#: Needs of a metric that an extractor answers.
DESCRIBED = frozenset({"features", "logits"})


def differences(one: Mapping[str, Any], other: Mapping[str, Any], score: str) -> list[str]:
    """Return, in words, what two protocols differ in that matters for a score; nothing where they are comparable.

    What was scored does not matter (seed, checkpoint, whether it is a moving average), nor do the versions of programs.
    A protocol that somebody has damaged is comparable to none.
    """
    try:
        return _differences(one, other, score)
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["a protocol that is damaged"]


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], score: str) -> list[str]:
    metrics = [_metric(protocol, score) for protocol in (one, other)]
    missing = [protocol for protocol, metric in zip((one, other), metrics, strict=True) if metric is None]
    if missing:
        return [f"{'one protocol has' if len(missing) == 1 else 'both protocols have'} no metric that gives {score}"]
    if one.keys() == other.keys() and all(one[key] == other[key] for key in one if key not in OF_ONE):
        return []  # as nearly all are: to find that out of thousands must not take long
    ours, theirs = (metric or {} for metric in metrics)
    wanted = dict(ALWAYS)
    needs = {need for metric in (ours, theirs) for need in metric.get("needs", ())}
    if "train" in needs:
        wanted |= {"train_images": "training images", "train_fingerprint": "training images (fingerprint)"}
    found = _lines(one, other, wanted)
    if needs & DESCRIBED:
        found += _lines(_features(one), _features(other), EXTRACTOR)
    names = {"distribution": f"{score} from", "options": f"options of {score}", "needs": f"what {score} looks at"}
    found += _lines(ours, theirs, names)
    directions = [(metric.get("better") or {}).get(score) for metric in (ours, theirs)]
    if directions[0] != directions[1]:
        found.append(_line(f"direction of {score} that is better", *directions))
    return found


def is_whole(protocol: Mapping[str, Any]) -> bool:
    """Whether a protocol holds what it must, each of its kind; a file edited by hand may not."""
    metrics, features = protocol.get("metrics"), protocol.get("features")
    return (
        isinstance(protocol.get("data"), str)
        and isinstance(metrics, Mapping)
        and all(isinstance(one, Mapping) and isinstance(one.get("better"), Mapping) for one in metrics.values())
        and isinstance(features, Mapping | None)
    )


def _metric(protocol: Mapping[str, Any], score: str) -> Mapping[str, Any] | None:
    metrics: Mapping[str, Mapping[str, Any]] = protocol.get("metrics") or {}
    giving = (metric for metric in metrics.values() if score in (metric.get("better") or {}))
    return next(giving, metrics.get(score))


def _features(protocol: Mapping[str, Any]) -> dict[str, Any]:
    features: Mapping[str, Any] = protocol.get("features") or {}
    options = {key: value for key, value in (features.get("options") or {}).items() if key != "weights"}
    return {**features, "options": options}


def _lines(one: Mapping[str, Any], other: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    pairs = ((name, one.get(key), other.get(key)) for key, name in names.items())
    found: list[str] = []
    for name, ours, theirs in pairs:
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            found += _lines(ours, theirs, {key: f"{name}, {key}" for key in sorted({*ours, *theirs})})
        elif ours != theirs:
            found.append(_line(name, ours, theirs))
    return found


def _line(name: str, one: object, other: object) -> str:
    return f"{name}: {_shown(one)}, {_shown(other)}"


def _shown(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    text = "not told" if value is None else f"{value:,}" if number else str(value)
    if len(text) == HASH and text.isalnum():
        return text[:SHOWN_OF_A_HASH]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
