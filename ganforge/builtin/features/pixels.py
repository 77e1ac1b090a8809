"""Features that are the numbers of the images themselves."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ganforge.components import FeatureExtractor, FeatureOutput, ImageSpec


class Pixels(FeatureExtractor):
    """The pixels of the picture in [0, 1]: C·H·W features.

    The features are not perceptual: an image shifted by one pixel is far from itself. They serve scores that are easy
    to reproduce and nearest neighbors of small images. Scores that need more images than features need more than C·H·W.
    """

    preprocessing: ClassVar = "pixels scaled to [0, 1]; nothing is resized"
    accepts_float: ClassVar = True

    def __init__(self, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.size = image.numel

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return the pixels, `(N, C·H·W)`, channel by channel, row by row."""
        return FeatureOutput(images.flatten(1).float() / 255)


class Raw(FeatureExtractor):
    """The numbers of the image as networks see it, unrounded: C·H·W features.

    For float32 data that 256 levels cannot represent: points in the plane, an autoencoder's latents, waveforms, 16-bit
    pictures. uint8 data is in [-1, 1].
    """

    preprocessing: ClassVar = "images as networks see them, float32; nothing is rounded or resized"
    raw_images: ClassVar = True

    def __init__(self, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.size = image.numel

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return the numbers, `(N, C·H·W)`, channel by channel, row by row."""
        return FeatureOutput(images.flatten(1).float())
