"""Inception features of published scores."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from pydantic import field_validator
from torch import Tensor

from ganforge import FeatureExtractor, FeatureOutput, ImageSpec
from ganforge.errors import IncompatibleError
from ganforge.utils.files import expanded
from ganforge_inception.weights import find_weights, read_network

SIZE, CLASSES = 2048, 1008

#: Images in one forward pass; at 299×299 pixels a hundred need more than a gigabyte.
BATCH_SIZE = 25


class Inception(FeatureExtractor):
    """Network of the original Fréchet Inception distance, as torch-fidelity implements it.

    The features are the 2,048 of the penultimate layer; the logits are of 1,008 classes, without the last layer's bias,
    as for the inception score. Scores that need more images than features need more than 2,048. The classes are those
    of the graph that Google published in December 2015: ImageNet's, and eight that are not used.
    """

    class Options(FeatureExtractor.Options):
        """Options of the weights."""

        weights: Path | None = None
        """The published file, or your own weights in a .safetensors file; none: searched, else downloaded."""

        @field_validator("weights")
        @classmethod
        def _absolute(cls, weights: Path | None) -> Path | None:
            return None if weights is None else expanded(weights).absolute()

    options: Options
    preprocessing: ClassVar = (
        "gray repeated to three channels; resized to 299×299, bilinear as in TensorFlow 1 (torch-fidelity), "
        "without antialiasing; (pixels - 128) / 128"
    )
    size = SIZE
    class_names = tuple(str(number) for number in range(CLASSES))

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        path = options.weights or find_weights()
        self.network = read_network(path, published=options.weights is None)

    @classmethod
    def check_image(cls, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless images have one or three channels."""
        if image.channels not in (1, 3):
            raise IncompatibleError(
                f"features 'inception' need images with 1 or 3 channels; the images are {image}",
                fix="pass --features random-convolutions, for any images",
            )

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return features, `(N, 2048)`, and logits, `(N, 1008)`, of pictures, `(N, 1 or 3, H, W)` uint8."""
        batches = torch.split(images.expand(-1, 3, -1, -1), BATCH_SIZE)
        features, logits = zip(*(self.network(batch) for batch in batches), strict=True)
        return FeatureOutput(torch.cat(features), torch.cat(logits))
