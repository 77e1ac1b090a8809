"""Protocol of an evaluation: everything that its scores depend on."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ganforge.components import Generator, weights_sha256
from ganforge.config.resolved import ResolvedComponent
from ganforge.evaluation.selection import ImageSelection
from ganforge.evaluation.validation import needs_extractor


def protocol(
    selection: ImageSelection, generator: Generator, sampling: Generator.SamplingOptions, *, weights: str
) -> dict[str, Any]:
    """Return the protocol of a generator's scores, as JSON can hold it; `comparability` compares two of them.

    Args:
        selection: The real images.
        generator: The generator, as it was trained.
        sampling: Sampling options of the fakes.
        weights: File of the weights, `generator` or `generator_ema`.
    """
    scoring = selection.scoring
    chosen = scoring.resolved.chosen
    sources = {component.entry.source for component in chosen["metric"]}
    content: dict[str, Any] = {
        "data": scoring.info.name,
        "fingerprint": selection.fingerprint,
        "split": selection.split,
        "real_images": selection.num_samples,
        "fake_images": selection.num_samples,
    }
    if any("train" in metric.needs for metric in scoring.metrics.values()):
        content |= {"train_images": len(selection.train), "train_fingerprint": scoring.info.fingerprint}
    features = None
    if needs_extractor(scoring):
        component, extractor = scoring.resolved.one("features"), scoring.extractor()
        sources.add(component.entry.source)
        features = _described(component) | {
            "weights": extractor.fingerprint(),
            "preprocessing": extractor.preprocessing,
        }
    components = scoring.metric_components
    experiment = scoring.resolved.experiment
    return content | {
        "features": None if features is None else {"name": experiment.features.name, **features},
        "metrics": {
            name: _described(components[name])
            | {"higher_is_better": dict(metric.higher_is_better), "needs": sorted(metric.needs)}
            for name, metric in scoring.metrics.items()
        },
        "sampling": sampling.model_dump(mode="json", exclude_defaults=True),
        "latent": {"name": experiment.latent.name, **_described(scoring.resolved.one("latent"))},
        "weights": weights,
        "checkpoint": weights_sha256(generator),
        "seed": selection.seed,
        "versions": {"ganforge": version("ganforge"), "torch": version("torch")}
        | {source.distribution: source.sha256 or source.version for source in sorted(sources, key=str)},
    }


def _described(component: ResolvedComponent) -> dict[str, Any]:
    return {"distribution": component.entry.source.distribution, "options": component.options.model_dump(mode="json")}
