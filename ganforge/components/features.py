"""Interface of feature extractors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganforge.components.base import ComponentOptions, Configurable
from ganforge.components.image_spec import ImageSpec


@dataclass(frozen=True, slots=True)
class FeatureOutput:
    """Output of a feature extractor.

    Attributes:
        features: `(N, D)` float32.
        logits: `(N, K)` float32 of a classifier, or None.
    """

    features: Tensor
    logits: Tensor | None = None


class FeatureExtractor(Configurable, nn.Module, ABC):
    """Network that maps pictures to features. The caller handles eval mode, device placement and batching.

    Attributes:
        size: D, features of an image.
        class_names: Names of the classes that the logits stand for; empty without a classifier.
        preprocessing: What happens to the pixels first, in one line; part of every protocol.
        raw_images: Whether `forward` gets the images as networks see them, float32, instead of uint8 pictures.
        accepts_float: Whether `forward` also takes pictures that are not rounded, float32 in [0, 255]. Metrics of small
            differences, such as perceptual path length, need it.
    """

    class Options(ComponentOptions):
        """Options of every feature extractor."""

    options: Options
    image: ImageSpec
    size: int
    class_names: tuple[str, ...] = ()
    preprocessing: ClassVar[str]
    raw_images: ClassVar[bool] = False
    accepts_float: ClassVar[bool] = False

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options)
        self.image = image

    @classmethod
    def check_image(cls, options: Any, image: ImageSpec) -> None:  # noqa: ANN401 - each extractor has its own options
        """Raise IncompatibleError for images that the extractor does not support, before it is built."""

    @abstractmethod
    def forward(self, images: Tensor) -> FeatureOutput:
        """Return the features of pictures, `(N, C, H, W)` uint8; those of one do not depend on the others."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of all weights and buffers, with their names, types and shapes."""
        return weights_sha256(self)


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of a module's weights and buffers, with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
