"""What a metric must keep."""

from __future__ import annotations

import json
import math
from typing import get_args

import torch
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureExtractor, FeatureOutput, Metric, Need
from ganforge.errors import DataError
from ganforge.testing.checks import Check, Failed, define, does_not_apply, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject
from ganforge.testing.stubs import PartnerExtractor
from ganforge.utils.images import to_uint8

CHECKS: list[Check] = []
#: How many images are compared: the first of these that the metric takes.
COUNTS = (64, 256, 1024)
NEEDS: frozenset[Need] = frozenset(get_args(Need))


class _Describing:
    """Describe images, and remember what was found, as an evaluation does: which images they are decides."""

    def __init__(self, subject: Subject, needs: frozenset[Need]) -> None:
        self._extractor = extractor(subject)
        self._needs = needs
        self._found: list[tuple[Tensor, FeatureOutput]] = []

    def __call__(self, images: Tensor) -> FeatureOutput:
        """Return features, and logits where they are needed. Raises Failed where neither is."""
        if not self._needs & {"features", "logits"}:
            raise Failed("it asks for features, but `needs` does not name them")
        for given, found in self._found:
            if given is images:
                return found
        with torch.no_grad():
            found = self._extractor(images)
        found = found if "logits" in self._needs else FeatureOutput(found.features)
        self._found.append((images, found))
        return found


def extractor(subject: Subject) -> FeatureExtractor:
    """Return the kit's own extractor, which has few features, and the images' classes."""
    return PartnerExtractor(FeatureExtractor.Options(), subject.image).eval()


def images_for(metric: Metric, subject: Subject) -> int:
    """Return how many images a metric is examined with. Raises NotApplicable where all are too few for it."""
    described = extractor(subject) if metric.needs & {"features", "logits"} else None
    reasons = []
    for count in COUNTS:
        try:
            metric.check(count=count, extractor=described)
        except DataError as error:
            reasons.append(error.message)
        else:
            return count
    return does_not_apply(f"it takes more images than the {COUNTS[-1]} that it is examined with: {reasons[-1]}")


def context(subject: Subject, fake: Tensor, *, needs: frozenset[Need] = NEEDS) -> EvaluationContext:
    """Return what an evaluation gives: blobs as real images and as those trained on, and fakes, all uint8."""
    count, classes = len(fake), subject.image.num_classes or 1
    labels = subject.labels(count)
    return EvaluationContext(
        to_uint8(subject.pictures(count)),
        fake,
        labels,
        labels.clone(),
        subject.rng(9),
        train=to_uint8(subject.pictures(2 * count, 2)) if "train" in needs else None,
        class_names=tuple(str(number) for number in range(classes)),
        extract=_Describing(subject, needs),
    )


def others(subject: Subject, count: int) -> Tensor:
    """Return fakes of the real images' distribution."""
    return to_uint8(subject.pictures(count, 1))


def noise(subject: Subject, count: int) -> Tensor:
    """Return fakes that look like nothing."""
    shape = (count, subject.image.channels, subject.image.height, subject.image.width)
    return torch.randint(0, 256, shape, generator=subject.rng(3), dtype=torch.uint8)


@define(CHECKS, "scores-as-declared", "metric", fix="return exactly the names of `better`, each with a float")
def _scores_as_declared(subject: Subject) -> None:
    """It gives exactly the scores that `better` names, each finite for usual images."""
    metric: Metric = subject.make()
    scores = metric.compute(context(subject, others(subject, images_for(metric, subject))))
    require(scores.keys() == metric.better.keys(), f"it gives {list(scores)}; `better` names {list(metric.better)}")
    directions = set(metric.better.values())
    require(directions <= {"lower", "higher"}, f"`better` says {directions}; it must say lower or higher")
    for name, value in scores.items():
        require(isinstance(value, float), f"{name} is a {type(value).__name__}; a float is needed")
        require(math.isfinite(value), f"{name} is {value}")


@define(CHECKS, "says-what-it-needs", "metric", fix='name it in the class: needs = frozenset({"features", "train"})')
def _says_what_it_needs(subject: Subject) -> None:
    """It manages with what `needs` names: features, a classifier's logits, the images trained on."""
    metric: Metric = subject.make()
    unknown = metric.needs - NEEDS
    require(not unknown, f"`needs` names {sorted(unknown)}; there is {', '.join(sorted(NEEDS))}")
    metric.compute(context(subject, others(subject, images_for(metric, subject)), needs=metric.needs))


@define(CHECKS, "same-score-twice", "metric", fix="draw from context.rng alone, never from torch's global generator")
def _same_score_twice(subject: Subject) -> None:
    """The same images and random generator give the same scores, and nothing else is drawn from."""
    metric: Metric = subject.make()
    fake = others(subject, images_for(metric, subject))
    state = torch.get_rng_state()
    one, two = (metric.compute(context(subject, fake)) for _ in range(2))
    drew = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    require(one == two, f"the same images give {one} and {two}")
    require(not drew, "it draws from torch's global generator, which belongs to the training")


@define(CHECKS, "context-unchanged", "metric", fix="work on copies of the images, and of what extract() returns")
def _context_unchanged(subject: Subject) -> None:
    """The images that it is given, and what was found in them, stay as they were."""
    metric: Metric = subject.make()
    given = context(subject, others(subject, images_for(metric, subject)))
    assert given.train is not None  # noqa: S101 - it was asked for
    parts = {"the real images": given.real, "the fakes": given.fake, "the images trained on": given.train}
    if metric.needs & {"features", "logits"}:
        for what, images in tuple(parts.items()):
            found = given.extract(images)
            parts[f"the features of {what}"] = found.features
            if found.logits is not None:
                parts[f"the logits of {what}"] = found.logits
    before = {what: values.clone() for what, values in parts.items()}
    metric.compute(given)
    for what, values in parts.items():
        unchanged(before[what], values, what)


@define(CHECKS, "tells-people", "metric", fix="give details as JSON holds them, pictures as uint8 (C, H, W)")
def _tells_people(subject: Subject) -> None:
    """What it adds for people can be shown: details as JSON, pictures uint8 `(C, H, W)` with one or three channels."""
    metric: Metric = subject.make()
    given = context(subject, others(subject, images_for(metric, subject)))
    metric.compute(given)
    try:
        json.dumps(given.details, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Failed(f"JSON cannot hold its details: {error}") from None
    for name, picture in given.pictures.items():
        kind = f"{picture.dtype} {tuple(picture.shape)}"
        shown = picture.dtype == torch.uint8 and picture.ndim == len("CHW") and len(picture) in {1, 3}
        require(shown, f"the picture {name!r} is {kind}; uint8 (C, H, W) with one or three channels is needed")


@define(CHECKS, "prefers-real-images", "metric", fix="mind the sign of the score, and the word in `better`")
def _prefers_real_images(subject: Subject) -> None:
    """Fakes of the real images' distribution score no worse than noise."""
    metric: Metric = subject.make()
    if not metric.has_reference:
        does_not_apply("`has_reference` says that real images in the place of fakes need not score best")
    count = images_for(metric, subject)
    good, bad = (metric.compute(context(subject, fake(subject, count))) for fake in (others, noise))
    for name, better in metric.better.items():
        worse = good[name] > bad[name] if better == "lower" else good[name] < bad[name]
        require(
            not worse,
            f"{name}, of which {better} is better, is {good[name]:.4g} for good fakes, {bad[name]:.4g} for noise",
        )
