"""Small partners that a component is trained with: they give everything that a loss or a penalty may ask for."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from ganforge.interfaces import Dataset, Discriminator, Generator, Images, ImageShape, Judgement, Loss, Network, Split

WIDTH = 16
COUNTS = {"train": 64, "test": 32}


class PartnerGenerator(Generator):
    """One hidden layer; the label is one-hot beside the latents."""

    def __init__(self, options: Network.Options, image: ImageShape) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Linear(self.latent_dim + (image.classes or 0), WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, image.numel),
            nn.Tanh(),
            nn.Unflatten(1, (image.channels, image.height, image.width)),
        )

    @property
    def takes_labels(self) -> bool:
        """Where the data has any."""
        return self.image.classes is not None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        parts = [z] if labels is None else [z, one_hot(labels, self.image.classes or 0).to(z.dtype)]
        images: Tensor = self.layers(torch.cat(parts, 1))
        return images


class PartnerDiscriminator(Discriminator):
    """One hidden layer, whose activations are features, with an auxiliary classifier."""

    def __init__(self, options: Network.Options, image: ImageShape) -> None:
        super().__init__(options, image)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(image.numel, WIDTH), nn.Tanh())
        self.head = nn.Linear(WIDTH, 1)
        self.classifier = nn.Linear(WIDTH, image.classes or 1)

    @property
    def takes_labels(self) -> bool:
        """Where the data has any."""
        return self.image.classes is not None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Judgement:
        """Return logits `(N,)`, class logits `(N, K)` and features."""
        features = self.hidden(images)
        return Judgement(self.head(features).squeeze(1), class_logits=self.classifier(features), features=(features,))


class PartnerLoss(Loss):
    """The non-saturating loss."""

    def discriminator(self, *, real: Judgement, fake: Judgement) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator(self, *, real: Judgement | None, fake: Judgement) -> Tensor:
        """Return BCE(fake, 1), `(N,)`."""
        return softplus(-fake.logits)


class Blobs(Dataset):
    """Squares of light at places that the label decides."""

    class Options(Dataset.Options):
        """The images' shape, and the number of classes."""

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
    def classes(self) -> tuple[str, ...]:
        """The classes' numbers."""
        return tuple(str(number) for number in range(self.options.classes))

    def load(self, split: Split) -> Images:
        """Return a split: pixels `(N, C, H, W)`, labels `(N,)`."""
        options, count = self.options, COUNTS[split]
        labels = torch.arange(count) % options.classes
        rng = torch.Generator().manual_seed(len(split))
        pixels = torch.randint(0, 40, (count, options.channels, options.height, options.width), generator=rng)
        for number, label in enumerate(labels.tolist()):
            top = label * options.height // (2 * options.classes)
            pixels[number, :, top : top + options.height // 2, options.width // 4 : 3 * options.width // 4 + 1] += 200
        return Images(pixels.to(torch.uint8), labels)
