"""Small network of the features `digits` and `fashion`; docs/scripts/train_features.py trains it."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

#: Channels, height and width of an image.
SHAPE = (1, 28, 28)
SIZE = 64
CLASSES = 10

#: Channels of the maps: two at 28×28 pixels (the first is the image), two at 14×14 and three at 7×7.
CHANNELS = (1, 32, 64, 64, 128, 128, SIZE)
STRIDES = (1, 2, 1, 2, 1, 1)


class Classifier(nn.Module):
    """Classifier of gray 28×28 images into ten classes: six 3×3 convolutions with ReLU, a mean over the map, one layer.

    Batch norm of its training is folded into the convolutions, so an image's output never depends on the batch.
    351,626 weights, 25 million multiplications per image.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (inputs, outputs), stride in zip(pairwise(CHANNELS), STRIDES, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(SIZE, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, `(N, 64)`, and logits, `(N, 10)`, of images in [0, 1], `(N, 1, 28, 28)`."""
        features: Tensor = self.layers(images).mean((2, 3))
        logits: Tensor = self.head(features)
        return features, logits
