"""AC-GAN's term and feature matching, against their formulas in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from ganforge_conditional.ac_gan import AcGan
from ganforge_conditional.dcgan import ConditionalDcganGenerator
from ganforge_conditional.feature_matching import FeatureMatching
from torch import Tensor, nn

from ganforge import ConditionSpec, Discriminator, DiscriminatorOutput, Generator, ImageSpec, Loss, TrainStep
from ganforge.builtin.losses.bce import Bce
from ganforge.errors import IncompatibleError

COUNT, CLASSES = 5, 4
IMAGE = ImageSpec(1, 8, 8, ConditionSpec.classes(CLASSES))
LABELS = torch.tensor([3, 0, 1, 2, 1])


class Fakes(Generator):
    """Generator of ones; not conditional."""

    def __init__(self, image: ImageSpec = IMAGE) -> None:
        super().__init__(Generator.Options(), image)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        return torch.ones(len(z), *self.image.shape)


class Outputs(Discriminator):
    """Discriminator of given outputs: one for fakes, which are ones, and one for other images."""

    def __init__(self, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> None:
        super().__init__(Discriminator.Options(), IMAGE)
        self.outputs = {False: real, True: fake}

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output."""
        return self.outputs[bool(images.flatten()[0] == 1)]


def output(seed: int) -> DiscriminatorOutput:
    """Return random logits, class logits and features of two layers, in float64."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64) * 2

    return DiscriminatorOutput(draw(COUNT), None, draw(COUNT, CLASSES), (draw(COUNT, 3), draw(COUNT, 2, 2, 2)))


def train_step(phase: str, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> TrainStep:
    """Return a step of a phase with given outputs of the discriminator."""
    count = len(real.logits)
    return TrainStep(
        phase=phase,
        step=0,
        progress=0.0,
        images_seen=0,
        real=torch.zeros(count, *IMAGE.shape),
        z=torch.zeros(count, 1),
        condition=LABELS[:count],
        modules={"generator": Fakes(), "discriminator": Outputs(real, fake)},
        derive_rng=lambda name: torch.Generator().manual_seed(0),
    )


def log_sigmoid(x: float) -> float:
    """Return log P(S = real) of a logit."""
    return math.log(1 / (1 + math.exp(-x)))


def log_likelihood_of_class(values: DiscriminatorOutput, index: int) -> float:
    """Return one image's part of L_C: log P(C = c)."""
    assert values.class_logits is not None
    row = values.class_logits[index].tolist()
    return math.log(math.exp(row[int(LABELS[index])]) / sum(math.exp(value) for value in row))


def total(phase: str, loss: Loss, term: AcGan, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> list[float]:
    """Return each image's loss and weighted term, summed as the engine does."""
    step = train_step(phase, real, fake)
    values: Tensor = loss(step) + term.options.weight * term(step)
    assert values.shape == (len(real.logits),)
    return values.tolist()


@pytest.mark.parametrize("weight", [1.0, 0.0, 2.5])
def test_bce_and_ac_gan_are_the_papers_formula(weight: float) -> None:
    """D minimizes -(L_S + w·L_C), G -(w·L_C) - log P(S = real | fake), image by image (Odena et al. 2017)."""
    loss, term, real, fake = Bce(Bce.Options()), AcGan(AcGan.Options(weight=weight)), output(1), output(2)
    of_d, of_g = (total(phase, loss, term, real, fake) for phase in term.phases)
    for index in range(COUNT):
        source = log_sigmoid(float(real.logits[index])) + log_sigmoid(-float(fake.logits[index]))
        classes = log_likelihood_of_class(real, index) + log_likelihood_of_class(fake, index)
        assert of_d[index] == pytest.approx(-(source + weight * classes), rel=1e-12)
        convinced = log_sigmoid(float(fake.logits[index])) + weight * log_likelihood_of_class(fake, index)
        assert of_g[index] == pytest.approx(-convinced, rel=1e-12)


def test_without_classify_fakes_only_real_images_teach_classes() -> None:
    """D's term lacks CE(fake) and nothing else; G's is the same."""
    real, fake = output(1), output(2)
    paper, other = (AcGan(AcGan.Options(classify_fakes=on)) for on in (True, False))
    of_d = [term(train_step("disc", real, fake)) for term in (paper, other)]
    expected = [-log_likelihood_of_class(fake, index) for index in range(COUNT)]
    assert (of_d[0] - of_d[1]).tolist() == pytest.approx(expected, rel=1e-9)
    of_g = [term(train_step("gen", real, fake)) for term in (paper, other)]
    assert torch.equal(*of_g)


def test_an_ignorant_classifier_costs_the_log_of_the_classes() -> None:
    """At logits of 0 everywhere, D's loss is 2·log 2 + 2·log K, and G's log 2 + log K."""
    blank = DiscriminatorOutput(torch.zeros(2), class_logits=torch.zeros(2, CLASSES))
    expected = math.log(2) + math.log(CLASSES)
    loss, term = Bce(Bce.Options()), AcGan(AcGan.Options())
    assert total("disc", loss, term, blank, blank) == pytest.approx([2 * expected] * 2)
    assert total("gen", loss, term, blank, blank) == pytest.approx([expected] * 2)


@pytest.mark.parametrize("phase", ["disc", "gen"])
def test_ac_gan_names_a_discriminator_with_a_classifier(phase: str) -> None:
    """Without class logits, both phases are refused with the fix."""
    plain = DiscriminatorOutput(torch.zeros(2))
    with pytest.raises(IncompatibleError, match="no class logits") as error:
        AcGan(AcGan.Options())(train_step(phase, plain, plain))
    assert "--disc ac-dcgan" in (error.value.fix or "")


def test_ac_gan_refuses_generators_without_classes() -> None:
    """A generator that is not conditional, and data without classes, are refused before training."""
    term = AcGan(AcGan.Options())

    def modules(generator: Generator) -> Mapping[str, nn.Module]:
        return {"generator": generator}

    term.setup(modules(ConditionalDcganGenerator(ConditionalDcganGenerator.Options(base_channels=1), IMAGE)))
    with pytest.raises(IncompatibleError, match="is not conditional") as error:
        term.setup(modules(Fakes()))
    assert "--gen conditional-dcgan" in (error.value.fix or "")
    with pytest.raises(IncompatibleError, match="the data has none"):
        term.setup(modules(Fakes(ImageSpec(1, 8, 8))))


def feature_matching(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Return the term, `()`."""
    value: Tensor = FeatureMatching(FeatureMatching.Options())(train_step("gen", real, fake))
    assert value.shape == ()
    return value


def test_feature_matching_is_its_formula() -> None:
    """The term is ||E f(real) - E f(fake)||², summed over all features of all layers."""
    real, fake = output(1), output(2)
    expected = 0.0
    for of_real, of_fake in zip(real.features, fake.features, strict=True):
        for column_real, column_fake in zip(of_real.flatten(1).T.tolist(), of_fake.flatten(1).T.tolist(), strict=True):
            expected += (math.fsum(column_real) / COUNT - math.fsum(column_fake) / COUNT) ** 2
    assert float(feature_matching(real, fake)) == pytest.approx(expected, rel=1e-12)


def test_feature_matching_is_zero_if_the_means_agree() -> None:
    """The term is 0 for fakes that equal the real images, in any order, and not for others."""
    real = output(1)
    turned = DiscriminatorOutput(real.logits, features=tuple(features.flip(0) for features in real.features))
    assert float(feature_matching(real, real)) == 0.0
    assert float(feature_matching(real, turned)) == pytest.approx(0.0, abs=1e-25)
    assert float(feature_matching(real, output(2))) > 0.1


def test_feature_matching_pulls_fakes_towards_the_real_mean() -> None:
    """The gradient at each fake's feature is 2/N·(E f(fake) - E f(real))."""
    real = DiscriminatorOutput(torch.zeros(2), features=(torch.tensor([[1.0], [3.0]]),))
    features = torch.tensor([[5.0], [6.0]], requires_grad=True)
    value = feature_matching(real, DiscriminatorOutput(torch.zeros(2), features=(features,)))
    value.backward()
    assert features.grad is not None
    assert features.grad.flatten().tolist() == pytest.approx([2 / 2 * (5.5 - 2.0)] * 2)


@pytest.mark.parametrize("shape", [(COUNT,), (COUNT, 3)])
def test_feature_matching_replaces_the_generator_s_loss(shape: tuple[int, ...]) -> None:
    """The adversarial loss of G gets factors of 0, unless `replace` is False; that of D none."""
    values = torch.randn(shape)
    for replace in (True, False):
        term = FeatureMatching(FeatureMatching.Options(replace=replace))
        assert term.phases == ("gen",)
        assert term.reweight(train_step("disc", output(1), output(2)), values) is None
        factors = term.reweight(train_step("gen", output(1), output(2)), values)
        if replace:
            assert factors is not None
            assert torch.equal(factors, torch.zeros(shape))
        else:
            assert factors is None


def test_feature_matching_names_a_discriminator_with_features() -> None:
    """A discriminator without features is refused with the fix."""
    plain = DiscriminatorOutput(torch.zeros(2))
    with pytest.raises(IncompatibleError, match="gives none") as error:
        feature_matching(plain, plain)
    assert "--disc conditional-dcgan" in (error.value.fix or "")
