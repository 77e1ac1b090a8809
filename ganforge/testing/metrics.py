"""Checks of metrics, in the engine's own context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from ganforge.components import Metric, MetricResult
from ganforge.components.metrics import Need, Source
from ganforge.errors import DataError
from ganforge.evaluation.comparability import EXTRACTOR_NEEDS
from ganforge.evaluation.context import MetricContext
from ganforge.evaluation.extraction import Extraction
from ganforge.evaluation.image_sets import StoredImages
from ganforge.evaluation.validation import check_pictures, plain_details, plain_scores, scored_split
from ganforge.testing.checks import CheckFailed, Checks, require, skip
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws

checks = Checks("metric", needs="scores-as-declared")
#: Numbers of images; the first that the metric accepts is used.
COUNTS = (64, 256, 1024)
BATCH_SIZE = 50
NEEDS: frozenset[Need] = frozenset(get_args(Need))


def enough_images(fixture: Fixture) -> Fixture:
    """Return a fixture with as many images as the metric needs. Raises CheckSkipped if the kit has too few."""
    metric: Metric = fixture.make()
    extractor = fixture.scoring.extractor() if metric.needs & EXTRACTOR_NEEDS else None
    sizes = fixture.scoring.info.sizes
    most = sizes[scored_split(fixture.scoring)] if "data" in fixture.partners else COUNTS[-1]
    reasons = []
    for count in dict.fromkeys(min(count, most) for count in COUNTS):
        try:
            metric.check(num_samples=count, extractor=extractor)
        except DataError as error:
            reasons.append(error.message)
        else:
            return replace(fixture, num_samples=count, kept={})
    return skip(f"it needs more images than {most}: {reasons[-1]}")


class _Noise(StoredImages):
    """Images of independent pixels, with the conditions of real ones."""

    def _images(self) -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(3)
        for images in super()._images():
            yield torch.rand(images.shape, generator=rng) * 2 - 1


class MetricTrial:
    """Inputs of a metric: real images, and further ones or noise in place of the fakes."""

    def __init__(self, fixture: Fixture, *, noise: bool = False) -> None:
        fixture = fixture.once(enough_images)
        self.metric: Metric = fixture.make()
        scoring, count = fixture.scoring, fixture.num_samples
        size = scoring.info.sizes["train"]
        extracts = bool(self.metric.needs & EXTRACTOR_NEEDS)
        extraction = Extraction(scoring, torch.device("cpu")) if extracts else None
        places: dict[Source, range] = {
            "real": range(count),
            "fake": range(count, 2 * count),
            "train": range(2 * count, 4 * count),
        }
        self.sets = {
            source: (_Noise if noise and source == "fake" else StoredImages)(
                partial(scoring.take, "train"),
                scoring.info.image.condition,
                torch.tensor(place) % size,
                batch_size=BATCH_SIZE,
                scoring=scoring,
                extraction=extraction,
            )
            for source, place in places.items()
        }
        gan = fixture.build()
        self._context = MetricContext(
            fixture.entry,
            self.metric.needs,
            self.sets,
            extraction=extraction,
            generator=gan.generator.eval(),
            latent=gan.latent.eval(),
            rng=fixture.rng(9),
            shared={},
        )

    def compute(self) -> MetricResult:
        """Return the result of the metric."""
        return self.metric.compute(self._context)


def result_of(fixture: Fixture) -> MetricResult:
    """Return the result for fakes of the real images' distribution."""
    return MetricTrial(fixture).compute()


@checks.add('declare inputs in the class: needs = frozenset({"features", "train"})', needs="builds")
def needs_declared(fixture: Fixture) -> None:
    """It reads only inputs that `needs` names: features, logits, training images, the generator."""
    unknown = fixture.cls.needs - NEEDS
    require(not unknown, f"`needs` names {sorted(unknown)} (available: {', '.join(sorted(NEEDS))})")
    fixture.once(result_of)


@checks.add("return MetricResult(scores) with a float for each name in `higher_is_better`", needs="needs-declared")
def scores_as_declared(fixture: Fixture) -> None:
    """It returns exactly the scores that `higher_is_better` names, each finite and within its `bounds`."""
    directions = fixture.cls.higher_is_better
    require(
        directions and all(isinstance(value, bool) for value in directions.values()),
        f"`higher_is_better` is {directions!r}; it must map each score's name to True or False",
    )
    result: object = fixture.once(result_of)
    if not isinstance(result, MetricResult):
        raise CheckFailed(f"it returns {type(result).__name__}; a MetricResult is required")
    bounds = fixture.make().bounds(fixture.scoring.extractor() if fixture.cls.needs & EXTRACTOR_NEEDS else None)
    require(bounds.keys() <= directions.keys(), f"`bounds` names {sorted(bounds)}, not scores of `higher_is_better`")
    for name, value in plain_scores(result.scores, directions, fixture.entry).items():
        low, high = bounds.get(name, (None, None))
        require(value is not None, f"{name} is {result.scores[name]}")
        within = (low is None or low <= value) and (high is None or value <= high)
        require(within, f"{name} is {value}, outside its bounds ({low}, {high})")


@checks.add("draw from context.rng only, never from torch's global generator")
def same_score_twice(fixture: Fixture) -> None:
    """The same images and random generator give the same scores, and no other random generator is used."""
    trials = MetricTrial(fixture), MetricTrial(fixture)
    with no_global_draws():
        one, two = (dict(trial.compute().scores) for trial in trials)
    require(one == two, f"the same images give {one} and {two}")


@checks.add("work on copies of features and logits")
def features_unchanged(fixture: Fixture) -> None:
    """Features and logits stay as they were: other metrics get the same. Batches and conditions are its own copies."""
    trial = MetricTrial(fixture)
    if not trial.metric.needs & EXTRACTOR_NEEDS:
        skip("it reads no features")
    trial.compute()
    for source, images in trial.sets.items():
        require(not images.tampered(), f"it changes the features of {source} images in place")


@checks.add("return details that JSON can hold, and images as uint8 (C, H, W)")
def details_and_images(fixture: Fixture) -> None:
    """JSON can hold the details; images are uint8 `(C, H, W)` with one or three channels."""
    result = fixture.once(result_of)
    plain_details(result.details, fixture.entry)
    check_pictures(result.images, fixture.entry)


@checks.add("correct the sign of the score, or `higher_is_better`")
def prefers_real_images(fixture: Fixture) -> None:
    """Fakes of the real images' distribution score no worse than noise."""
    if not fixture.cls.has_reference:
        skip("`has_reference` is False: real images in place of the fakes need not score best")
    good, bad = fixture.once(result_of).scores, MetricTrial(fixture, noise=True).compute().scores
    for name, higher in fixture.cls.higher_is_better.items():
        worse = good[name] < bad[name] if higher else good[name] > bad[name]
        scores = f"{good[name]:.4g} for good fakes and {bad[name]:.4g} for noise"
        require(not worse, f"{name} (higher_is_better = {higher}) is {scores}")
