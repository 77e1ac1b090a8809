"""AC-GAN's loss and feature matching, against their formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch
from ganforge_conditional.ac_gan import AcGan
from ganforge_conditional.feature_matching import FeatureMatching

from ganforge import DiscriminatorOutput
from ganforge.errors import IncompatibleError

COUNT, CLASSES = 5, 4


def judged(seed: int) -> DiscriminatorOutput:
    """Return a judgement in float64 with everything in it; the seed decides the numbers."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64) * 2

    labels = torch.randint(CLASSES, (COUNT,), generator=rng)
    return DiscriminatorOutput(draw(COUNT), labels, draw(COUNT, CLASSES), (draw(COUNT, 3), draw(COUNT, 2, 2, 2)))


def log_sigmoid(x: float) -> float:
    """Return log P(S = real) for a logit."""
    return math.log(1 / (1 + math.exp(-x)))


def log_softmax(row: list[float], label: int) -> float:
    """Return log P(C = label)."""
    return math.log(math.exp(row[label]) / sum(math.exp(value) for value in row))


def log_likelihood_of_class(judgement: DiscriminatorOutput, place: int) -> float:
    """Return one image's term of L_C."""
    return log_softmax(judgement.class_logits[place].tolist(), int(judgement.labels[place]))


@pytest.mark.parametrize("weight", [1.0, 0.0, 2.5])
def test_ac_gan_is_its_formula(weight: float) -> None:
    """D minimises -(L_S + w·L_C), G -(w·L_C) - log P(S = real | fake), image by image (Odena et al. 2017)."""
    loss, real, fake = AcGan(AcGan.Options(class_weight=weight)), judged(1), judged(2)
    of_d, of_g = loss.discriminator(real=real, fake=fake), loss.generator(real=None, fake=fake)
    assert of_d.shape == of_g.shape == (COUNT,)
    for place in range(COUNT):
        source = log_sigmoid(float(real.logits[place])) + log_sigmoid(-float(fake.logits[place]))
        classes = log_likelihood_of_class(real, place) + log_likelihood_of_class(fake, place)
        assert float(of_d[place]) == pytest.approx(-(source + weight * classes), rel=1e-12)
        convinced = log_sigmoid(float(fake.logits[place])) + weight * log_likelihood_of_class(fake, place)
        assert float(of_g[place]) == pytest.approx(-convinced, rel=1e-12)


def test_without_classify_fakes_only_real_images_teach_labels() -> None:
    """D's loss then lacks w·CE(fake) and nothing else; G's is the same as before."""
    real, fake = judged(1), judged(2)
    paper, other = (AcGan(AcGan.Options(class_weight=2.5, classify_fakes=on)) for on in (True, False))
    gone = paper.discriminator(real=real, fake=fake) - other.discriminator(real=real, fake=fake)
    expected = [-2.5 * log_likelihood_of_class(fake, place) for place in range(COUNT)]
    assert gone.tolist() == pytest.approx(expected, rel=1e-9)
    assert torch.equal(paper.generator(real=None, fake=fake), other.generator(real=None, fake=fake))


def test_a_guess_without_knowledge_costs_the_log_of_the_classes() -> None:
    """At logits of 0 everywhere D's loss is 2·log 2 + 2·log K, and G's log 2 + log K."""
    blank = DiscriminatorOutput(torch.zeros(2), torch.tensor([0, 3]), torch.zeros(2, CLASSES))
    loss = AcGan(AcGan.Options())
    expected = math.log(2) + math.log(CLASSES)
    assert loss.discriminator(real=blank, fake=blank).tolist() == pytest.approx([2 * expected] * 2)
    assert loss.generator(real=None, fake=blank).tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize(
    ("incomplete", "what", "fix"),
    [
        (DiscriminatorOutput(torch.zeros(2), torch.zeros(2, dtype=torch.int64)), "no class logits", "--disc ac-dcgan"),
        (DiscriminatorOutput(torch.zeros(2), None, torch.zeros(2, CLASSES)), "no labels", "conditional"),
    ],
)
def test_ac_gan_says_what_the_discriminator_lacks(incomplete: DiscriminatorOutput, what: str, fix: str) -> None:
    """Without class logits, or without labels, both losses refuse and say what helps."""
    loss = AcGan(AcGan.Options())
    for call in (
        lambda: loss.discriminator(real=incomplete, fake=incomplete),
        lambda: loss.generator(real=None, fake=incomplete),
    ):
        with pytest.raises(IncompatibleError, match=what) as caught:
            call()
        assert fix in (caught.value.fix or "")


def test_feature_matching_is_its_formula() -> None:
    """G's loss is ||E f(real) - E f(fake)||², summed over all features of all layers, and the same for each image."""
    real, fake = judged(1), judged(2)
    expected = 0.0
    for at_real, at_fake in zip(real.features, fake.features, strict=True):
        for column_real, column_fake in zip(at_real.flatten(1).T.tolist(), at_fake.flatten(1).T.tolist(), strict=True):
            expected += (math.fsum(column_real) / COUNT - math.fsum(column_fake) / COUNT) ** 2
    values = FeatureMatching(FeatureMatching.Options()).generator(real=real, fake=fake)
    assert values.shape == (COUNT,)
    assert values.tolist() == pytest.approx([expected] * COUNT, rel=1e-12)
    assert float(values.mean()) == pytest.approx(expected, rel=1e-12)


def test_feature_matching_is_zero_where_the_means_agree() -> None:
    """It is 0 for fakes that equal the real images, in another order too, and not for others."""
    loss, real = FeatureMatching(FeatureMatching.Options()), judged(1)
    turned = DiscriminatorOutput(real.logits, features=tuple(features.flip(0) for features in real.features))
    assert loss.generator(real=real, fake=real).tolist() == [0.0] * COUNT
    assert loss.generator(real=real, fake=turned).tolist() == pytest.approx([0.0] * COUNT, abs=1e-25)
    assert float(loss.generator(real=real, fake=judged(2)).mean()) > 0.1


def test_feature_matching_pulls_fakes_towards_the_real_mean() -> None:
    """The gradient of the mean loss at each fake's feature is 2/N·(E f(fake) - E f(real))."""
    real, fake = (
        DiscriminatorOutput(torch.zeros(2), features=(torch.tensor([[1.0], [3.0]]),)),
        torch.tensor([[5.0], [6.0]]),
    )
    fake.requires_grad_()
    values = FeatureMatching(FeatureMatching.Options()).generator(
        real=real, fake=DiscriminatorOutput(torch.zeros(2), features=(fake,))
    )
    values.mean().backward()
    assert fake.grad is not None
    assert fake.grad.flatten().tolist() == pytest.approx([2 / 2 * (5.5 - 2.0)] * 2)


def test_feature_matching_trains_the_discriminator_with_bce() -> None:
    """D's loss is -log σ(real) - log(1 - σ(fake)), whatever the features are."""
    real, fake = judged(1), judged(2)
    values = FeatureMatching(FeatureMatching.Options()).discriminator(real=real, fake=fake).tolist()
    expected = [
        -log_sigmoid(a) - log_sigmoid(-b) for a, b in zip(real.logits.tolist(), fake.logits.tolist(), strict=True)
    ]
    assert values == pytest.approx(expected, rel=1e-12)


def test_feature_matching_says_that_there_are_no_features() -> None:
    """A discriminator without features is refused, with one that has them."""
    plain = DiscriminatorOutput(torch.zeros(2))
    with pytest.raises(IncompatibleError, match="gives none") as caught:
        FeatureMatching(FeatureMatching.Options()).generator(real=plain, fake=plain)
    assert "--disc conditional-dcgan" in (caught.value.fix or "")
