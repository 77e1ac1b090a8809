"""Features of a fixed convolutional network with random weights, for any images."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, pad

from ganforge.components import FeatureExtractor, FeatureOutput, ImageSpec

#: Channels of the first map, of those in between, and of the last.
FIRST, BETWEEN, LAST = 16, 32, 24
#: Maps are halved until the smaller side is at most this wide.
MIN_SIDE = 8
KERNEL = 3
#: Rows and columns that the last map is averaged in.
CELLS = 2


class RandomConvolutions(FeatureExtractor):
    """Small convolutional network with random weights, equal on every machine: 96 features.

    Stages of a 3×3 convolution without biases and an absolute value, the map halved between them until it is at most 8
    pixels wide; the last map's 24 channels are averaged in its four quarters. Images have any size and channel count.
    Random filters that are rectified and averaged distinguish textures and coarse shapes (Jarrett et al. 2009).

    The features are not perceptual, since the network is untrained. Scores rank generators of the same data; they are
    not comparable with those of papers, which use Inception.
    """

    class Options(FeatureExtractor.Options):
        """Options of the random weights."""

        seed: NonNegativeInt = 0
        """Seed of the weights, independent of the run's seed and of the machine."""

    options: Options
    preprocessing: ClassVar = "pixels scaled to [0, 1]; nothing is resized"
    accepts_float: ClassVar = True
    size = LAST * CELLS**2

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        halvings = max(1, math.ceil(math.log2(min(image.height, image.width) / MIN_SIDE)))
        widths = (image.channels, FIRST, *[BETWEEN] * (halvings - 1), LAST)
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            weights = fixed_weights(options.seed, stage, (outputs, inputs, KERNEL, KERNEL))
            self.register_buffer(f"weights_{stage}", weights)

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return 96 features, `(N, 96)`."""
        maps = images.float() / 255
        for stage, weights in enumerate(self.buffers()):
            halved = maps if stage == 0 else avg_pool2d(maps, 2, ceil_mode=True)
            maps = conv2d(pad(halved, (1, 1, 1, 1), mode="replicate"), weights).abs()
        return FeatureOutput(adaptive_avg_pool2d(maps, CELLS).flatten(1))


def fixed_weights(seed: int, stage: int, shape: tuple[int, int, int, int]) -> Tensor:
    """Return a layer's weights, float32, uniform with variance 1/(inputs · kernel area), which keeps the maps' scale.

    Their bits come from SHAKE-256 and are only scaled: torch's normal numbers differ between processors.
    """
    digest = hashlib.shake_256(f"random-convolutions {seed} {stage}".encode()).digest(4 * math.prod(shape))
    uniform = (np.frombuffer(digest, "<u4").astype(np.float64) + 0.5) / 2**31 - 1  # within (-1, 1)
    return torch.from_numpy((uniform * math.sqrt(3 / math.prod(shape[1:]))).astype(np.float32)).view(shape)
