"""Generators with a planted fault are seen through: on real digits, with the features that ship."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from ganforge.builtin.datasets.mnist import Mnist
from ganforge.builtin.features.classifier_features import Digits
from ganforge.builtin.metrics.data_copying import DataCopying
from ganforge.builtin.metrics.fid import Fid, FidInfinity
from ganforge.builtin.metrics.inception_score import InceptionScore
from ganforge.builtin.metrics.kid import Kid
from ganforge.builtin.metrics.modes import Modes
from ganforge.builtin.metrics.prdc import Coverage, Density, Precision, Recall
from ganforge.components import FeatureOutput, ImageSpec, ImageTensors, Metric
from ganforge.components.metrics import Source
from tests.helpers.metric_contexts import GivenContext, result, scores

COUNT = 1000
NAMES = tuple("0123456789")
COMPARED: tuple[type[Metric], ...] = (Fid, FidInfinity, Kid, Precision, Recall, Density, Coverage, Modes)
OPTIONS: dict[type[Metric], dict[str, int]] = {Kid: {"subset_size": 250}}


@dataclass
class Digitized:
    """Digits that ship with ganforge, and features of the shipped classifier, extracted once for all tests."""

    extractor: Digits = field(default_factory=lambda: Digits(Digits.Options(), ImageSpec(1, 28, 28)).eval())
    outputs: dict[int, tuple[Tensor, FeatureOutput]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mnist = Mnist(Mnist.Options(source="sample"))
        train, test = mnist.open("train"), mnist.open("test")
        assert isinstance(train, ImageTensors)
        assert isinstance(test, ImageTensors)
        assert test.condition is not None
        self.train = train.images[: 2 * COUNT]
        # In order, the first half of MNIST's test digits was written more neatly than the second.
        one, two = torch.split(torch.randperm(2 * COUNT, generator=torch.Generator().manual_seed(7)), COUNT)
        self.real, self.other, self.labels = test.images[one], test.images[two], test.condition[two]

    @torch.no_grad()
    def extract(self, images: Tensor) -> FeatureOutput:
        """Return the output for images, `(N, 1, 28, 28)`; each set is extracted once."""
        if id(images) not in self.outputs:
            parts = [self.extractor(part) for part in torch.split(images, 250)]
            features, logits = torch.cat([part.features for part in parts]), torch.cat([part.logits for part in parts])
            self.outputs[id(images)] = images, FeatureOutput(features, logits)
        return self.outputs[id(images)][1]

    def context(self, fake: Tensor) -> GivenContext:
        """Return the context of a generator that returns these images."""
        images: dict[Source, Tensor] = {"real": self.real, "fake": fake, "train": self.train}
        outputs = {source: self.extract(pixels) for source, pixels in images.items()}
        return GivenContext(images, outputs, classes=NAMES)

    def scores(self, fake: Tensor, *metrics: type[Metric]) -> dict[str, float]:
        """Return scores of fakes."""
        context = self.context(fake)
        return {
            name: value
            for metric in metrics
            for name, value in scores(metric, context, **OPTIONS.get(metric, {})).items()
        }


@pytest.fixture(scope="module")
def digits() -> Digitized:
    """Return the digits."""
    return Digitized()


def test_copied_training_images_are_flagged(digits: Digitized) -> None:
    """DataCopying is near 0 and copies near 1, though every other score is at its best; every fake is identical."""
    fake = digits.train[COUNT : 2 * COUNT]
    found = result(DataCopying, digits.context(fake))
    assert found.scores["data-copying"] < 0.02
    assert found.scores["copies"] > 0.98
    assert found.details["identical"] == 1
    fooled = digits.scores(fake, Precision, Recall, Modes)
    assert fooled["precision"] > 0.6
    assert fooled["recall"] > 0.6
    assert fooled["modes"] == 10


def test_copies_with_a_little_noise_are_flagged(digits: Digitized) -> None:
    """A quarter of the fakes are training images but for two gray levels: none is identical, all are counted."""
    rng = torch.Generator().manual_seed(1)
    noise = torch.randint(-2, 3, digits.other.shape, generator=rng)
    copied = (digits.train[:COUNT].int() + noise).clamp(0, 255).byte()
    fake = torch.where((torch.arange(COUNT) < COUNT // 4).view(-1, 1, 1, 1), copied, digits.other)
    found = result(DataCopying, digits.context(fake))
    assert found.details["identical"] == 0
    assert found.scores["copies"] == pytest.approx(0.25 + 0.75 * 0.01, abs=0.015)
    assert found.scores["data-copying"] == pytest.approx(0.75 * 0.5, abs=0.04)


def test_new_digits_are_as_authentic_as_new_digits(digits: Digitized) -> None:
    """Other test images have data-copying 1/2, and 1% of copies, within sampling error."""
    found = digits.scores(digits.other, DataCopying)
    assert found["data-copying"] == pytest.approx(0.5, abs=0.05)
    assert found["copies"] == pytest.approx(0.01, abs=0.015)


@pytest.mark.parametrize("classes", [(1, 4, 7), (3, 5, 8), (0, 6, 9)])
def test_three_classes_are_three_modes(digits: Digitized, classes: tuple[int, int, int]) -> None:
    """A generator of three digits, alike or not, reaches exactly three modes, and these have the shares."""
    chosen = torch.isin(digits.labels, torch.tensor(classes))
    found = result(Modes, digits.context(digits.other[chosen]))
    assert found.scores["modes"] == 3
    assert found.scores["modes-divergence"] > 0.3
    shares = found.details["fake"]
    assert sum(shares[NAMES[number]] for number in classes) > 0.98


def test_real_images_score_as_the_reference(digits: Digitized) -> None:
    """Other test images score as training images do, which are the reference; noise is far off."""
    reference, real = (digits.scores(fake, *COMPARED) for fake in (digits.train[:COUNT], digits.other))
    noise = torch.randint(0, 256, digits.other.shape, generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    bad = digits.scores(noise, *COMPARED)
    assert reference["modes"] == real["modes"] == 10
    for metric in COMPARED:
        for name, higher_is_better in metric.higher_is_better.items():
            sign = -1 if higher_is_better else 1
            worse = sign * (real[name] - reference[name])
            assert worse < 0.03 * sign * (bad[name] - reference[name]), (name, reference, real, bad)


def test_collapse_to_a_point_is_seen(digits: Digitized) -> None:
    """One good digit, again and again: recall and coverage are near 0, precision does not notice, one mode is left."""
    fake = digits.other[:1].repeat(COUNT, 1, 1, 1)
    found = digits.scores(fake, Precision, Recall, Coverage, Modes, InceptionScore)
    assert found["recall"] < 0.01
    assert found["coverage"] < 0.05
    assert found["modes"] == 1
    assert found["inception-score"] == pytest.approx(1, abs=1e-6)
