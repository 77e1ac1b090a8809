"""A protocol says what a score measured; `ganforge.evaluation.comparability` says what of it matters."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from torch import nn

from ganforge.components import weights_sha256
from ganforge.config.resolved import ResolvedComponent
from ganforge.evaluation.real_images import Material
from ganforge.evaluation.validation import needs_extractor


def protocol(material: Material, generator: nn.Module, *, weights: str) -> dict[str, Any]:
    """Return what the scores of a generator depend on, as JSON can hold it. weights: the file that it came from."""
    scoring = material.scoring
    chosen = scoring.resolved.chosen
    sources = {item.entry.source for item in chosen["metric"]}
    content = {
        "data": scoring.info.name,
        "fingerprint": material.fingerprint,
        "split": material.split,
        "real_images": material.count,
        "fake_images": material.count,
    }
    if any("train" in metric.needs for metric in scoring.metrics.values()):
        content |= {"train_images": len(material.train), "train_fingerprint": scoring.info.fingerprint}
    features = None
    if needs_extractor(scoring):
        item, extractor = scoring.resolved.one("features"), scoring.extractor()
        sources.add(item.entry.source)
        features = _component(item) | {"weights": extractor.fingerprint(), "preprocessing": extractor.preprocessing}
    named = zip(scoring.metrics.items(), chosen["metric"], strict=True)
    return content | {
        "features": None if features is None else {"name": scoring.resolved.experiment.features.name, **features},
        "metrics": {
            name: _component(item) | {"better": dict(metric.better), "needs": sorted(metric.needs)}
            for (name, metric), item in named
        },
        "weights": weights,
        "checkpoint": weights_sha256(generator),
        "seed": material.seed,
        "versions": {"ganforge": version("ganforge"), "torch": version("torch")}
        | {source.distribution: source.sha256 or source.version for source in sorted(sources, key=str)},
    }


def _component(item: ResolvedComponent) -> dict[str, Any]:
    return {"distribution": item.entry.source.distribution, "options": item.options.model_dump(mode="json")}
