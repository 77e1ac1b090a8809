"""The conformance kit is tested with mutants: for each check one component that is broken in just that way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import PositiveFloat, field_validator
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganforge.components import (
    Augmentation,
    Dataset,
    DatasetInfo,
    DiscriminatorOutput,
    EvaluationContext,
    FeatureExtractor,
    FeatureOutput,
    Images,
    ImageSpec,
    Loss,
    Metric,
    Penalty,
)
from ganforge.components.spec import KINDS, Component, Kind
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.testing import CHECKS, NotApplicable, checks_of
from ganforge.testing.conformance import attempt
from ganforge.testing.fixture import open_subject
from ganforge.testing.stubs import (
    PartnerDiscriminator,
    PartnerExtractor,
    PartnerGenerator,
    PartnerLoss,
    PartnerMetric,
)

IMAGE = ImageSpec(1, 8, 8, 3)
#: Made in processes of their own, or slow to start; examined where a mutant is theirs, and once for a good component.
SLOW = ("light-import", "no-network", "missing-data", "compiles")


# Good components, which every check passes


class GoodPenalty(Penalty):
    """R1, |∇D|² at real images."""

    def measure(self, discriminator: Any, *, real: Tensor, fake: Tensor, labels: Any, rng: Any) -> Tensor:
        return self.slopes(discriminator, real, labels).flatten(1).square().sum(1)

    @staticmethod
    def slopes(discriminator: Any, images: Tensor, labels: Any) -> Tensor:
        given = images.detach().clone().requires_grad_()
        logits = discriminator.judge(given, labels).logits
        (slope,) = torch.autograd.grad(logits.sum(), given, create_graph=True)
        return slope

    def linear_value(self, norm: float) -> float:
        return norm**2


class GoodMetric(Metric):
    """The distance of the mean images."""

    better: ClassVar = {"mean-distance": "lower"}

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        real, fake = context.real.float().mean(0), context.fake.float().mean(0)
        return {"mean-distance": float((real - fake).square().mean())}


class GoodFeatures(FeatureExtractor):
    """One layer, and a classifier of three on top."""

    size = 6
    class_names = ("a", "b", "c")
    preprocessing: ClassVar = "pixels scaled to [0, 1]"

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer, self.head = nn.Linear(image.numel, 6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> FeatureOutput:
        features = self.changed(self.layer(self.pixels(images).flatten(1)).tanh())
        return FeatureOutput(features, self.head(features))

    def pixels(self, images: Tensor) -> Tensor:
        """Let a mutant see other pixels."""
        return images.float() / 255

    def changed(self, features: Tensor) -> Tensor:
        """Let a mutant change the features."""
        return features


class GoodAugmentation(Augmentation):
    """Brightness that grows with the certainty of the discriminator."""

    strength: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("strength", torch.full((), 0.1))

    def forward(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        shift = torch.rand(len(images), 1, 1, 1, generator=rng).to(images)
        return images + self.strength * shift

    def observe(self, real_logits: Tensor) -> None:
        self.strength += 0.01 * real_logits.sign().mean()


class GoodData(Dataset):
    """Twenty squares of light, with three classes."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return ("a", "b", "c")

    def load(self, split: Any) -> Images | None:
        pixels = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
        for number in range(20):
            pixels[number, :, number % 5 : number % 5 + 3, 2:6] = 200 + number
        return Images(pixels, torch.arange(20) % 3)


class Items(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The same squares, one by one."""

    def __init__(self) -> None:
        self.images = GoodData(Dataset.Options()).load("train")

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        assert self.images is not None
        assert self.images.labels is not None
        return self.images.pixels[index], int(self.images.labels[index])


class GoodStream(GoodData):
    """The same squares, opened instead of loaded."""

    @property
    def splits(self) -> tuple[Any, ...]:
        return ("train",)

    @property
    def info(self) -> DatasetInfo:  # type: ignore[override]
        return DatasetInfo("stream", ImageSpec(1, 8, 8, 3), ("a", "b", "c"), {"train": 20}, "1234")

    def load(self, split: Any) -> Images | None:
        return None

    def open(self, split: Any) -> Any:
        return Items()


GOOD: dict[str, tuple[Kind, type[Any]]] = {
    "generator": ("generator", PartnerGenerator),
    "discriminator": ("discriminator", PartnerDiscriminator),
    "loss": ("loss", PartnerLoss),
    "penalty": ("penalty", GoodPenalty),
    "metric": ("metric", GoodMetric),
    "metric of features": ("metric", PartnerMetric),
    "features": ("features", GoodFeatures),
    "the kit's own features": ("features", PartnerExtractor),
    "augmentation": ("augmentation", GoodAugmentation),
    "dataset": ("dataset", GoodData),
    "stream": ("dataset", GoodStream),
}


# Mutants


@dataclass(frozen=True)
class Mutant:
    """A class that is broken in one way; `check` must catch it, and no other but its neighbours may."""

    kind: Kind
    check: str
    cls: type[Any]
    neighbours: tuple[str, ...] = ()


MUTANTS: list[Mutant] = []


def mutant(kind: Kind, check: str, *neighbours: str) -> Callable[[type[Any]], type[Any]]:
    """Take the decorated class as a mutant."""

    def add(cls: type[Any]) -> type[Any]:
        MUTANTS.append(Mutant(kind, check, cls, neighbours))
        return cls

    return add


def of_generator(check: str, *neighbours: str, **members: Any) -> None:
    """Take a generator with some members replaced as a mutant."""
    cls = type(f"Generator{len(MUTANTS)}", (PartnerGenerator,), members)
    MUTANTS.append(Mutant("generator", check, cls, neighbours))


def of_discriminator(check: str, *neighbours: str, **members: Any) -> None:
    """Take a discriminator with some members replaced as a mutant."""
    cls = type(f"Discriminator{len(MUTANTS)}", (PartnerDiscriminator,), members)
    MUTANTS.append(Mutant("discriminator", check, cls, neighbours))


def good_images(self: Any, z: Tensor, labels: Any) -> Tensor:
    """Return what the good generator makes."""
    return PartnerGenerator.forward(self, z, labels)


def good_judgement(self: Any, images: Tensor, labels: Any) -> DiscriminatorOutput:
    """Return what the good discriminator says."""
    return PartnerDiscriminator.forward(self, images, labels)


ANY_TRAINING = ("trains", "resumes-exactly")


@mutant("generator", "builds", *(check.name for check in checks_of("generator")))
class NeedsMore(PartnerGenerator):
    """Its constructor wants what nobody gives."""

    def __init__(self, options: Any, image: ImageSpec, secret: int) -> None:
        super().__init__(options, image)


@mutant("loss", "options-round-trip", *ANY_TRAINING)
class Doubles(PartnerLoss):
    """An option that becomes another one each time that it is read."""

    class Options(Loss.Options):
        """One number."""

        scale: PositiveFloat = 1.0

        @field_validator("scale")
        @classmethod
        def _double(cls, value: float) -> float:
            return value * 2


@mutant("generator", "same-seed-same-weights", "resumes-exactly")
class Entropy(PartnerGenerator):
    """Weights from the system's own randomness."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        with torch.no_grad():
            self.layers[0].weight[0] = float(np.random.default_rng().random())  # type: ignore[operator,index]


@mutant("generator", "leaves-global-state")
class Seeds(PartnerGenerator):
    """Seeds the global generator for itself."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        torch.manual_seed(7)
        super().__init__(options, image)


@mutant("loss", "leaves-global-state")
class Doubled(PartnerLoss):
    """Changes Python's random numbers, and a setting of cuDNN."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        random.seed(3)
        torch.backends.cudnn.benchmark = True


of_generator(
    "input-unchanged",
    "same-answer-in-eval",
    "state-round-trip",
    "gradients",
    "latents-matter",
    "bfloat16",
    *ANY_TRAINING,
    forward=lambda self, z, labels=None: good_images(self, z.mul_(0.5), labels),
)
of_generator(
    "same-answer-in-eval",
    "state-round-trip",
    forward=lambda self, z, labels=None: good_images(self, z + 0.1 * torch.randn_like(z), labels),
)


@mutant("generator", "gradients")
class Idle(PartnerGenerator):
    """Registers a layer that nothing uses."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.idle = nn.Linear(2, 2)


@mutant("generator", "state-round-trip", "resumes-exactly")
class Forgetful(PartnerGenerator):
    """Keeps something that matters outside its state dict."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.shift = torch.randn(image.numel)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images = super().forward(z, labels)
        return (images + self.shift.to(images).view(images.shape[1:])).tanh()


of_generator("float64", forward=lambda self, z, labels=None: good_images(self, z, labels).float())
of_generator(
    "bfloat16",
    forward=lambda self, z, labels=None: (
        good_images(self, z, labels)
        * _one_that_bfloat16_lacks(
            self.layers[0](  # type: ignore[no-untyped-call]
                torch.zeros(len(z), self.layers[0].in_features, dtype=z.dtype)
            )
        )
    ),
)


def _one_that_bfloat16_lacks(values: Tensor) -> Tensor:
    """Return ones in float32, and infinity in bfloat16, which cannot tell 1 + 1e-3 from 1."""
    one = torch.ones((), dtype=values.dtype)
    return ((one + 1e-3 - one) / (one + 1e-3 - one)).nan_to_num(nan=float("inf"))


@mutant("generator", "unsupported-size")
class Square(PartnerGenerator):
    """Works for squares alone, and fails somewhere else for others."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        if image.height != image.width:
            self.layers = nn.Sequential(nn.Linear(3, 4))


of_generator("says-takes-labels", conditional=property(lambda self: "always"))
of_generator(
    "image-shape",
    "unsupported-size",
    *ANY_TRAINING,
    forward=lambda self, z, labels=None: good_images(self, z, labels)[..., 1:],
)
of_generator(
    "latents-from-rng", "resumes-exactly", sample_latents=lambda self, count, rng: torch.randn(count, self.latent_dim)
)
of_generator(
    "image-finite",
    forward=lambda self, z, labels=None: good_images(self, z, labels) * (z.norm() / z.norm()),
)
of_generator(
    "image-range", forward=lambda self, z, labels=None: good_images(self, z, labels) + 0.02 * z[:, :1, None, None]
)
of_generator(
    "latents-matter",
    forward=lambda self, z, labels=None: good_images(self, torch.cat([z[:, :9] * 0, z[:, 9:]], 1), labels),
)
of_generator("labels-matter", forward=lambda self, z, labels=None: good_images(self, z, torch.zeros_like(labels)))

of_discriminator(
    "input-unchanged",
    "gradients",
    "same-answer-in-eval",
    "state-round-trip",
    "images-matter",
    "double-backward",
    "order-equivariant",
    "per-image",
    *ANY_TRAINING,
    forward=lambda self, images, labels=None: good_judgement(self, images.sub_(0.1), labels),
)
of_discriminator(
    "logits-shape",
    "unsupported-size",
    "order-equivariant",
    *ANY_TRAINING,
    forward=lambda self, images, labels=None: _with(
        good_judgement(self, images, labels), lambda logits: logits[:, None]
    ),
)
of_discriminator(
    "logits-finite",
    "bfloat16",
    forward=lambda self, images, labels=None: _plus(
        good_judgement(self, images, labels), 0 / (images + 1).flatten(1).sum(1)
    ),
)
of_discriminator(
    "logits-unbounded",
    "trains",
    "resumes-exactly",
    forward=lambda self, images, labels=None: _with(good_judgement(self, images, labels), torch.sigmoid),
)
of_discriminator(
    "images-matter",
    "double-backward",
    *ANY_TRAINING,
    forward=lambda self, images, labels=None: good_judgement(self, images.detach(), labels),
)
of_discriminator(
    "double-backward",
    forward=lambda self, images, labels=None: good_judgement(self, _Once.apply(images), labels),
)
of_discriminator(
    "order-equivariant",
    forward=lambda self, images, labels=None: _plus(
        good_judgement(self, images, labels), torch.arange(len(images)).to(images)
    ),
)
of_discriminator(
    "per-image",
    "trains",
    "resumes-exactly",
    batch_independent=True,
    forward=lambda self, images, labels=None: good_judgement(self, images - images.mean(0), labels),
)
of_discriminator(
    "judges-labels",
    "gradients",
    forward=lambda self, images, labels=None: good_judgement(self, images, labels).logits,
)
of_discriminator(
    "features",
    forward=lambda self, images, labels=None: _detached(good_judgement(self, images, labels)),
)


def _plus(answer: DiscriminatorOutput, more: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput(answer.logits + more, None, answer.class_logits, answer.features)


def _with(answer: DiscriminatorOutput, change: Callable[[Tensor], Tensor]) -> DiscriminatorOutput:
    return DiscriminatorOutput(change(answer.logits), None, answer.class_logits, answer.features)


def _detached(answer: DiscriminatorOutput) -> DiscriminatorOutput:
    return DiscriminatorOutput(
        answer.logits, None, answer.class_logits, tuple(part.detach() for part in answer.features)
    )


class _Once(torch.autograd.Function):
    """The identity, which can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@mutant("loss", "loss-shape", *ANY_TRAINING)
class Reduced(PartnerLoss):
    """Takes the mean itself."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        return super().generator(real=real, fake=fake).mean()


@mutant("loss", "loss-finite")
class LogOfSigmoid(PartnerLoss):
    """The logarithm of a probability that becomes zero."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits.sigmoid().log()


@mutant("loss", "gradient-signs")
class Swapped(PartnerLoss):
    """Pulls the fakes' logits down for the generator."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        return softplus(fake.logits)


@mutant(
    "loss",
    "judgements-unchanged",
    "loss-shape",
    "loss-finite",
    "gradient-signs",
    "loss-low-precision",
    "real-only-if-needed",
    *ANY_TRAINING,
)
class InPlace(PartnerLoss):
    """Changes what is judged."""

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        fake.logits.add_(0.5)
        return super().discriminator(real=real, fake=fake)


@mutant("loss", "loss-low-precision")
class Epsilon(PartnerLoss):
    """Divides by a difference that bfloat16 has not."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        one = torch.ones_like(fake.logits)
        return softplus(-fake.logits) * ((one + 1e-3 - one) / 1e-3)


@mutant(
    "loss",
    "real-only-if-needed",
    "loss-shape",
    "loss-finite",
    "gradient-signs",
    "judgements-unchanged",
    "loss-low-precision",
    *ANY_TRAINING,
)
class LooksAtReal(PartnerLoss):
    """Compares with real images without saying so."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        assert real is not None
        return softplus(real.logits - fake.logits)


class Squares(GoodPenalty):
    """Lets a mutant change the slopes."""

    def change(self, slopes: Tensor) -> Tensor:
        return slopes.flatten(1).square().sum(1)

    def measure(self, discriminator: Any, *, real: Tensor, fake: Tensor, labels: Any, rng: Any) -> Tensor:
        return self.change(self.slopes(discriminator, real, labels))


@mutant("penalty", "penalty-shape", "per-sample", "linear-value", *ANY_TRAINING)
class OneNumber(Squares):
    """Sums over the batch."""

    def change(self, slopes: Tensor) -> Tensor:
        return slopes.square().sum()


@mutant("penalty", "non-negative")
class Shifted(Squares):
    """Is negative where the slope is small."""

    def change(self, slopes: Tensor) -> Tensor:
        return super().change(slopes) - 1

    def linear_value(self, norm: float) -> float:
        return norm**2 - 1


@mutant("penalty", "per-sample")
class OverTheBatch(Squares):
    """Gives every image the mean of all."""

    def change(self, slopes: Tensor) -> Tensor:
        values = super().change(slopes)
        return values.mean().expand(len(values))


@mutant("penalty", "linear-value")
class Norm(Squares):
    """Forgets the square."""

    def change(self, slopes: Tensor) -> Tensor:
        return super().change(slopes).sqrt()


@mutant("penalty", "reaches-weights", *ANY_TRAINING)
class Detached(Squares):
    """Loses the way back to the weights."""

    def change(self, slopes: Tensor) -> Tensor:
        return super().change(slopes).detach()


@mutant("penalty", "draws-from-rng")
class Global(Squares):
    """Draws from the global generator."""

    def measure(self, discriminator: Any, *, real: Tensor, fake: Tensor, labels: Any, rng: Any) -> Tensor:
        noise = 1e-9 * torch.randn(real.shape).to(real)
        return super().measure(discriminator, real=real + noise, fake=fake, labels=labels, rng=rng)


@mutant("penalty", "images-unchanged")
class RequiresGradient(GoodPenalty):
    """Asks for gradients of the images that it is given."""

    def measure(self, discriminator: Any, *, real: Tensor, fake: Tensor, labels: Any, rng: Any) -> Tensor:
        real.requires_grad_()
        return super().measure(discriminator, real=real, fake=fake, labels=labels, rng=rng)


@mutant("penalty", "with-labels")
class Unlabelled(GoodPenalty):
    """Asks without labels."""

    def measure(self, discriminator: Any, *, real: Tensor, fake: Tensor, labels: Any, rng: Any) -> Tensor:
        return super().measure(discriminator, real=real, fake=fake, labels=None, rng=rng)


def changed(change: Callable[[Images], Images]) -> Callable[..., Images]:
    """Return a load() that gives the good images, changed."""

    def load(self: Any, split: Any) -> Images:
        images = GoodData.load(self, split)
        assert images is not None
        return change(images)

    return load


def of_data(check: str, *neighbours: str, base: type[Any] = GoodData, **members: Any) -> None:
    """Take a data set with some members replaced as a mutant."""
    MUTANTS.append(Mutant("dataset", check, type(f"Data{len(MUTANTS)}", (base,), members), neighbours))


of_data(
    "images-as-declared",
    "labels-as-declared",
    "sizes-as-declared",
    "same-images-twice",
    "resolved-options",
    *ANY_TRAINING,
    load=changed(lambda images: Images(images.pixels.float(), images.labels)),
)
of_data(
    "labels-as-declared",
    *ANY_TRAINING,
    class_names=property(lambda self: ("a", "b")),
)
of_data(
    "sizes-as-declared",
    *ANY_TRAINING,
    base=GoodStream,
    info=property(lambda self: DatasetInfo("s", ImageSpec(1, 8, 8, 3), ("a", "b", "c"), {"train": 21}, "1234")),
)
of_data(
    "same-images-twice",
    "resolved-options",
    "resumes-exactly",
    "trains",
    load=changed(
        lambda images: Images(
            images.pixels + torch.randint(0, 9, images.pixels.shape, dtype=torch.uint8), images.labels
        )
    ),
)


@mutant("dataset", "resolved-options", "resumes-exactly")
class ForgetsItsPlace(GoodData):
    """Writes down options that find something else."""

    class Options(Dataset.Options):
        """Which half."""

        first: int = 0

    options: Options

    def load(self, split: Any) -> Images | None:
        images = GoodData.load(self, split)  # type: ignore[arg-type]
        assert images is not None
        return Images(images.pixels + self.options.first, images.labels)

    def resolved(self) -> Any:
        return self.options.model_copy(update={"first": 5})


class Unpicklable(Items):
    """Holds what cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = lambda: None


of_data("pickles", base=GoodStream, open=lambda self, split: Unpicklable())


@mutant("metric", "scores-as-declared", *ANY_TRAINING, "prefers-real-images")
class OtherName(GoodMetric):
    """Gives a score of another name."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        return {"distance": super().compute(context)["mean-distance"]}


@mutant("metric", "same-score-twice")
class Draws(GoodMetric):
    """Draws from the global generator."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        return {"mean-distance": super().compute(context)["mean-distance"] + 1e-6 * float(torch.rand(()))}


@mutant("metric", "context-unchanged", "same-score-twice", *ANY_TRAINING)
class Darkens(GoodMetric):
    """Changes the fakes."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        context.fake.sub_(context.fake % 2)
        return super().compute(context)


@mutant("metric", "prefers-real-images")
class UpsideDown(GoodMetric):
    """Says the wrong direction."""

    better: ClassVar = {"mean-distance": "higher"}


@mutant("metric", "says-what-it-needs", *ANY_TRAINING)
class SaysNothing(PartnerMetric):
    """Asks for features, and does not say so."""

    needs: ClassVar = frozenset()


@mutant("metric", "tells-people", *ANY_TRAINING)
class TellsATensor(GoodMetric):
    """Writes what JSON cannot hold."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        context.details["mean-distance"] = {"mean": context.fake.float().mean()}
        return super().compute(context)


@mutant("metric", "tells-people", *ANY_TRAINING)
class DrawsFloats(GoodMetric):
    """Gives a picture in another type."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        context.pictures["mean-distance"] = context.fake.float().mean(0)
        return super().compute(context)


@mutant("metric", "context-unchanged", "same-score-twice", *ANY_TRAINING)
class CentresInPlace(PartnerMetric):
    """Changes features that are remembered."""

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        context.extract(context.real).features.mul_(0.5)
        return super().compute(context)


def of_features(check: str, *neighbours: str, **members: Any) -> None:
    """Take a feature extractor with some members replaced as a mutant."""
    MUTANTS.append(Mutant("features", check, type(f"Features{len(MUTANTS)}", (GoodFeatures,), members), neighbours))


of_features("features-as-declared", "other-images", *ANY_TRAINING, size=7)
of_features("logits-as-declared", *ANY_TRAINING, class_names=("a", "b"))
of_features("logits-as-declared", *ANY_TRAINING, class_names=("a", "b", "b"))
of_features("says-preprocessing", preprocessing="")
of_features(
    "features-finite",
    pixels=lambda self, images: images.float() / images.float().amax((1, 2, 3), keepdim=True),
)
of_features("images-matter-to-features", changed=lambda self, features: torch.ones_like(features))
of_features("image-by-image", changed=lambda self, features: features - features.mean(0))
of_features("image-by-image", changed=lambda self, features: features + 0.01 * torch.arange(len(features))[:, None])
of_features(
    "same-features-twice",
    "state-is-whole",
    "resumes-exactly",
    changed=lambda self, features: features + 1e-6 * torch.randn(features.shape),
)
of_features("same-features-twice", changed=lambda self, features: features * (1 + 0 * np.random.rand()))  # noqa: NPY002
of_features("pixels-unchanged", pixels=lambda self, images: images.sub_(images % 2).float() / 255)
of_features("fingerprint-tells-weights", fingerprint=lambda self: "0" * 64)
of_features("fingerprint-tells-weights", fingerprint=lambda self: "one")


@mutant("features", "same-features-twice")
class Remembers(GoodFeatures):
    """Takes what it has seen for its scale."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.most = 0.0

    def changed(self, features: Tensor) -> Tensor:
        self.most = max(self.most, 1e-6 * float(features.abs().max()))
        return features + self.most


@mutant("features", "state-is-whole")
class KeepsATensor(GoodFeatures):
    """Has weights that its state dict does not hold."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.shift = torch.rand(6)

    def changed(self, features: Tensor) -> Tensor:
        return features + self.shift


@mutant("features", "other-images")
class GreyAlone(GoodFeatures):
    """Fails somewhere within where images have colours."""

    def pixels(self, images: Tensor) -> Tensor:
        return images.float().view(len(images), 1, *images.shape[2:]) / 255


def of_augmentation(check: str, *neighbours: str, **members: Any) -> None:
    """Take an augmentation with some members replaced as a mutant."""
    MUTANTS.append(
        Mutant("augmentation", check, type(f"Augmentation{len(MUTANTS)}", (GoodAugmentation,), members), neighbours)
    )


def good_images_augmented(self: Any, images: Tensor, rng: torch.Generator) -> Tensor:
    """Return what the good augmentation gives."""
    return GoodAugmentation.forward(self, images, rng=rng)


of_augmentation(
    "same-shape", *ANY_TRAINING, forward=lambda self, images, *, rng: good_images_augmented(self, images, rng)[..., 1:]
)
of_augmentation(
    "differentiable",
    *ANY_TRAINING,
    forward=lambda self, images, *, rng: good_images_augmented(self, images, rng).detach(),
)
of_augmentation(
    "augments-from-rng",
    "state-is-saved",
    forward=lambda self, images, *, rng: good_images_augmented(self, images, torch.default_generator),
)
of_augmentation(
    "originals-unchanged",
    "differentiable",
    "augments-from-rng",
    "state-is-saved",
    *ANY_TRAINING,
    forward=lambda self, images, *, rng: images.add_(0.1 * torch.rand(len(images), 1, 1, 1, generator=rng)),
)


@mutant("augmentation", "state-is-saved", "resumes-exactly")
class KeepsANumber(Augmentation):
    """Adapts a plain number, which no checkpoint holds."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.strength = 0.1

    def forward(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        return images + self.strength

    def observe(self, real_logits: Tensor) -> None:
        self.strength += 0.01 * float(real_logits.sign().mean())


@mutant("loss", "trains", "resumes-exactly")
class Nothing(PartnerLoss):
    """Has a gradient where it is examined, and none in a training."""

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        values = super().generator(real=real, fake=fake)
        return values if len(values) != 8 else values * float("nan")


@mutant("loss", "resumes-exactly", "loss-low-precision")
class Counts(PartnerLoss):
    """Changes with every call, which no checkpoint holds."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.calls = 0

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        self.calls += 1
        return super().discriminator(real=real, fake=fake) * (1 + 0.1 * self.calls)


@mutant("metric", "resumes-exactly", "same-score-twice")
class CountsCalls(GoodMetric):
    """Scores other than before each time, which no checkpoint holds."""

    calls = 0

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        self.calls += 1
        return {"mean-distance": super().compute(context)["mean-distance"] * (1 + 1e-3 * self.calls)}


# The laws


def registry_of(kind: Kind, cls: type[Any]) -> Registry:
    """Return a registry with one component, as if it were installed."""
    plugins = Plugins()
    plugins.components = [(Component(kind=kind, name="mutant", target=cls), Source("mutants", "1.0"))]
    return Registry(plugins)


def failures(kind: Kind, cls: type[Any], checks: list[str]) -> dict[str, str]:
    """Return the checks that a component fails, with the reasons."""
    registry = registry_of(kind, cls)
    subject = open_subject(registry, registry.find(kind, "mutant"), None, IMAGE)
    verdicts = {check.name: attempt(check, subject) for check in checks_of(kind) if check.name in checks}
    return {name: verdict for name, verdict in verdicts.items() if isinstance(verdict, str)}


def fast(kind: Kind) -> list[str]:
    """Return a kind's checks but for those that need a process, or a compiler."""
    return [check.name for check in checks_of(kind) if check.name not in SLOW]


@pytest.mark.parametrize("name", list(GOOD))
def test_a_good_component_passes_every_check(name: str) -> None:
    """None fails: the checks do not cry wolf."""
    kind, cls = GOOD[name]
    assert failures(kind, cls, fast(kind)) == {}


@pytest.mark.parametrize("broken", MUTANTS, ids=lambda broken: f"{broken.kind}-{broken.check}-{broken.cls.__name__}")
def test_each_mutant_is_caught_by_its_check_alone(broken: Mutant) -> None:
    """A component that is broken in one way fails the check for that, and no other but its named neighbours."""
    found = failures(broken.kind, broken.cls, fast(broken.kind))
    assert broken.check in found, found
    assert set(found) <= {broken.check, *broken.neighbours}, found


def test_every_check_has_a_mutant() -> None:
    """No check can be without one: it might never fail."""
    elsewhere = {"light-import", "no-network", "missing-data", "compiles"}
    assert {check.name for check in CHECKS} == {broken.check for broken in MUTANTS} | elsewhere
    assert {kind for check in CHECKS for kind in check.kinds} == set(KINDS)
    for check in CHECKS:
        assert check.demand.endswith((".", "`.")), check.name
        assert check.fix, check.name


def test_what_does_not_compile_is_reported_and_no_failure() -> None:
    """A network whose path depends on its numbers is skipped by `compiles`, with the reason; a plain one passes."""

    class Branches(PartnerGenerator):
        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            images = super().forward(z, labels)
            return images if float(z.sum()) > 0 else -images

    verdicts = []
    for cls in (Branches, PartnerGenerator):
        registry = registry_of("generator", cls)
        subject = open_subject(registry, registry.find("generator", "mutant"), None, IMAGE)
        (compiles,) = (check for check in checks_of("generator") if check.name == "compiles")
        verdicts.append(attempt(compiles, subject))
    assert isinstance(verdicts[0], NotApplicable)
    assert "not required" in str(verdicts[0])
    assert verdicts[1] is None
