"""Generators with a planted fault are seen through: on real digits, with the features that ship."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from ganforge.builtin.datasets.mnist import Mnist
from ganforge.builtin.features.trained import Digits
from ganforge.builtin.metrics.data_copying import DataCopying
from ganforge.builtin.metrics.fid import Fid, FidInfinity
from ganforge.builtin.metrics.inception_score import InceptionScore
from ganforge.builtin.metrics.kid import Kid
from ganforge.builtin.metrics.modes import Modes
from ganforge.builtin.metrics.prdc import Coverage, Density, Precision, Recall
from ganforge.components import EvaluationContext, FeatureOutput, ImageSpec, Metric

COUNT = 1000
NAMES = tuple("0123456789")
COMPARED: tuple[type[Metric], ...] = (Fid, FidInfinity, Kid, Precision, Recall, Density, Coverage, Modes)
OPTIONS: dict[type[Metric], dict[str, int]] = {Kid: {"subset_size": 250}}


@dataclass
class Digitised:
    """Hold digits that ship with ganforge, and what the shipped classifier sees in them, once for all tests."""

    extractor: Digits = field(default_factory=lambda: Digits(Digits.Options(), ImageSpec(1, 28, 28, 10)).eval())
    said: dict[int, tuple[Tensor, FeatureOutput]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mnist = Mnist(Mnist.Options(source="sample"))
        self.train = mnist.load("train").pixels[: 2 * COUNT]
        test = mnist.load("test")
        assert test.labels is not None
        # In order, the first half of MNIST's test digits was written more neatly than the second.
        one, two = torch.randperm(2 * COUNT, generator=torch.Generator().manual_seed(7)).split(COUNT)
        self.reference, self.other, self.labels = test.pixels[one], test.pixels[two], test.labels[two]

    @torch.no_grad()
    def extract(self, images: Tensor) -> FeatureOutput:
        """Describe images, `(N, 1, 28, 28)`; each set is described once."""
        if id(images) not in self.said:
            parts = [self.extractor(part) for part in images.split(250)]
            features, logits = torch.cat([part.features for part in parts]), torch.cat([part.logits for part in parts])
            self.said[id(images)] = images, FeatureOutput(features, logits)
        return self.said[id(images)][1]

    def context(self, fake: Tensor) -> EvaluationContext:
        """Return the evaluation of a generator that made these."""
        rng = torch.Generator().manual_seed(0)
        return EvaluationContext(
            self.reference, fake, None, None, rng, train=self.train, class_names=NAMES, extract=self.extract
        )

    def scores(self, fake: Tensor, *metrics: type[Metric]) -> dict[str, float]:
        """Return what metrics say of fakes."""
        context = self.context(fake)
        made = [metric(metric.Options.model_validate(OPTIONS.get(metric, {}))) for metric in metrics]
        return {name: value for metric in made for name, value in metric.compute(context).items()}


@pytest.fixture(scope="module")
def digits() -> Digitised:
    """Return the digits."""
    return Digitised()


def test_copied_training_images_are_flagged(digits: Digitised) -> None:
    """DataCopying is near 0 and copies near 1, though every other score is at its best; every fake is identical."""
    context = digits.context(digits.train[COUNT : 2 * COUNT])
    found = DataCopying(DataCopying.Options()).compute(context)
    assert found["data-copying"] < 0.02
    assert found["copies"] > 0.98
    assert context.details["data-copying"]["identical"] == 1
    fooled = digits.scores(context.fake, Precision, Recall, Modes)
    assert fooled["precision"] > 0.6
    assert fooled["recall"] > 0.6
    assert fooled["modes"] == 10


def test_copies_with_a_little_noise_are_flagged(digits: Digitised) -> None:
    """A quarter of the fakes are training images but for two grey levels: none is identical, all are counted."""
    rng = torch.Generator().manual_seed(1)
    noise = torch.randint(-2, 3, digits.other.shape, generator=rng)
    copied = (digits.train[:COUNT].int() + noise).clamp(0, 255).byte()
    fake = torch.where((torch.arange(COUNT) < COUNT // 4).view(-1, 1, 1, 1), copied, digits.other)
    context = digits.context(fake)
    found = DataCopying(DataCopying.Options()).compute(context)
    assert context.details["data-copying"]["identical"] == 0
    assert found["copies"] == pytest.approx(0.25 + 0.75 * 0.01, abs=0.015)
    assert found["data-copying"] == pytest.approx(0.75 * 0.5, abs=0.04)


def test_new_digits_are_as_authentic_as_new_digits(digits: Digitised) -> None:
    """Other test images have data-copying 1/2, and 1% of copies, within sampling error."""
    found = digits.scores(digits.other, DataCopying)
    assert found["data-copying"] == pytest.approx(0.5, abs=0.05)
    assert found["copies"] == pytest.approx(0.01, abs=0.015)


@pytest.mark.parametrize("classes", [(1, 4, 7), (3, 5, 8), (0, 6, 9)])
def test_three_classes_are_three_modes(digits: Digitised, classes: tuple[int, int, int]) -> None:
    """A generator of three digits, alike or not, reaches exactly three modes, and these have the shares."""
    chosen = torch.isin(digits.labels, torch.tensor(classes))
    context = digits.context(digits.other[chosen])
    found = Modes(Modes.Options()).compute(context)
    assert found["modes"] == 3
    assert found["modes-divergence"] > 0.3
    shares = context.details["modes"]["fake"]
    assert sum(shares[NAMES[number]] for number in classes) > 0.98


def test_real_images_score_at_the_floor(digits: Digitised) -> None:
    """Test images that are not the reference score as training images do, which are the floor; noise is far off."""
    floor, real = (digits.scores(fake, *COMPARED) for fake in (digits.train[:COUNT], digits.other))
    noise = torch.randint(0, 256, digits.other.shape, generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    bad = digits.scores(noise, *COMPARED)
    assert floor["modes"] == real["modes"] == 10
    for metric in COMPARED:
        for name, better in metric.better.items():
            sign = 1 if better == "lower" else -1
            worse_than_floor = sign * (real[name] - floor[name])
            assert worse_than_floor < 0.03 * sign * (bad[name] - floor[name]), (name, floor, real, bad)


def test_collapse_to_a_point_is_seen(digits: Digitised) -> None:
    """One good digit, again and again: recall and coverage are near 0, precision cannot tell, one mode is left."""
    fake = digits.other[:1].repeat(COUNT, 1, 1, 1)
    found = digits.scores(fake, Precision, Recall, Coverage, Modes, InceptionScore)
    assert found["recall"] < 0.01
    assert found["coverage"] < 0.05
    assert found["modes"] == 1
    assert found["inception-score"] == pytest.approx(1, abs=1e-6)
