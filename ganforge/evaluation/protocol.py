"""Protocol of an evaluation: everything that its scores depend on."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ganforge.components import FeatureExtractor, Generator, Metric
from ganforge.config.resolved import ResolvedComponent
from ganforge.data.scoring import Scoring, blame
from ganforge.evaluation.image_sets import ImageSelection
from ganforge.evaluation.validation import needs_extractor
from ganforge.schemas.rows import FeaturesProtocol, LatentProtocol, MetricProtocol, Protocol
from ganforge.utils.code import code_sha256


def protocol(
    selection: ImageSelection, *, weights: str, checkpoint: str, sampling: Generator.SamplingOptions | None
) -> Protocol:
    """Return the protocol of an evaluation; `comparability` compares two of them.

    Args:
        selection: The real images.
        weights: File of the generator's weights, `generator` or `generator_ema`, or `images`.
        checkpoint: SHA-256 of the generator's weights, or of the scored images.
        sampling: Sampling options of the fakes, or None for images without a generator.
    """
    scoring = selection.scoring
    chosen, experiment = scoring.resolved.chosen, scoring.resolved.experiment
    sources = {component.entry.source for component in chosen["metric"]}
    with_train = any("train" in metric.needs for metric in scoring.metrics.values())
    features = features_protocol(scoring)
    if features is not None:
        sources.add(scoring.resolved.one("features").entry.source)
    extractor = None if features is None else scoring.extractor()
    latent = None
    if sampling is not None:
        latent = LatentProtocol(name=experiment.latent.name, **_described(scoring.resolved.one("latent")))
    return Protocol(
        data=scoring.info.name,
        fingerprint=selection.fingerprint,
        split=selection.split,
        real_images=selection.num_samples,
        fake_images=selection.num_samples,
        train_images=len(selection.train) if with_train else None,
        train_fingerprint=scoring.info.fingerprint if with_train else None,
        features=features,
        metrics={
            name: _metric(scoring.metric_components[name], metric, extractor)
            for name, metric in scoring.metrics.items()
        },
        sampling={} if sampling is None else sampling.model_dump(mode="json", exclude_defaults=True),
        latent=latent,
        weights=weights,
        checkpoint=checkpoint,
        seed=selection.seed,
        versions={
            "ganforge": version("ganforge"),
            "torch": version("torch"),
            **{source.distribution: source.sha256 or source.version for source in sorted(sources, key=str)},
        },
    )


def features_protocol(scoring: Scoring) -> FeaturesProtocol | None:
    """Return the protocol of the feature extractor, or None if no metric needs it."""
    if not needs_extractor(scoring):
        return None
    component, extractor = scoring.resolved.one("features"), scoring.extractor()
    return FeaturesProtocol(
        name=scoring.resolved.experiment.features.name,
        **_described(component),
        weights=extractor.fingerprint(),
        preprocessing=extractor.preprocessing,
        source=code_sha256(component.cls),
    )


def _described(component: ResolvedComponent) -> dict[str, Any]:
    return {"distribution": component.entry.source.distribution, "options": component.options.model_dump(mode="json")}


def _metric(component: ResolvedComponent, metric: Metric, extractor: FeatureExtractor | None) -> MetricProtocol:
    with blame(component, "declare its bounds"):
        bounds = dict(metric.bounds(extractor))
        return MetricProtocol(
            **_described(component),
            higher_is_better=dict(metric.higher_is_better),
            needs=sorted(metric.needs),
            source=code_sha256(component.cls),
            bounds=bounds,
        )
