"""Features that are the pixels themselves."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ganforge.components import FeatureExtractor, FeatureOutput, ImageSpec


class Pixels(FeatureExtractor):
    """Take the pixels themselves, in [0, 1], for features: C·H·W of them.

    They are no perceptual features: an image that is shifted by one pixel is far from itself. What they are good for:
    scores that anyone can compute again, and nearest neighbours, for small images. Scores that need more images than
    there are features need more than C·H·W.
    """

    preprocessing: ClassVar = "pixels scaled to [0, 1]; nothing is resized"

    def __init__(self, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.size = image.numel

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return the pixels, `(N, C·H·W)`, channel by channel, row by row."""
        return FeatureOutput(images.flatten(1).float() / 255)
