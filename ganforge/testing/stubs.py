"""Small partners that a component is trained with: they give everything that a loss or a penalty may ask for."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, one_hot, softplus

from ganforge.components import (
    Dataset,
    Discriminator,
    DiscriminatorOutput,
    EvaluationContext,
    FeatureExtractor,
    FeatureOutput,
    Generator,
    Images,
    ImageSpec,
    Loss,
    Metric,
    Network,
    Split,
)

WIDTH = 16
#: What an image must have for another class than the first, in logits: more than noise has.
UNSURE = 4.0


class PartnerGenerator(Generator):
    """One hidden layer; the label is one-hot beside the latents."""

    def __init__(self, options: Network.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Linear(self.latent_dim + (image.num_classes or 0), WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, image.numel),
            nn.Tanh(),
            nn.Unflatten(1, (image.channels, image.height, image.width)),
        )

    @property
    def conditional(self) -> bool:
        """Where the data has any."""
        return self.image.num_classes is not None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        parts = [z] if labels is None else [z, one_hot(labels, self.image.num_classes or 0).to(z.dtype)]
        images: Tensor = self.layers(torch.cat(parts, 1))
        return images


class PartnerDiscriminator(Discriminator):
    """One hidden layer, whose activations are features, with an auxiliary classifier."""

    def __init__(self, options: Network.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(image.numel, WIDTH), nn.Tanh())
        self.head = nn.Linear(WIDTH, 1)
        self.classifier = nn.Linear(WIDTH, image.num_classes or 1)

    @property
    def conditional(self) -> bool:
        """Where the data has any."""
        return self.image.num_classes is not None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits `(N,)`, class logits `(N, K)` and features."""
        features = self.hidden(images)
        return DiscriminatorOutput(
            self.head(features).squeeze(1), class_logits=self.classifier(features), features=(features,)
        )


class PartnerLoss(Loss):
    """The non-saturating loss."""

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1), `(N,)`."""
        return softplus(-fake.logits)


class Blobs(Dataset):
    """Squares of light at places that the label decides."""

    class Options(Dataset.Options):
        """How many images there are, their shape, and the number of classes."""

        images: PositiveInt = 64
        """Images to train on; half as many are for tests."""
        channels: PositiveInt = 1
        """Channels of each image."""
        height: PositiveInt = 28
        """Height in pixels."""
        width: PositiveInt = 28
        """Width in pixels."""
        classes: PositiveInt = 10
        """How many classes there are."""

    options: Options

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' numbers."""
        return tuple(str(number) for number in range(self.options.classes))

    def load(self, split: Split) -> Images:
        """Return a split: pixels `(N, C, H, W)`, labels `(N,)`."""
        options = self.options
        count = options.images if split == "train" else -(-options.images // 2)
        labels = torch.arange(count) % options.classes
        rng = torch.Generator().manual_seed(len(split))
        pixels = torch.randint(0, 40, (count, options.channels, options.height, options.width), generator=rng)
        for number, label in enumerate(labels.tolist()):
            top = label * options.height // (2 * options.classes)
            pixels[number, :, top : top + options.height // 2, options.width // 4 : 3 * options.width // 4 + 1] += 200
        return Images(pixels.to(torch.uint8), labels)


class PartnerExtractor(FeatureExtractor):
    """Few features, so that few images are enough for a score, and classes by the place where an image is bright.

    Features are a cosine transform of the mean light in 4×2 regions; what has no bright place is of the first class.
    Nothing is drawn: it is the same everywhere.
    """

    preprocessing: ClassVar = "pixels scaled to [0, 1]"
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
        return FeatureOutput(features, torch.cat([logits[:, :1] + UNSURE, logits[:, 1:]], 1))


class PartnerMetric(Metric):
    """The distance of the mean features: it makes a run need its feature extractor."""

    better: ClassVar = {"feature-distance": "lower"}
    needs: ClassVar = frozenset({"features"})

    def compute(self, context: EvaluationContext) -> dict[str, float]:
        """Return the squared distance between the means of the real images' features and of the fakes'."""
        real, fake = (context.extract(images).features.double().mean(0) for images in (context.real, context.fake))
        return {"feature-distance": float((real - fake).square().sum())}
