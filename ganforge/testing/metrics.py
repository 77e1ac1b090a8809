"""Checks of metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import get_args

import torch
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor, FeatureOutput, Metric, MetricResult
from ganforge.components.metrics import Need, Source
from ganforge.errors import DataError
from ganforge.testing.checks import Check, CheckFailed, register_check, require, skip
from ganforge.testing.common import BUILDS, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.stubs import StubExtractor, StubGenerator, StubLatent
from ganforge.utils.images import to_uint8
from ganforge.utils.rng import fork_torch_rng

CHECKS: list[Check] = []
#: Numbers of images; the first that the metric accepts is used.
COUNTS = (64, 256, 1024)
NEEDS: frozenset[Need] = frozenset(get_args(Need))
EXTRACTOR_NEEDS: frozenset[Need] = frozenset({"features", "logits"})
BATCH_SIZE = 50
DECLARED = "scores-as-declared"


class KitContext(EvaluationContext):
    """Context of the kit's own images, with the inputs that `needs` names.

    Args:
        fixture: Source of conditions and random numbers.
        images: Images of each source, `(N, C, H, W)` float32 as networks see them.
        needs: Inputs that the context has.
    """

    def __init__(self, fixture: Fixture, images: Mapping[Source, Tensor], needs: frozenset[Need] = NEEDS) -> None:
        self._images = images
        self._needs = needs
        self._extractor = stub_extractor(fixture)
        self._condition = fixture.conditions(len(images["fake"]))
        self._outputs: dict[Source, FeatureOutput] = {}
        self.num_samples = len(images["fake"])
        self.num_train = len(images["train"]) if "train" in needs else 0
        self.class_names = self._extractor.class_names
        self.rng = fixture.rng(9)
        self.shared = {}
        self.generator, self.latent = None, None
        if "generator" in needs:
            with fork_torch_rng(0, "weights/generator"):
                self.generator = StubGenerator(StubGenerator.Options(), fixture.image).eval()
            self.latent = StubLatent(StubLatent.Options()).eval()

    def features(self, source: Source) -> FeatureOutput:
        """Return the features of a source, extracted once; logits only if they are needed."""
        self._require_extractor()
        if source not in self._outputs:
            output = self._extract(to_uint8(self._images_of(source)))
            self._outputs[source] = output if "logits" in self._needs else FeatureOutput(output.features)
        return self._outputs[source]

    def batches(self, source: Source) -> Iterator[Tensor]:
        """Yield pictures that the metric may write into."""
        yield from (to_uint8(images) for images in torch.split(self._images_of(source), BATCH_SIZE))

    def condition(self, source: Source) -> Tensor | None:
        """Return conditions that the metric may write into; those of training images are unknown."""
        return None if self._condition is None or source == "train" else self._condition.clone()

    def extract(self, images: Tensor) -> FeatureOutput:
        """Return the features of further images, without rounding."""
        self._require_extractor()
        return self._extract(images.clamp(-1, 1).add(1).mul(127.5))

    @torch.no_grad()
    def _extract(self, pictures: Tensor) -> FeatureOutput:
        output: FeatureOutput = self._extractor(pictures)
        return output

    def _images_of(self, source: Source) -> Tensor:
        if source == "train" and "train" not in self._needs:
            raise CheckFailed("it reads the training images, but `needs` does not name 'train'")
        return self._images[source]

    def _require_extractor(self) -> None:
        if not self._needs & EXTRACTOR_NEEDS:
            raise CheckFailed("it reads features, but `needs` does not name them")


def stub_extractor(fixture: Fixture) -> FeatureExtractor:
    """Return the kit's own extractor."""
    return StubExtractor(FeatureExtractor.Options(), fixture.image).eval()


def context(fixture: Fixture, metric: Metric, number: int = 1, *, needs: frozenset[Need] = NEEDS) -> KitContext:
    """Return a context whose fakes are of the real images' distribution."""
    count = images_for(metric, fixture)
    images: dict[Source, Tensor] = {
        "real": fixture.pictures(count),
        "fake": fixture.pictures(count, number),
        "train": fixture.pictures(2 * count, 2),
    }
    return KitContext(fixture, images, needs)


def images_for(metric: Metric, fixture: Fixture) -> int:
    """Return the first of `COUNTS` that a metric accepts, or skip the check."""
    extractor = stub_extractor(fixture) if metric.needs & EXTRACTOR_NEEDS else None
    reasons = []
    for count in COUNTS:
        try:
            metric.check(num_samples=count, extractor=extractor)
        except DataError as error:
            reasons.append(error.message)
        else:
            return count
    return skip(f"it needs more images than the kit's {COUNTS[-1]}: {reasons[-1]}")


@register_check(
    CHECKS, DECLARED, "metric", fix="return MetricResult(scores) with a float for each name in `higher_is_better`"
)
def _scores_as_declared(fixture: Fixture) -> None:
    """It returns exactly the scores that `higher_is_better` names, each finite for usual images."""
    metric: Metric = fixture.make()
    directions = metric.higher_is_better
    require(
        directions and all(isinstance(value, bool) for value in directions.values()),
        f"`higher_is_better` is {directions!r}; it must map each score's name to True or False",
    )
    result = metric.compute(context(fixture, metric))
    require(isinstance(result, MetricResult), f"it returns {type(result).__name__}; a MetricResult is required")
    scores = result.scores
    require(
        scores.keys() == directions.keys(), f"it returns {list(scores)}; `higher_is_better` names {list(directions)}"
    )
    for name, value in scores.items():
        require(isinstance(value, float), f"{name} is {type(value).__name__}; a float is required")
        require(math.isfinite(value), f"{name} is {value}")


@register_check(
    CHECKS,
    "needs-declared",
    "metric",
    fix='declare inputs in the class: needs = frozenset({"features", "train"})',
    needs=(BUILDS,),
)
def _needs_declared(fixture: Fixture) -> None:
    """It reads only inputs that `needs` names: features, logits, training images, the generator."""
    metric: Metric = fixture.make()
    unknown = metric.needs - NEEDS
    require(not unknown, f"`needs` names {sorted(unknown)} (available: {', '.join(sorted(NEEDS))})")
    metric.compute(context(fixture, metric, needs=metric.needs))


@register_check(
    CHECKS,
    "same-score-twice",
    "metric",
    fix="draw from context.rng only, never from torch's global generator",
    needs=(DECLARED,),
)
def _same_score_twice(fixture: Fixture) -> None:
    """The same images and random generator give the same scores, and no other random generator is used."""
    metric: Metric = fixture.make()
    state = torch.get_rng_state()
    one, two = (dict(metric.compute(context(fixture, metric)).scores) for _ in range(2))
    drew = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    require(one == two, f"the same images give {one} and {two}")
    require(not drew, "it draws from torch's global generator, which belongs to the training")


@register_check(CHECKS, "features-unchanged", "metric", fix="work on copies of features and logits", needs=(DECLARED,))
def _features_unchanged(fixture: Fixture) -> None:
    """Features and logits stay as they were: other metrics get the same. Batches and conditions are its own copies."""
    metric: Metric = fixture.make()
    if not metric.needs & EXTRACTOR_NEEDS:
        skip("it reads no features")
    given = context(fixture, metric)
    tensors: dict[str, Tensor] = {}
    for source in ("real", "fake", "train"):
        output = given.features(source)
        tensors[f"the features of {source} images"] = output.features
        if output.logits is not None:
            tensors[f"the logits of {source} images"] = output.logits
    before = {name: values.clone() for name, values in tensors.items()}
    metric.compute(given)
    for name, values in tensors.items():
        unchanged(before[name], values, name)


@register_check(
    CHECKS,
    "details-and-images",
    "metric",
    fix="return details that JSON can hold, and images as uint8 (C, H, W)",
    needs=(DECLARED,),
)
def _details_and_images(fixture: Fixture) -> None:
    """JSON can hold the details; images are uint8 `(C, H, W)` with one or three channels."""
    metric: Metric = fixture.make()
    result = metric.compute(context(fixture, metric))
    try:
        json.dumps(dict(result.details), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"JSON cannot hold its details: {error}") from None
    for name, image in result.images.items():
        kind = f"{image.dtype} {tuple(image.shape)}"
        valid = image.dtype == torch.uint8 and image.ndim == len("CHW") and len(image) in {1, 3}
        require(valid, f"the image {name!r} is {kind}; uint8 (C, H, W) with one or three channels is required")


@register_check(
    CHECKS,
    "prefers-real-images",
    "metric",
    fix="correct the sign of the score, or `higher_is_better`",
    needs=(DECLARED,),
)
def _prefers_real_images(fixture: Fixture) -> None:
    """Fakes of the real images' distribution score no worse than noise."""
    metric: Metric = fixture.make()
    if not metric.has_reference:
        skip("`has_reference` is False: real images in place of the fakes need not score best")
    good = metric.compute(given := context(fixture, metric)).scores
    shape = (given.num_samples, *fixture.image.shape)
    images: dict[Source, Tensor] = {
        "real": fixture.pictures(given.num_samples),
        "fake": torch.rand(shape, generator=fixture.rng(3)) * 2 - 1,
        "train": fixture.pictures(2 * given.num_samples, 2),
    }
    bad = metric.compute(KitContext(fixture, images)).scores
    for name, higher in metric.higher_is_better.items():
        worse = good[name] < bad[name] if higher else good[name] > bad[name]
        require(
            not worse,
            f"{name} (higher_is_better = {higher}) is {good[name]:.4g} for good fakes and {bad[name]:.4g} for noise",
        )
