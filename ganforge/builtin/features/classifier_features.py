"""Features of the small classifiers that ship with ganforge: handwritten digits and clothes."""

from __future__ import annotations

import hashlib
from abc import ABC
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import field_validator
from safetensors.torch import load
from torch import Tensor

from ganforge.builtin.features.classifier import SHAPE, SIZE, Classifier
from ganforge.components import FeatureExtractor, FeatureOutput, ImageSpec
from ganforge.errors import DataError, IncompatibleError
from ganforge.utils.files import expanded, read_limited

FOLDER = Path(__file__).parent / "weights"

#: The weights take less than 1 MB, in float64 less than 2.
LIMIT_BYTES = 4 << 20

SCRIPT = "docs/scripts/train_features.py"


class TrainedFeatures(FeatureExtractor, ABC):
    """Penultimate layer of a small classifier: 64 features of a gray image of 28×28 pixels.

    It was trained on 55,000 of the 60,000 training images and on no test image. It computes in float32.
    """

    class Options(FeatureExtractor.Options):
        """Options of the weights."""

        weights: Path | None = None
        """Your own weights of the same network and classes, a .safetensors file; none: those that ship."""

        @field_validator("weights")
        @classmethod
        def _absolute(cls, weights: Path | None) -> Path | None:
            return None if weights is None else expanded(weights).absolute()

    options: Options
    preprocessing: ClassVar = "pixels scaled to [0, 1]; nothing is resized"
    accepts_float: ClassVar = True
    size = SIZE

    #: Name of the component and of its file, images it is trained on, and the SHA-256 of the file.
    name: ClassVar[str]
    title: ClassVar[str]
    sha256: ClassVar[str]

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.network = read_classifier(self.file, None if options.weights else self.sha256)

    @property
    def file(self) -> Path:
        """File with the weights."""
        return self.options.weights or FOLDER / f"{self.name}.safetensors"

    @classmethod
    def check_image(cls, options: FeatureExtractor.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for all but gray images of 28×28 pixels; nothing is resized silently."""
        if (image.channels, image.height, image.width) != SHAPE:
            papers = "inception (plugin ganforge-inception) for scores comparable with papers, or "
            raise IncompatibleError(
                f"features {cls.name!r} describe {cls.title} of {ImageSpec(*SHAPE)}; the images are {image}",
                fix=f"pass --features {papers if image.channels in (1, 3) else ''}random-convolutions, for any images",
            )

    def forward(self, images: Tensor) -> FeatureOutput:
        """Return features, `(N, 64)`, and logits, `(N, 10)`, of `(N, 1, 28, 28)` pictures."""
        return FeatureOutput(*self.network(images.float() / 255))


class Digits(TrainedFeatures):
    """64 features of a small classifier of handwritten digits, for MNIST and similar images.

    It was trained on MNIST's training split; its accuracy on the test split is 99.66%.
    """

    name: ClassVar = "digits"
    title: ClassVar = "handwritten digits"
    sha256: ClassVar = "9967bf9fdf8f330cd95f70220301ae5df0b0658475788a0f87d7ca09c9a902b0"
    class_names = tuple("0123456789")


class Fashion(TrainedFeatures):
    """64 features of a small classifier of clothes, for Fashion-MNIST and similar images.

    It was trained on Fashion-MNIST's training split; its accuracy on the test split is 93.96%.
    """

    name: ClassVar = "fashion"
    title: ClassVar = "clothes"
    sha256: ClassVar = "cfdebf153c0f38c5a647022984429f16b71f4f68e4e8a13012b4ae5cd76077e7"
    class_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


def read_classifier(path: Path, sha256: str | None) -> Classifier:
    """Return the classifier with the weights of a file.

    Args:
        path: A .safetensors file.
        sha256: SHA-256 of the file, or None for the user's own weights, which only have to fit.

    Raises:
        DataError: The file cannot be read, is damaged, or does not fit.
    """
    if sha256 is None:
        fix = f"pass --features.weights with a file that {SCRIPT} wrote, or leave it out for the weights that ship"
    else:
        fix = "reinstall ganforge: python -m pip install --force-reinstall --no-deps ganforge"
    content = read_limited(path, limit_bytes=LIMIT_BYTES, fix=fix)
    actual = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, actual):
        raise DataError(f"{path} is damaged: its SHA-256 is {actual}, not {sha256}", fix=fix)
    try:
        weights = load(content)
    except Exception as error:  # safetensors raises errors of many kinds, some without a message
        raise DataError(f"{path} is not a safetensors file: {' '.join(str(error).split())}", fix=fix) from error
    with torch.device("meta"):  # no initial weights, since all are replaced
        network = Classifier()
    if problem := _misfit(weights, network.state_dict()):
        raise DataError(f"{path} does not hold weights of this network: {problem}", fix=fix)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return network


def _misfit(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """Return the first difference of weights from the expected ones, or None."""
    for name in sorted({*weights, *expected}):
        if name not in weights:
            return f"{name} is missing"
        if name not in expected:
            return f"the network has no {name}"
        if weights[name].shape != expected[name].shape:
            return f"{name} is {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}"
        if not weights[name].is_floating_point():
            return f"{name} is {weights[name].dtype}, not floating point"
        if not bool(weights[name].float().isfinite().all()):
            return f"{name} has numbers that are not finite"
    return None
