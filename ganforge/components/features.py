"""What describes images by numbers, so that metrics can compare them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganforge.components.base import Configurable, Options
from ganforge.components.networks import ImageSpec


@dataclass(frozen=True, slots=True)
class FeatureOutput:
    """Hold what was seen in images.

    features: `(N, D)` float32. logits: of a classifier, `(N, K)` float32, or None.
    """

    features: Tensor
    logits: Tensor | None = None


class FeatureExtractor(Configurable, nn.Module, ABC):
    """Turn images, as files would hold them, into features.

    size: D, features of an image. class_names: what a classifier's logits tell apart; empty for one that does not
    classify. preprocessing: what happens to the pixels first, in words; it goes into every protocol. Whoever calls it
    takes care of evaluation mode, of the device and of parts that memory suffices for.
    """

    class Options(Options):
        """Options of every feature extractor."""

    options: Options
    image: ImageSpec
    size: int
    class_names: tuple[str, ...] = ()
    preprocessing: ClassVar[str]

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__()
        self.options = options
        self.image = image

    @classmethod
    def check_image(cls, options: Any, image: ImageSpec) -> None:  # noqa: ANN401 - each has options of its own
        """Raise IncompatibleError for images that it cannot describe."""

    @abstractmethod
    def forward(self, images: Tensor) -> FeatureOutput:
        """Describe images, uint8, `(N, C, H, W)`; what is said of one must not depend on the others."""

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
