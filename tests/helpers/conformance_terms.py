"""Good losses, terms, augmentations, latents, optimizers and schedules, and mutants for each of their checks."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat, field_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu, softplus

from ganforge.components import (
    Augmentation,
    DiscriminatorOutput,
    LatentDistribution,
    Loss,
    LossTerm,
    OptimizerFactory,
    Schedule,
    TrainStep,
)
from ganforge.testing.stubs import StubLatent, StubLoss, StubOptimizer
from tests.helpers.conformance import ANY_TRAINING, MUTANTS, Mutant, good, mutant, variant
from tests.helpers.conformance_networks import Doubled

good("loss", "plain")(StubLoss)
good("latent", "plain")(StubLatent)
good("optimizer", "adam")(StubOptimizer)


# Good losses and terms


@good("loss", "relativistic")
class Relativistic(Loss):
    """Both losses read real images and fakes."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return softplus(fake.logits - real.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return softplus(real.logits - fake.logits)


@good("loss", "class-and-features")
class ClassAndFeatures(Loss):
    """Reads class logits of its partner, and the second head among its features."""

    partners: ClassVar = {"disc": "with-heads"}

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        assert real.class_logits is not None
        assert real.condition is not None
        classes = cross_entropy(real.class_logits, real.condition, reduction="none")
        return relu(1 - real.features[1]).squeeze(1) + relu(1 + fake.features[1]).squeeze(1) + classes

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        assert fake.class_logits is not None
        assert fake.condition is not None
        return -fake.features[1].squeeze(1) + cross_entropy(fake.class_logits, fake.condition, reduction="none")


@good("loss", "whole-update")
class WholeUpdate(LossTerm):
    """A loss that is computed from a whole update, with an encoder in a phase of its own."""

    phases = ("disc", "gen", "encoder")
    optimized_in: ClassVar = {"encoder": "encoder"}

    def setup(self, modules: Any) -> None:
        generator = modules["generator"]
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(generator.image.numel, generator.latent_dim))

    def forward(self, step: TrainStep) -> Tensor:
        if step.phase == "encoder":
            distance: Tensor = (self.encoder(step.fake) - step.z).square().mean(1)
            return distance
        real, fake = step.real_output.logits, step.discriminate(step.fake_input).logits
        return softplus(-real) + softplus(fake) if step.phase == "disc" else softplus(-fake)


@good("term", "r1", expected_on_linear=lambda norm: norm**2)
class R1(LossTerm):
    """|∇D|² at real images."""

    phases = ("disc",)

    def forward(self, step: TrainStep) -> Tensor:
        return self.change(self.slopes(step))

    def slopes(self, step: TrainStep) -> Tensor:
        images = step.real.detach().clone().requires_grad_()
        logits = step.discriminate(images, parameters=step.real_parameters).logits
        (slopes,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return slopes

    def change(self, slopes: Tensor) -> Tensor:
        """Let a mutant change the slopes."""
        return slopes.flatten(1).square().sum(1)


@good("term", "path-length")
class PathLength(LossTerm):
    """A term of the generator with a state, a random direction, and logs."""

    mean: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, step: TrainStep) -> Tensor:
        z = step.z.detach().requires_grad_()
        images = step.generate(z)
        noise = torch.randn(images.shape, generator=step.rng).to(images)
        (slopes,) = torch.autograd.grad((images * noise).sum(), z, create_graph=True)
        lengths = slopes.square().sum(1).add(1e-8).sqrt()
        step.keep("lengths", lengths)
        step.log("path_length/mean", self.mean)
        return (lengths - self.mean).square()

    def after_step(self, step: TrainStep) -> None:
        self.mean.lerp_(step.kept["lengths"].mean(), 0.01)


@good("term", "information")
class Information(LossTerm):
    """Reads a head of its discriminator partner, and has one of its own."""

    partners: ClassVar = {"disc": "with-codes"}
    optimized_in: ClassVar = {"own": "gen"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.own = nn.Sequential(nn.Linear(16, 4), nn.Dropout(0.5))

    def forward(self, step: TrainStep) -> Tensor:
        features = step.fake_output.features[0]
        codes = step.discriminator.codes(features) + self.own(features)  # type: ignore[operator]
        values: Tensor = (codes - step.z[:, :4]).square().sum(1)
        return values


@good("term", "top-k")
class TopK(LossTerm):
    """Reweights the loss, and is not a loss itself."""

    phases = ()

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        if step.phase != "gen":
            return None
        best = values.topk(max(1, len(values) // 2), largest=False).indices
        return torch.zeros_like(values).scatter(0, best, 2.0)


@good("term", "spread")
class Spread(LossTerm):
    """Reads a feature that its generator partner returns, in one number."""

    partners: ClassVar = {"gen": "levels", "disc": "levels"}

    def forward(self, step: TrainStep) -> Tensor:
        return -step.fake_features["spread"].mean()


@good("term", "pairs")
class PairedL1(LossTerm):
    """Distance to the real image of each condition, in data with pairs of images and extras."""

    partners: ClassVar = {"data": "pairs", "gen": "translator"}

    def forward(self, step: TrainStep) -> Tensor:
        return ((step.fake - step.real).abs() * step.extras["mask"]).flatten(1).mean(1)


# Mutants of losses


@mutant("loss", "leaves-global-state")
class SeedsPython(StubLoss):
    """Changes Python's random numbers, and a setting of cuDNN."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        random.seed(3)
        torch.backends.cudnn.benchmark = True


@mutant("loss", "leaves-global-state")
class AllowsOtherRounding(StubLoss):
    """Changes the settings of cuDNN that decide bits."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        torch.backends.cudnn.deterministic = True


@mutant("loss", "options-round-trip", *ANY_TRAINING)
class Doubles(StubLoss):
    """An option that becomes another one each time that it is read."""

    class Options(Loss.Options):
        """One number."""

        scale: PositiveFloat = 1.0

        @field_validator("scale")
        @classmethod
        def _double(cls, value: float) -> float:
            return value * 2


@mutant("loss", "loss-shape")
class Reduced(StubLoss):
    """Takes the mean itself."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return super().generator_loss(real=real, fake=fake).mean()


@mutant("loss", "several-logits")
class OverImages(StubLoss):
    """Averages over images with several logits."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        values = super().generator_loss(real=real, fake=fake)
        return values if values.ndim == 1 else values.mean(0)


@mutant("loss", "several-logits")
class FirstLogit(StubLoss):
    """Reads the first logit of several."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        values = super().discriminator_loss(real=real, fake=fake)
        return values if values.ndim == 1 else values[:, 0]


@mutant("loss", "loss-finite")
class LogOfSigmoid(StubLoss):
    """The logarithm of a probability that becomes zero."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits.sigmoid().log()


@mutant("loss", "gradient-signs")
class Swapped(StubLoss):
    """Pulls the fakes' logits down for the generator."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return softplus(fake.logits)


@mutant("loss", "gradient-signs", "reaches-weights", *ANY_TRAINING)
class ReadsNothing(StubLoss):
    """Has no gradient at anything."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return fake.logits * 0


@mutant("loss", "outputs-unchanged")
class InPlace(StubLoss):
    """Changes the discriminator's output."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        fake.logits.add_(0.5)
        return super().discriminator_loss(real=real, fake=fake)


@mutant("loss", "loss-low-precision")
class Epsilon(StubLoss):
    """Divides by a difference that bfloat16 has not."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        one = torch.ones_like(fake.logits)
        return softplus(-fake.logits) * ((one + 1e-3 - one) / 1e-3)


@mutant("loss", "same-value-twice", "loss-low-precision", "python-state", "recognizes-images", "resumes-exactly")
class Counts(StubLoss):
    """Changes with every call, which no checkpoint holds."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.calls = 0

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        self.calls += 1
        return super().discriminator_loss(real=real, fake=fake) * (1 + 0.1 * self.calls)


@mutant("loss", "trains")
class NotFinite(StubLoss):
    """Is finite where it is examined, and not in a training."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        values = super().generator_loss(real=real, fake=fake)
        return values if len(values) != 8 else values * float("nan")


SMUGGLED: dict[str, Tensor] = {}


@mutant("loss", "gradients-agree", "module-globals")
class Smuggles(StubLoss):
    """Adds a gradient that belongs to no value."""

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        SMUGGLED["gradient"] = torch.full_like(fake.logits, -1.0)
        logits = Smuggler.apply(fake.logits)
        return super().generator_loss(real=real, fake=DiscriminatorOutput(logits))


class Smuggler(torch.autograd.Function):
    """The identity, whose gradient has something added from a global."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] + SMUGGLED["gradient"]


# Mutants of terms


def of_r1(check: str, *neighbors: str, **members: Any) -> None:
    """Register R1 with some members replaced as a mutant."""
    MUTANTS.append(
        Mutant("term", check, variant(R1, **members), neighbors, expected_on_linear=lambda norm: float(norm**2))
    )


of_r1("term-shape", change=lambda self, slopes: slopes.flatten(2))
of_r1("per-sample", change=lambda self, slopes: (values := R1.change(self, slopes)).mean().expand(len(values)))
of_r1("linear-value", change=lambda self, slopes: R1.change(self, slopes).sqrt())
of_r1("reaches-weights", *ANY_TRAINING, change=lambda self, slopes: R1.change(self, slopes).detach())
of_r1("draws-from-rng", change=lambda self, slopes: R1.change(self, slopes + 1e-9 * torch.randn(slopes.shape)))
of_r1("draws-from-rng", change=lambda self, slopes: R1.change(self, slopes) * (1 + 0 * random.random()))  # noqa: S311 - a mutant
of_r1(
    "passes-condition",
    slopes=lambda self, step: _slopes_of(step.discriminator(images := step.real.detach().requires_grad_()), images),
)
of_r1(
    "inputs-unchanged",
    slopes=lambda self, step: _slopes_of(step.discriminate(images := step.real.requires_grad_()), images),
)
of_r1("gradients-agree", change=lambda self, slopes: R1.change(self, Doubled.apply(slopes)))


def _slopes_of(output: DiscriminatorOutput, images: Tensor) -> Tensor:
    (slopes,) = torch.autograd.grad(output.logits.sum(), images, create_graph=True)
    return slopes


@mutant("term", "non-negative", expected_on_linear=lambda norm: norm**2 - 1)
class Shifted(R1):
    """Is negative where the slope is small."""

    def change(self, slopes: Tensor) -> Tensor:
        return super().change(slopes) - 1


@mutant("term", "same-value-twice", "recognizes-images")
class MovesInForward(PathLength):
    """Moves its state in forward, so that parts of a batch see different ones."""

    def forward(self, step: TrainStep) -> Tensor:
        values = super().forward(step)
        self.mean.lerp_(step.fake.detach().square().mean(), 0.5)
        return values


@mutant("term", "own-weights", "reaches-weights")
class Untrained(LossTerm):
    """A network that no optimizer trains."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.network = nn.Linear(64, 1)

    def forward(self, step: TrainStep) -> Tensor:
        values: Tensor = self.network(step.fake.flatten(1)).squeeze(1).square()
        return values


@mutant("term", "logs-numbers", *ANY_TRAINING)
class LogsABatch(PathLength):
    """Logs one number per image."""

    def forward(self, step: TrainStep) -> Tensor:
        values = super().forward(step)
        step.log("path_length/all", values)
        return values


@mutant("term", "reweight-shape", *ANY_TRAINING)
class WeightsOfNone(TopK):
    """Factors for another number of images."""

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        return torch.ones(len(values) + 1)


@mutant("term", "copy-is-independent", "state-round-trip")
class SharesItself(PathLength):
    """A copy that shares its state."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharesItself:
        return copy.copy(self)


@mutant("term", "python-state", "resumes-exactly")
class KeepsANumber(PathLength):
    """A state in a plain number, which no checkpoint holds."""

    level = 0.0

    def forward(self, step: TrainStep) -> Tensor:
        return super().forward(step) + self.level

    def after_step(self, step: TrainStep) -> None:
        self.level = 0.9 * self.level + 0.1 * float(step.kept["lengths"].mean())


SEEN: list[Tensor] = []


@mutant("term", "module-globals")
class RemembersImages(PathLength):
    """Appends what it has seen to a global list."""

    def after_step(self, step: TrainStep) -> None:
        super().after_step(step)
        SEEN.append(step.real)


@mutant("term", "recognizes-images", "python-state")
class ByIdentity(R1):
    """Treats images that it has seen in another way."""

    last: Any = None

    def forward(self, step: TrainStep) -> Tensor:
        known = step.real is self.last
        self.last = step.real
        return super().forward(step) * (2 if known else 1)


@mutant("term", "recognizes-images", "inputs-unchanged")
class ByMark(R1):
    """Marks images that it has seen."""

    def forward(self, step: TrainStep) -> Tensor:
        known = hasattr(step.real, "seen")
        step.real.seen = True  # type: ignore[attr-defined]
        return super().forward(step) * (2 if known else 1)


@mutant("term", "frozen-networks")
class FreezesNothing(PathLength):
    """Freezes a buffer that moves in a frozen network."""

    frozen = ("encoder",)

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.encoder = nn.BatchNorm1d(4)

    def after_step(self, step: TrainStep) -> None:
        super().after_step(step)
        self.encoder.num_batches_tracked.add_(1)  # type: ignore[union-attr]


@mutant("term", "inputs-unchanged")
class ClipsInForward(R1):
    """Changes weights before the gradients are computed."""

    def forward(self, step: TrainStep) -> Tensor:
        with torch.no_grad():
            for weight in step.discriminator.parameters():
                weight.mul_(0.999)
        return super().forward(step)


@mutant("term", "gradients-agree")
class GoesBackwardItself(R1):
    """Adds gradients to those of the engine."""

    def forward(self, step: TrainStep) -> Tensor:
        values = super().forward(step)
        values.mean().backward(retain_graph=True)
        return values


@mutant("term", "python-state")
class UsesAnother(PathLength):
    """Leaves a value in an attribute of the generator."""

    def forward(self, step: TrainStep) -> Tensor:
        values = super().forward(step)
        step.generator.__dict__["last"] = [values.detach()]
        return values


@mutant("term", "python-state", "resumes-exactly")
class TrainsByItself(PathLength):
    """Has an optimizer of its own."""

    def setup(self, modules: Any) -> None:
        self.own = nn.Parameter(torch.ones(2), requires_grad=False)
        self.optimizer = torch.optim.Adam([self.own])

    def after_step(self, step: TrainStep) -> None:
        super().after_step(step)
        self.own.grad = torch.full((2,), float(step.kept["lengths"].mean()))
        self.optimizer.step()


def _counter() -> Any:
    calls = 0

    def count() -> int:
        nonlocal calls
        calls += 1
        return calls

    return count


COUNTER = _counter()


@mutant("term", "module-globals")
class CountsInAClosure(PathLength):
    """Counts in a variable of a function."""

    def after_step(self, step: TrainStep) -> None:
        super().after_step(step)
        COUNTER()


# Augmentations


@good("augmentation", "plain")
class Brightness(Augmentation):
    """Brightness that grows with the certainty of the discriminator."""

    strength: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("strength", torch.full((), 0.1))

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Any:
        return {"shift": torch.rand(len(images), 1, 1, 1, generator=step.rng).to(images) * self.strength}

    def forward(self, images: Tensor, parameters: Any) -> Tensor:
        changed: Tensor = images + parameters["shift"]
        return changed

    def observe(self, real_logits: Tensor) -> None:
        self.strength += 0.01 * real_logits.sign().mean()


@good("augmentation", "swaps")
class Swaps(Brightness):
    """Replaces some real images by fakes, as APA does."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Any:
        swapped = torch.rand(len(images), 1, 1, 1, generator=step.rng).to(images.device) < self.strength
        return (swapped, step.fake.detach()) if real else None

    def forward(self, images: Tensor, parameters: Any) -> Tensor:
        return images if parameters is None else torch.where(parameters[0], parameters[1].to(images), images)


def of_augmentation(check: str, *neighbors: str, **members: Any) -> None:
    """Register an augmentation with some members replaced as a mutant."""
    MUTANTS.append(Mutant("augmentation", check, variant(Brightness, **members), neighbors))


of_augmentation("same-shape", forward=lambda self, images, p: Brightness.forward(self, images, p)[..., 1:])
of_augmentation(
    "differentiable", *ANY_TRAINING, forward=lambda self, images, p: Brightness.forward(self, images, p).detach()
)
of_augmentation(
    "augments-from-rng",
    sample_parameters=lambda self, images, step, *, real: {"shift": torch.rand(len(images), 1, 1, 1).to(images)},
)
of_augmentation(
    "parameters-decide", forward=lambda self, images, p: images + torch.rand(len(images), 1, 1, 1).to(images)
)
of_augmentation("parameters-decide", forward=lambda self, images, p: images + self.strength.mul_(0.9))
of_augmentation("parameters-decide", forward=lambda self, images, p: images + p["shift"].mul_(0.5))
of_augmentation("originals-unchanged", forward=lambda self, images, p: images.add_(p["shift"]))
of_augmentation(
    "recognizes-images",
    sample_parameters=lambda self, images, step, *, real: {"shift": self.strength, "images": images},
    forward=lambda self, images, p: images + p["shift"] * (2 if images is p["images"] else 1),
)
of_augmentation(
    "recognizes-images",
    sample_parameters=lambda self, images, step, *, real: {"shift": self.strength, "images": images},
    forward=lambda self, images, p: images + p["shift"] * (2 if torch.equal(images, p["images"]) else 1),
)
of_augmentation("gradients-agree", forward=lambda self, images, p: Doubled.apply(Brightness.forward(self, images, p)))


@mutant("augmentation", "python-state", "resumes-exactly")
class AdaptsANumber(Brightness):
    """Adapts a plain number, which no checkpoint holds."""

    level = 0.1

    def forward(self, images: Tensor, parameters: Any) -> Tensor:
        return images + self.level

    def observe(self, real_logits: Tensor) -> None:
        self.level += 0.01 * float(real_logits.sign().mean())


@mutant("augmentation", "state-is-saved", "resumes-exactly")
class NotPersistent(Brightness):
    """Adapts a buffer that is not saved."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("level", torch.full((), 0.1), persistent=False)

    def forward(self, images: Tensor, parameters: Any) -> Tensor:
        return images + self.level  # type: ignore[operator]

    def observe(self, real_logits: Tensor) -> None:
        self.level += 0.01 * real_logits.sign().mean()  # type: ignore[operator]


# Latents


@good("latent", "codes")
class Codes(LatentDistribution):
    """Noise, a category and a code."""

    fields: ClassVar = {"category": slice(90, 97), "code": slice(97, 100)}

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        category = torch.nn.functional.one_hot(torch.randint(7, (count,), generator=rng), 7).float()
        code = torch.rand(count, 3, generator=rng) * 2 - 1
        return torch.cat([torch.randn(count, dim - 10, generator=rng), category, code], 1)


def of_latent(check: str, *neighbors: str, **members: Any) -> None:
    """Register a latent distribution with some members replaced as a mutant."""
    MUTANTS.append(Mutant("latent", check, variant(StubLatent, **members), neighbors))


of_latent("latents-shape", sample=lambda self, count, dim, rng: torch.randn(count, dim - 1, generator=rng))
of_latent(
    "latents-shape", sample=lambda self, count, dim, rng: torch.randn(count, dim, generator=rng, dtype=torch.float64)
)
of_latent("latents-from-rng", "resumes-exactly", sample=lambda self, count, dim, rng: torch.randn(count, dim))
of_latent("latents-from-rng", sample=lambda self, count, dim, rng: torch.ones(count, dim))
of_latent("fields", fields={"code": slice(90, 101)})
of_latent("fields", fields={"code": [1, 2]})


# Optimizers


@good("optimizer", "extragradient")
class Extragradient(OptimizerFactory):
    """Looks ahead with a first gradient, and steps with a second one."""

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        return _Extragradient([weight for _, weight in parameters], lr=self.options.lr)


class _Extragradient(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            closure()
        weights = [weight for group in self.param_groups for weight in group["params"]]
        before = [weight.clone() for weight in weights]
        super().step()
        with torch.enable_grad():
            loss = closure()
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value)
        super().step()
        return loss


class _Lookahead(torch.optim.SGD):
    """Counts its steps outside of the state dict."""

    calls = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.calls += 1
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            slow = self.state[weight].setdefault("slow", weight.clone())
            if self.calls % 3 == 0:
                weight.copy_(slow.lerp_(weight, 0.5))
        return loss


def of_optimizer(check: str, *neighbors: str, **members: Any) -> None:
    """Register an optimizer with some members replaced as a mutant."""
    MUTANTS.append(Mutant("optimizer", check, variant(StubOptimizer, **members), neighbors))


def _weights(parameters: Iterable[tuple[str, nn.Parameter]]) -> list[nn.Parameter]:
    return [weight for _, weight in parameters]


of_optimizer("creates-optimizer", create=lambda self, parameters: torch.optim.SGD(_weights(parameters)[:1], lr=0.1))
of_optimizer("creates-optimizer", create=lambda self, parameters: object())
of_optimizer(
    "lowers-quadratic", create=lambda self, parameters: torch.optim.SGD(_weights(parameters), lr=0.1, maximize=True)
)
of_optimizer(
    "lowers-quadratic",
    "trains",
    "resumes-exactly",
    needs_closure=True,
    create=lambda self, parameters: variant(torch.optim.SGD, step=lambda self, closure: None)(
        _weights(parameters), lr=0.1
    ),
)
of_optimizer(
    "optimizer-resumes",
    "resumes-exactly",
    create=lambda self, parameters: _Lookahead(_weights(parameters), lr=0.1),
)


class _OwnRate(torch.optim.SGD):
    """Ignores the learning rates of its groups."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=0.01)


of_optimizer("follows-lr", create=lambda self, parameters: _OwnRate(_weights(parameters), lr=0.1))


# Schedules


@good("schedule", "cosine")
class Cosine(Schedule):
    """Half a cosine."""

    def factor(self, step: int, total_steps: int) -> float:
        return 0.5 + 0.5 * math.cos(math.pi * step / total_steps)


def of_schedule(check: str, *neighbors: str, **members: Any) -> None:
    """Register a schedule with some members replaced as a mutant."""
    MUTANTS.append(Mutant("schedule", check, variant(Cosine, **members), neighbors))


of_schedule("short-trainings", factor=lambda self, step, total: step / (total - 1))
of_schedule("factor-range", factor=lambda self, step, total: 1 - 1.5 * step / total)
of_schedule("no-random-numbers", factor=lambda self, step, total: 1 + 0 * random.random())  # noqa: S311 - a mutant


@mutant("schedule", "pure-function")
class Decays(Cosine):
    """Decays with every call."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.now = 1.0

    def factor(self, step: int, total_steps: int) -> float:
        self.now *= 0.9
        return self.now
