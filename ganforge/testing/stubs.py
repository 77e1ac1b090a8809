"""Small components that the kit combines the examined one with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, one_hot, softplus

from ganforge.components import (
    ConditionSpec,
    Dataset,
    Discriminator,
    DiscriminatorInput,
    DiscriminatorOutput,
    EvaluationContext,
    FeatureExtractor,
    FeatureOutput,
    Generator,
    ImageSpec,
    ImageTensors,
    LatentDistribution,
    Loss,
    Metric,
    MetricResult,
    Network,
    OptimizerFactory,
    Split,
)

WIDTH = 16
#: Lead in logits that an image must have over the first class to be of another one: more than noise has.
LEAD = 4.0


class _ConditionalNetwork(Network):
    """Network that encodes conditions of every kind as vectors."""

    @property
    def conditional(self) -> bool:
        """True if the data has a condition."""
        return self.image.condition is not None

    @property
    def condition_dim(self) -> int:
        """D: numbers in an encoded condition."""
        spec = self.image.condition
        return 0 if spec is None else spec.num_classes or math.prod(spec.shape)

    def encode(self, condition: Tensor, dtype: torch.dtype) -> Tensor:
        """Return conditions as vectors, `(N, D)`: one-hot classes, or all numbers of vectors and tensors."""
        if self.image.num_classes is not None:
            return one_hot(condition, self.image.num_classes).to(dtype)
        return condition.flatten(1).to(dtype)


class StubGenerator(Generator, _ConditionalNetwork):
    """Generator with one hidden layer; the condition is appended to the latents."""

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Linear(self.latent_dim + self.condition_dim, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, image.numel),
            nn.Tanh(),
            nn.Unflatten(1, image.shape),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        images: Tensor = self.layers(z if condition is None else torch.cat([z, self.encode(condition, z.dtype)], 1))
        return images


class StubDiscriminator(Discriminator, _ConditionalNetwork):
    """Smooth discriminator with one hidden layer, whose activations are features, and an auxiliary classifier.

    Several tensors, such as levels of an image, are resized to the image and averaged.
    """

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(image.numel, WIDTH), nn.Tanh())
        self.head = nn.Linear(WIDTH, 1)
        self.projection = nn.Linear(self.condition_dim, WIDTH, bias=False) if self.conditional else None
        self.classifier = nn.Linear(WIDTH, image.num_classes) if image.num_classes is not None else None

    def forward(self, images: DiscriminatorInput, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits `(N,)`, class logits `(N, K)` of data with K classes, and features `(N, 16)`."""
        if not isinstance(images, Tensor):
            size = (self.image.height, self.image.width)
            images = torch.stack([adaptive_avg_pool2d(level, size) for level in images]).mean(0)
        features: Tensor = self.hidden(images)
        logits = self.head(features).squeeze(1)
        if condition is not None and self.projection is not None:
            logits = logits + (features * self.projection(self.encode(condition, features.dtype))).sum(1)
        classes = None if self.classifier is None else self.classifier(features)
        return DiscriminatorOutput(logits, class_logits=classes, features=(features,))


class LinearDiscriminator(Discriminator):
    """D(x) = ⟨w, x⟩, whose gradient at every image is w."""

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.weight = nn.Parameter(torch.randn(image.numel) / math.sqrt(image.numel))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        return images.flatten(1) @ self.weight


class StubLoss(Loss):
    """Non-saturating loss."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0)."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1)."""
        return softplus(-fake.logits)


class StubLatent(LatentDistribution):
    """Standard normal latents."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`."""
        return torch.randn(count, dim, generator=rng)


class StubOptimizer(OptimizerFactory):
    """Adam with the textbook's betas."""

    needs_closure: ClassVar[bool] = False

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return an optimizer of named parameters."""
        weights = [weight for _, weight in parameters]
        return torch.optim.Adam(weights, lr=self.options.lr, betas=(0.5, 0.999))


class StubDataset(Dataset):
    """Bright squares on noise at places that the class decides."""

    class Options(Dataset.Options):
        """Images for training, and half as many for tests, with their shape and condition.

        `classes` is the number of places of squares if the condition is not a class; float32 pixels lie in [-1, 1].
        """

        images: PositiveInt = 64
        channels: PositiveInt = 1
        height: PositiveInt = 28
        width: PositiveInt = 28
        dtype: Literal["uint8", "float32"] = "uint8"
        condition: Literal["classes", "vector", "tensor"] | None = "classes"
        classes: PositiveInt = 10
        condition_shape: tuple[PositiveInt, ...] = ()
        condition_dtype: Literal["uint8", "float32"] = "float32"

        @classmethod
        def of(cls, image: ImageSpec) -> dict[str, Any]:
            """Return the options for images of a spec, as a configuration holds them."""
            spec = image.condition
            shape = {"channels": image.channels, "height": image.height, "width": image.width, "dtype": image.dtype}
            if spec is None:
                return {**shape, "condition": "none"}
            if spec.num_classes is not None:
                return {**shape, "condition": "classes", "classes": spec.num_classes}
            vector = {"condition_shape": list(spec.shape), "condition_dtype": spec.dtype}
            return {**shape, "condition": spec.kind, **vector}

    options: Options

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Numbers of the classes."""
        return tuple(map(str, range(self.options.classes))) if self.options.condition == "classes" else None

    def open(self, split: Split) -> ImageTensors:
        """Return a split."""
        options = self.options
        count = options.images if split == "train" else -(-options.images // 2)
        places = torch.arange(count) % options.classes
        rng = torch.Generator().manual_seed(len(split))
        pixels = torch.randint(0, 40, (count, options.channels, options.height, options.width), generator=rng)
        for number, place in enumerate(places.tolist()):
            top = place * options.height // (2 * options.classes)
            pixels[number, :, top : top + options.height // 2, options.width // 4 : 3 * options.width // 4 + 1] += 200
        images = pixels.to(torch.uint8)
        return ImageTensors(
            images if options.dtype == "uint8" else images.float() / 127.5 - 1, self._condition(places, rng)
        )

    def _condition(self, places: Tensor, rng: torch.Generator) -> Tensor | None:
        if self.options.condition in {None, "classes"}:
            return None if self.options.condition is None else places
        shape = (len(places), *self.options.condition_shape)
        if self.options.condition == "tensor" and self.options.condition_dtype == "uint8":
            return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
        return torch.randn(shape, generator=rng)


class StubExtractor(FeatureExtractor):
    """Extractor of few features, so that few images are enough for a score, without random numbers.

    Features are a cosine transform of the mean light in 4×2 regions. Classes are bright places; an image without one is
    of the first class.
    """

    preprocessing: ClassVar = "pixels scaled to [0, 1]"
    accepts_float: ClassVar = True
    size = 8
    mixture: Tensor
    directions: Tensor

    def __init__(self, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.class_names = tuple(str(number) for number in range(image.num_classes or 1))
        regions, used = image.channels * self.size, 4
        frequencies = (torch.arange(regions) + 0.5).view(-1, 1) * torch.arange(self.size)
        self.register_buffer("mixture", (frequencies * torch.pi / regions).cos())  # (R, D)
        turns = torch.arange(len(self.class_names)).view(-1, 1) * (torch.arange(used) + 1)
        self.register_buffer("directions", (turns * 2 * torch.pi / len(self.class_names)).cos())  # (K, 4)

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return features `(N, 8)` and logits `(N, K)`."""
        light = adaptive_avg_pool2d(images.float() / 255, (4, 2)).flatten(1)
        features = light @ self.mixture
        logits = 10 * features[:, 1 : 1 + self.directions.shape[1]] @ self.directions.T
        return FeatureOutput(features, torch.cat([logits[:, :1] + LEAD, logits[:, 1:]], 1))


class StubMetric(Metric):
    """Distance of the mean features, so that a run needs its feature extractor."""

    higher_is_better: ClassVar = {"feature-distance": False}
    needs: ClassVar = frozenset({"features"})

    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the squared distance between the mean features of real images and of fakes."""
        real, fake = (context.features(source).features.double().mean(0) for source in ("real", "fake"))
        return MetricResult({"feature-distance": float((real - fake).square().sum())})


def condition_specs(image: ImageSpec) -> tuple[ConditionSpec, ...]:
    """Return a condition of each kind: classes, a vector, an image of the same size, and another tensor."""
    return (
        ConditionSpec.classes(10),
        ConditionSpec.vector(2),
        ConditionSpec.tensor(image.shape),
        ConditionSpec.tensor((2, 5), "float32"),
    )
