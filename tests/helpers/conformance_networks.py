"""Good networks, and mutants for each check of generators and discriminators."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ganforge.components import (
    ConditionSpec,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    GeneratorOutput,
    ImageSpec,
)
from ganforge.errors import IncompatibleError
from ganforge.testing.stubs import StubDiscriminator, StubGenerator
from tests.helpers.conformance import ANY_TRAINING, MUTANTS, Mutant, good, mutant, variant

good("generator", "plain")(StubGenerator)
good("discriminator", "plain")(StubDiscriminator)


# Good networks


@good("generator", "styled")
class Styled(Generator):
    """Mapping network, truncation, standing statistics, and images that are not bounded."""

    bounded = False
    mean: Tensor

    class SamplingOptions(Generator.SamplingOptions):
        """Truncation."""

        truncation: PositiveFloat = 1.0

    sampling: SamplingOptions

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.mapping = nn.Sequential(nn.Linear(100, 16), nn.Tanh())
        self.layers = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, image.numel), nn.Unflatten(1, image.shape))
        self.register_buffer("mean", torch.zeros(16))

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        w: Tensor = self.mapping(z)
        return w if self.training else self.mean + (w - self.mean) * self.sampling.truncation

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(w)
        return images

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.synthesis(self.style(z, condition), condition)

    def prepare_sampling(self, rng: torch.Generator) -> None:
        self.train()
        with torch.no_grad():
            self(torch.randn(32, 100, generator=rng))
        self.eval()


@good("generator", "levels")
class Levels(StubGenerator):
    """Two levels for the discriminator, and a feature for terms."""

    partners: ClassVar = {"disc": "levels"}

    def forward(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:  # type: ignore[override]
        images = super().forward(z, condition)
        half = adaptive_avg_pool2d(images, (self.image.height // 2 or 1, self.image.width // 2 or 1))
        return GeneratorOutput(images, {"spread": images.flatten(1).square().mean(1)}, (images, half))


@good("discriminator", "levels")
class LevelsDiscriminator(StubDiscriminator):
    """Real images, or two levels of fakes."""

    partners: ClassVar = {"gen": "levels"}


@good("generator", "translator", image=ImageSpec(1, 8, 8, ConditionSpec.tensor((1, 8, 8))))
class Translator(Generator):
    """Image to image, without latents."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        condition = image.condition
        if condition is None or condition.shape != image.shape:
            raise IncompatibleError("the condition must be an image of the same size")
        self.layers = nn.Sequential(nn.Conv2d(image.channels, image.channels, 3, padding=1), nn.Tanh())

    @property
    def conditional(self) -> bool:
        return True

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(condition)
        return images


good("generator", "vector", image=ImageSpec(1, 8, 8, ConditionSpec.vector(3)))(StubGenerator)
good("discriminator", "vector", image=ImageSpec(1, 8, 8, ConditionSpec.vector(3)))(StubDiscriminator)
good("discriminator", "tensor", image=ImageSpec(1, 8, 8, ConditionSpec.tensor((2, 3), "float32")))(StubDiscriminator)
good("generator", "unconditional", image=ImageSpec(1, 8, 8))(StubGenerator)


@good("generator", "growing")
class Growing(StubGenerator):
    """The second layer is faded in at step 10."""

    stage_now = 0

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.refine = nn.Conv2d(image.channels, image.channels, 3, padding=1)

    def stage(self, step: int) -> Hashable:
        self.stage_now = int(step >= 10)
        return self.stage_now

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images = super().forward(z, condition)
        return self.refine(images).tanh() if self.stage_now else images


@good("discriminator", "patches")
class Patches(Discriminator):
    """Several logits per image."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Conv2d(image.channels, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(3))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.layers(images)).flatten(1)
        return logits


@good("discriminator", "pairs", image=ImageSpec(1, 8, 8))
class Pairs(StubDiscriminator):
    """Images in pairs, as PacGAN: half as many logits, each for both."""

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        pairs = images.reshape(len(images) // 2, 2, *images.shape[1:])
        output = super().forward(pairs.mean(1))  # conditions are those of single images
        return DiscriminatorOutput(output.logits.repeat_interleave(2))


@good("discriminator", "projected")
class Projected(Discriminator):
    """Trained heads on a frozen network with batch norm."""

    batch_independent = True
    frozen = ("backbone",)

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.backbone = nn.Sequential(nn.Conv2d(image.channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * image.height * image.width, 8), nn.Tanh())
        self.last = nn.Linear(8, 2)

    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.last(self.head(self.backbone(images)))
        return logits


@good("discriminator", "with-codes")
class WithCodes(StubDiscriminator):
    """A head that only a term reads, trained by the generator's optimizer."""

    optimized_in: ClassVar = {"codes": "gen"}

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.codes = nn.Linear(16, 4)


@good("discriminator", "with-heads")
class WithHeads(StubDiscriminator):
    """A second head that only a loss reads, among the features."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.second = nn.Linear(16, 1)

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        output = super().forward(images, condition)
        return DiscriminatorOutput(
            output.logits, None, output.class_logits, (*output.features, self.second(output.features[0]))
        )


@good("discriminator", "spectral")
class Spectral(Discriminator):
    """Spectral norm in torch's old form, which writes an attribute in each call."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(image.numel, 8)), nn.Tanh())
        self.last = nn.Linear(8, 1)

    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.last(self.layers(images)).squeeze(1)
        return logits


# Mutants


def of_generator(check: str, *neighbors: str, **members: Any) -> None:
    """Register a generator with some members replaced as a mutant."""
    MUTANTS.append(Mutant("generator", check, variant(StubGenerator, **members), neighbors))


def of_discriminator(check: str, *neighbors: str, **members: Any) -> None:
    """Register a discriminator with some members replaced as a mutant."""
    MUTANTS.append(Mutant("discriminator", check, variant(StubDiscriminator, **members), neighbors))


def images_of(self: Any, z: Tensor, condition: Any) -> Tensor:
    """Return the images of the good generator."""
    return StubGenerator.forward(self, z, condition)


def output_of(self: Any, images: Tensor, condition: Any) -> DiscriminatorOutput:
    """Return the output of the good discriminator."""
    return StubDiscriminator.forward(self, images, condition)


@mutant("generator", "builds")
class NeedsMore(StubGenerator):
    """Its constructor wants one more argument."""

    def __init__(self, options: Any, image: ImageSpec, secret: int) -> None:
        super().__init__(options, image)


@mutant("generator", "same-seed-same-weights", "resumes-exactly")
class Entropy(StubGenerator):
    """Weights from the system's own randomness."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        with torch.no_grad():
            self.layers[0].weight[0] = float(np.random.default_rng().random())  # type: ignore[operator]


@mutant("generator", "leaves-global-state")
class Seeds(StubGenerator):
    """Seeds the global generator."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        torch.manual_seed(7)
        super().__init__(options, image)


@mutant("generator", "initialized-weights")
class Uninitialized(StubGenerator):
    """A weight that holds what was in memory."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers[2].bias = nn.Parameter(torch.empty(image.numel))


of_generator("input-unchanged", forward=lambda self, z, condition=None: images_of(self, z.mul_(0.5), condition))
of_generator(
    "same-answer-in-eval",
    forward=lambda self, z, condition=None: images_of(self, z + 0.1 * torch.randn_like(z), condition),
)


@mutant("generator", "gradients")
class Idle(StubGenerator):
    """Registers a layer that nothing uses."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.idle = nn.Linear(2, 2)


@mutant("generator", "registered-state")
class HoldsATensor(StubGenerator):
    """Keeps a tensor that matters outside its state dict."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.shift = torch.randn(image.numel)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images = super().forward(z, condition)
        return (images + self.shift.to(images).view(images.shape[1:])).tanh()


@mutant("discriminator", "registered-state")
class ListOfLayers(StubDiscriminator):
    """Layers in a plain list: they are not trained, moved or saved."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.more = [nn.Linear(image.numel, image.numel)]

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        more = self.more[0].to(images)(images.flatten(1)).view_as(images)
        return super().forward(images + 0.1 * more, condition)


@mutant("generator", "state-round-trip", "resumes-exactly")
class HoldsANumber(StubGenerator):
    """Keeps a random number that matters outside its state dict."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.shift = float(torch.randn(()))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return (super().forward(z, condition) + self.shift).tanh()


of_generator("float64", forward=lambda self, z, condition=None: images_of(self, z, condition).float())
of_generator(
    "bfloat16",
    forward=lambda self, z, condition=None: (
        images_of(self, z, condition)
        * _one_that_bfloat16_lacks(self.layers[0](torch.zeros(len(z), self.layers[0].in_features, dtype=z.dtype)))
    ),
)


def _one_that_bfloat16_lacks(values: Tensor) -> Tensor:
    """Return ones in float32, and infinity in bfloat16, in which 1 + 1e-3 equals 1."""
    one = torch.ones((), dtype=values.dtype)
    return ((one + 1e-3 - one) / (one + 1e-3 - one)).nan_to_num(nan=float("inf"))


@mutant("generator", "unsupported-size")
class Square(StubGenerator):
    """Works for squares only, and fails in forward for others."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        if image.height != image.width:
            self.layers = nn.Sequential(nn.Linear(3, 4))


@mutant("generator", "conditions")
class ClassesOnly(StubGenerator):
    """Needs classes, and does not refuse other conditions."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.embedding = nn.Embedding(image.num_classes, 100)  # type: ignore[arg-type]

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return super().forward(z + self.embedding(condition), condition)


@mutant("discriminator", "conditions")
class VectorsFail(StubDiscriminator):
    """Fails in forward for conditions that are not classes."""

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        assert condition is None or condition.dtype == torch.int64
        return super().forward(images, condition)


of_generator("declares-conditional", "conditions", conditional=property(lambda self: "always"))
of_generator("image-shape", forward=lambda self, z, condition=None: images_of(self, z, condition)[..., 1:])
of_generator(
    "image-finite", forward=lambda self, z, condition=None: images_of(self, z, condition) * (z.norm() / z.norm())
)
of_generator(
    "image-range",
    forward=lambda self, z, condition=None: images_of(self, z, condition) + 0.02 * z[:, :1, None, None],
)
of_generator(
    "latents-matter",
    forward=lambda self, z, condition=None: images_of(self, torch.cat([z[:, :9] * 0, z[:, 9:]], 1), condition),
)
of_generator(
    "condition-matters",
    forward=lambda self, z, condition=None: images_of(self, z, None if condition is None else condition * 0),
)
of_generator(
    "generator-output",
    forward=lambda self, z, condition=None: GeneratorOutput(
        images := images_of(self, z, condition), {"codes": images.flatten()}
    ),
)
of_generator("style-and-synthesis", style=lambda self, z, condition=None: 2 * z)


class Truncated(Generator.SamplingOptions):
    """Truncation that is on by default."""

    truncation: float = 0.5


@mutant("generator", "sampling-options")
class TruncatesAlways(Styled):
    """Samples other images than it trains on, by default."""

    SamplingOptions = Truncated  # type: ignore[assignment]

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.mean.fill_(0.5)


@mutant("generator", "prepare-sampling")
class PreparesFromGlobal(Styled):
    """Draws from the global generator."""

    def prepare_sampling(self, rng: torch.Generator) -> None:
        super().prepare_sampling(torch.default_generator)


@mutant("generator", "prepare-sampling")
class PreparesWeights(Styled):
    """Changes weights."""

    def prepare_sampling(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            self.layers[1].bias.add_(1)  # type: ignore[operator]


@mutant("generator", "python-state")
class CountsCalls(StubGenerator):
    """Counts its calls in a Python attribute."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.history: list[dict[str, int]] = [{"calls": 0}]

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        self.history[0]["calls"] += 1
        return super().forward(z, condition)


LAST: dict[str, list[Tensor]] = {"images": []}
SHARED: dict[str, nn.Module] = {}


@mutant("discriminator", "module-globals")
class LeavesImages(StubDiscriminator):
    """Leaves its images in a global of the module."""

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        LAST["images"] = [images]
        return super().forward(images, condition)


@mutant("discriminator", "module-globals")
class LeavesItself(StubDiscriminator):
    """Leaves itself in a global of the module, for another component to find."""

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        SHARED["discriminator"] = self
        return super().forward(images, condition)


@mutant("discriminator", "module-globals")
class CountsInItsClass(StubDiscriminator):
    """Counts its calls in an attribute of the class."""

    calls = 0

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        type(self).calls += 1
        return super().forward(images, condition)


@mutant("discriminator", "frozen-networks", "batch-independent", "resumes-exactly")
class Thaws(Projected):
    """Runs its frozen network in training mode, which changes the statistics of batch norm."""

    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
        self.backbone.train(self.training)
        return super().forward(images, condition)


@mutant("discriminator", "frozen-networks")
class FreezesAndTrains(Projected):
    """Names one submodule both frozen and trained."""

    optimized_in: ClassVar = {"backbone": "gen"}


@mutant("generator", "stage-key", *ANY_TRAINING)
class ListsStages(Growing):
    """A key that is not hashable."""

    def stage(self, step: int) -> Hashable:
        return [super().stage(step)]  # type: ignore[return-value]


@mutant("generator", "stage-key", *ANY_TRAINING)
class CountsStages(Growing):
    """A key that depends on earlier calls."""

    calls = 0

    def stage(self, step: int) -> Hashable:
        self.calls += 1
        return super().stage(step), self.calls // 7


class Doubled(torch.autograd.Function):
    """The identity with twice the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * 2


class Halved(torch.autograd.Function):
    """Half of the values, with the right gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


of_generator("gradients-agree", forward=lambda self, z, condition=None: Doubled.apply(images_of(self, z, condition)))


@good("generator", "own-function")
class OwnFunction(StubGenerator):
    """An autograd function whose gradient is right."""

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = Halved.apply(super().forward(z, condition))
        return images


@mutant("discriminator", "gradients-agree")
class HooksGradients(StubDiscriminator):
    """Changes gradients in a hook."""

    def forward(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:
        output = super().forward(images, condition)
        if output.logits.requires_grad:
            output.logits.register_hook(lambda gradient: gradient * 3)
        return output


of_discriminator(
    "input-unchanged", forward=lambda self, images, condition=None: output_of(self, images.sub_(0.1), condition)
)
of_discriminator(
    "same-answer-in-eval",
    forward=lambda self, images, condition=None: output_of(
        self, images + 0.1 * torch.randn(images.shape).to(images), condition
    ),
)
of_discriminator(
    "logits-shape",
    forward=lambda self, images, condition=None: _with(
        output_of(self, images, condition), lambda logits: logits[:, None]
    ),
)
of_discriminator(
    "logits-shape",
    forward=lambda self, images, condition=None: _with(
        output_of(self, images, condition), lambda logits: logits[:, None, None, None].expand(-1, 1, 3, 3)
    ),
)
of_discriminator(
    "logits-finite",
    forward=lambda self, images, condition=None: _plus(
        output_of(self, images, condition), 0 / (images + 1).flatten(1).sum(1)
    ),
)
of_discriminator(
    "logits-unbounded",
    *ANY_TRAINING,
    forward=lambda self, images, condition=None: _with(output_of(self, images, condition), torch.sigmoid),
)
of_discriminator(
    "images-matter",
    "features",
    forward=lambda self, images, condition=None: output_of(self, images.detach(), condition),
)
of_discriminator(
    "double-backward",
    forward=lambda self, images, condition=None: output_of(self, Once.apply(images), condition),
)
of_discriminator(
    "order-equivariant",
    forward=lambda self, images, condition=None: _plus(
        output_of(self, images, condition), torch.arange(len(images)).to(images)
    ),
)
of_discriminator(
    "order-equivariant",
    batch_independent=True,
    forward=lambda self, images, condition=None: _plus(
        output_of(self, images, condition), torch.arange(len(images)).to(images)
    ),
)
of_discriminator(
    "batch-independent",
    batch_independent=True,
    forward=lambda self, images, condition=None: output_of(self, images - images.mean(0), condition),
)
of_discriminator(
    "condition-matters",
    "gradients",
    forward=lambda self, images, condition=None: output_of(self, images, None).logits,
)
of_discriminator(
    "features",
    forward=lambda self, images, condition=None: _detached(output_of(self, images, condition)),
)


@mutant("discriminator", "discriminator-input")
class OneLogitForFakes(Patches):
    """Several logits for real images, one for fakes."""

    partners: ClassVar = {"gen": "levels"}

    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
        if isinstance(images, tuple):
            return super().forward(images[0]).mean(1)
        return super().forward(images)


def _plus(output: DiscriminatorOutput, more: Tensor) -> DiscriminatorOutput:
    return DiscriminatorOutput(output.logits + more, None, output.class_logits, output.features)


def _with(output: DiscriminatorOutput, change: Callable[[Tensor], Tensor]) -> DiscriminatorOutput:
    return DiscriminatorOutput(change(output.logits), None, output.class_logits, output.features)


def _detached(output: DiscriminatorOutput) -> DiscriminatorOutput:
    features = tuple(part.detach() for part in output.features)
    return DiscriminatorOutput(output.logits, None, output.class_logits, features)


class Once(torch.autograd.Function):
    """The identity, which can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]
