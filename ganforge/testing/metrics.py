"""What a metric must keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganforge.interfaces import EvaluationContext, Metric
from ganforge.pictures import to_uint8
from ganforge.testing.anything import unchanged
from ganforge.testing.checks import Check, define, require
from ganforge.testing.subject import Subject

CHECKS: list[Check] = []
COUNT = 64


def context(subject: Subject, fake: Tensor) -> EvaluationContext:
    """Return what an evaluation gives: blobs as real images, and fakes, both uint8."""
    labels = subject.labels(COUNT)
    return EvaluationContext(to_uint8(subject.pictures(COUNT)), fake, labels, labels.clone(), subject.rng(9))


def others(subject: Subject) -> Tensor:
    """Return fakes of the real images' distribution."""
    return to_uint8(subject.pictures(COUNT, 1))


def noise(subject: Subject) -> Tensor:
    """Return fakes that look like nothing."""
    shape = (COUNT, subject.image.channels, subject.image.height, subject.image.width)
    return torch.randint(0, 256, shape, generator=subject.rng(3), dtype=torch.uint8)


@define(CHECKS, "scores-as-declared", "metric", fix="return exactly the names of `better`, each with a float")
def _scores_as_declared(subject: Subject) -> None:
    """It gives exactly the scores that `better` names, each finite for usual images."""
    metric: Metric = subject.make()
    scores = metric.compute(context(subject, others(subject)))
    require(scores.keys() == metric.better.keys(), f"it gives {list(scores)}; `better` names {list(metric.better)}")
    directions = set(metric.better.values())
    require(directions <= {"lower", "higher"}, f"`better` says {directions}; it must say lower or higher")
    for name, value in scores.items():
        require(isinstance(value, float), f"{name} is a {type(value).__name__}; a float is needed")
        require(math.isfinite(value), f"{name} is {value}")


@define(CHECKS, "same-score-twice", "metric", fix="draw from context.rng alone, never from torch's global generator")
def _same_score_twice(subject: Subject) -> None:
    """The same images and random generator give the same scores, and nothing else is drawn from."""
    metric: Metric = subject.make()
    state = torch.get_rng_state()
    one, two = (metric.compute(context(subject, others(subject))) for _ in range(2))
    drew = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    require(one == two, f"the same images give {one} and {two}")
    require(not drew, "it draws from torch's global generator, which belongs to the training")


@define(CHECKS, "context-unchanged", "metric", fix="work on copies of context.real and context.fake")
def _context_unchanged(subject: Subject) -> None:
    """The images that it is given stay as they were."""
    given = context(subject, others(subject))
    real, fake = given.real.clone(), given.fake.clone()
    subject.make().compute(given)
    unchanged(real, given.real, "the real images")
    unchanged(fake, given.fake, "the fakes")


@define(CHECKS, "prefers-real-images", "metric", fix="mind the sign of the score, and the word in `better`")
def _prefers_real_images(subject: Subject) -> None:
    """Fakes of the real images' distribution score no worse than noise."""
    metric: Metric = subject.make()
    good, bad = (metric.compute(context(subject, fake)) for fake in (others(subject), noise(subject)))
    for name, better in metric.better.items():
        worse = good[name] > bad[name] if better == "lower" else good[name] < bad[name]
        require(
            not worse,
            f"{name}, of which {better} is better, is {good[name]:.4g} for good fakes, {bad[name]:.4g} for noise",
        )
