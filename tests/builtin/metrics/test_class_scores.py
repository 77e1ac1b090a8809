"""Inception score and modes: closed forms, another library, classes that count and classes that do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganforge.builtin.metrics.inception_score import InceptionScore, inception_score
from ganforge.builtin.metrics.modes import Modes, jensen_shannon
from ganforge.errors import DataError
from tests.helpers.metric_contexts import Described, Sized, evaluation, normal, result, score, scores

SURE = 1000.0
DIGITS = tuple("0123456789")


def classified(*counts: int) -> Described:
    """Return images of which a classifier is sure, in a random order: a number for each class."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(len(labels)))]
    return Described(torch.zeros(len(labels), 1), SURE * torch.nn.functional.one_hot(labels, len(counts)).float())


@pytest.mark.parametrize("classes", [1, 3, 10])
def test_inception_score_counts_classes_that_are_equally_often_there(classes: int) -> None:
    """With a sure classifier and equal shares in one part it is the number of classes, of which there may be more."""
    fake = classified(*(60 if number < classes else 0 for number in range(12)))
    found = result(InceptionScore, evaluation(fake, fake), splits=1)
    assert found.scores["inception-score"] == pytest.approx(classes, rel=1e-12)
    assert found.details["deviation"] == 0


def test_inception_score_of_an_unsure_classifier() -> None:
    """With p and 1 - p in turn, log IS = log 2 + p log p + (1 - p) log(1 - p); if always the same, it is 1."""
    p = 0.8
    row = torch.tensor([p, 1 - p]).double().log()
    entropy = p * math.log(p) + (1 - p) * math.log(1 - p)
    assert float(inception_score(torch.stack([row, row.flip(0)] * 5))) == pytest.approx(
        2 * math.exp(entropy), rel=1e-12
    )
    assert float(inception_score(row.expand(10, -1))) == pytest.approx(1, rel=1e-12)


def test_inception_score_is_what_others_compute() -> None:
    """Within 1e-9 relative of torch-fidelity's, in one part."""
    how = "get it by: python -m pip install 'ganforge[test]'"
    theirs = pytest.importorskip("torch_fidelity.metric_isc", reason=f"no torch-fidelity; {how}")
    logits = 3 * normal(200, 10, 0)
    expected = theirs.isc_features_to_metric(logits, splits=1, shuffle=False)["inception_score_mean"]
    assert float(inception_score(logits)) == pytest.approx(expected, rel=1e-9)


def test_inception_score_reports_the_deviation_of_its_parts() -> None:
    """Each part is scored alone: classes that one order keeps apart are mixed by the evaluation's random numbers."""
    labels = torch.arange(10).repeat_interleave(40)
    ordered = Described(torch.zeros(400, 1), SURE * torch.nn.functional.one_hot(labels, 10).float())
    before = torch.get_rng_state()
    found = result(InceptionScore, evaluation(ordered, ordered))
    value = found.scores["inception-score"]
    assert value > 7  # in order, each part would have one class, and the score be 1
    assert 0 < found.details["deviation"] < 1
    assert scores(InceptionScore, evaluation(ordered, ordered))["inception-score"] == value
    assert torch.equal(before, torch.get_rng_state())


def test_modes_counts_classes_that_are_reached() -> None:
    """Three classes are three modes; a class with less than a tenth of its real share does not count."""
    real = classified(*[100] * 10)
    three = scores(Modes, evaluation(real, classified(300, 0, 400, 0, 0, 300, 0, 0, 0, 0)))
    assert three["modes"] == 3
    shares = {few: classified(*[100] * 8, 200 - few, few) for few in (9, 10)}
    assert [scores(Modes, evaluation(real, fake))["modes"] for fake in shares.values()] == [9, 10]
    assert scores(Modes, evaluation(real, shares[10]), reached=0.2)["modes"] == 9


def test_modes_counts_only_what_the_data_has() -> None:
    """A class without real images, as most of a larger classifier's are, does not count as a mode."""
    real, fake = classified(50, 50, 0, 0), classified(25, 25, 25, 25)
    assert scores(Modes, evaluation(real, fake))["modes"] == 2


def test_modes_shares_are_reported_by_class() -> None:
    """Shares are keyed by the classifier's class names, or by number without names."""
    real, fake = classified(*[10] * 10), classified(100, *[0] * 9)
    said = result(Modes, evaluation(real, fake, classes=DIGITS)).details
    assert said["real"] == dict.fromkeys(DIGITS, 0.1)
    assert said["fake"] == {"0": 1.0, **dict.fromkeys(DIGITS[1:], 0.0)}
    assert list(result(Modes, evaluation(real, fake, classes=())).details["fake"]) == list(DIGITS)


def test_the_divergence_is_jensen_and_shannons() -> None:
    """0 for equal shares, log 2 for no class in common, symmetric; in between as its definition by two divergences."""
    real, fake = classified(60, 30, 10), classified(10, 10, 80)
    assert scores(Modes, evaluation(real, real))["modes-divergence"] == 0
    apart = scores(Modes, evaluation(classified(5, 0), classified(0, 5)))["modes-divergence"]
    assert apart == pytest.approx(math.log(2), rel=1e-12)
    there, back = (scores(Modes, evaluation(*pair))["modes-divergence"] for pair in ((real, fake), (fake, real)))
    assert there == pytest.approx(back, rel=1e-12)

    def kl(one: Tensor, other: Tensor) -> float:
        return sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(one, other, strict=True))

    one, other = (torch.tensor(shares, dtype=torch.float64) for shares in ([0.6, 0.3, 0.1], [0.1, 0.1, 0.8]))
    middle = (one + other) / 2
    assert there == pytest.approx((kl(one, middle) + kl(other, middle)) / 2, rel=1e-9)
    assert jensen_shannon(one, other) == pytest.approx(there, rel=1e-12)


@pytest.mark.parametrize("metric", [InceptionScore, Modes])
def test_a_classifier_is_needed(metric: type[InceptionScore | Modes]) -> None:
    """Features without classes are refused beforehand and when it computes, with the features that have some."""
    made = metric(metric.Options())
    made.check(num_samples=1000, extractor=Sized(4, classes=10))
    for extractor in (None, Sized(4)):
        with pytest.raises(DataError, match="needs a classifier") as caught:
            made.check(num_samples=1000, extractor=extractor)
        assert caught.value.fix is not None
        assert "--features digits" in caught.value.fix
    with pytest.raises(DataError, match="needs a classifier"):
        scores(metric, evaluation(normal(30, 4, 0), normal(30, 4, 1)))


def test_inception_score_refuses_parts_without_two_images() -> None:
    """A part of one image is 1 whatever it shows."""
    made = InceptionScore(InceptionScore.Options())
    made.check(num_samples=20, extractor=Sized(4, classes=10))
    with pytest.raises(DataError, match=r"inception-score needs 20 images or more, .*not 19: each of 10 parts"):
        made.check(num_samples=19, extractor=Sized(4, classes=10))
    with pytest.raises(DataError, match="inception-score needs 20 images"):
        score(InceptionScore, classified(9, 10), classified(9, 10))


def test_logits_that_are_not_finite_are_refused() -> None:
    """The message names the images and their number."""
    real, fake = classified(5, 5), classified(5, 5)
    assert fake.logits is not None
    fake.logits[2, 0] = torch.inf
    with pytest.raises(DataError, match="modes: the logits of the fakes are not finite for 1 of 10 images"):
        scores(Modes, evaluation(real, fake))
