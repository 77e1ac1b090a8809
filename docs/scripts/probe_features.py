"""Fréchet distances of test images that are changed in known ways, in the features `digits` and `fashion`.

`python docs/scripts/probe_features.py --data-root DIR`. DIR holds `MNIST/raw` and `FashionMNIST/raw`. The distance
(Heusel et al. 2017) compares 3,000 test images with 3,000 others, which are changed; stdout gets a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2.functional import gaussian_blur

from ganforge.builtin.datasets.mnist_files import read_split
from ganforge.builtin.features.classifier_features import Digits, Fashion, TrainedFeatures
from ganforge.builtin.metrics.fid import frechet_distance, gaussians
from ganforge.components import ImageSpec, ImageTensors

COUNT = 3000
PART = 200
SOURCES = {Digits: "MNIST/raw", Fashion: "FashionMNIST/raw"}


def main() -> None:
    """Print a row for each change, with the distance in each extractor's features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    arguments = parser.parse_args()
    columns = {cls.name: distances(cls, arguments.data_root / folder) for cls, folder in SOURCES.items()}
    print(f"| test images | {' | '.join(f'`{name}`' for name in columns)} |\n| --- |{' ---: |' * len(columns)}")
    for change in next(iter(columns.values())):
        print(f"| {change} | {' | '.join(f'{column[change]:.2f}' for column in columns.values())} |")


def distances(cls: type[TrainedFeatures], folder: Path) -> dict[str, float]:
    """Return the distance from unchanged test images by kind of change."""
    extractor = cls(cls.Options(), ImageSpec(1, 28, 28)).eval().requires_grad_(requires_grad=False)
    rng = torch.Generator().manual_seed(0)
    train, test = read_split(folder, "train"), read_split(folder, "test")
    order = torch.randperm(len(test), generator=rng)
    real = features_of(extractor, test.images[order[:COUNT]])
    kinds = {"training images": train.images[torch.randperm(len(train), generator=rng)[:COUNT]]}
    kinds |= changed(test, order[COUNT : 2 * COUNT], rng)
    distance = {}
    for change, images in kinds.items():
        both = (next(gaussians(features, [len(features)])) for features in (real, features_of(extractor, images)))
        distance[change] = frechet_distance(*both)
    return distance


def changed(test: ImageTensors, chosen: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Return test images, unchanged and changed, by kind of change."""
    assert test.condition is not None  # noqa: S101 - read_split returns classes
    pixels, labels = test.images[chosen], test.condition[chosen]
    kinds = {"test images": pixels}
    for deviation in (10, 25, 50):
        noise = torch.randn(pixels.shape, generator=rng) * deviation
        kinds[f"with noise of {deviation} gray levels"] = (pixels + noise).clamp(0, 255).byte()
    for sigma in (0.5, 1.0):
        kinds[f"blurred by {sigma} pixels"] = gaussian_blur(pixels, [7, 7], [sigma, sigma])
    for shift in (1, 2, 4):
        kinds[f"moved by {shift} pixel{'s' * (shift > 1)}"] = moved(pixels, shift)
    kinds["without class 0"] = pixels[labels != 0]
    kinds["of three classes only"] = pixels[labels < 3]  # noqa: PLR2004 - three classes
    return kinds


def moved(pixels: Tensor, shift: int) -> Tensor:
    """Return images, `(N, 1, H, W)` uint8, moved to the right; the uncovered part is black."""
    kernel = torch.zeros(1, 1, 1, 2 * shift + 1)
    kernel[..., 0] = 1
    return conv2d(pixels.float(), kernel, padding=(0, shift)).byte()


def features_of(extractor: TrainedFeatures, images: Tensor) -> Tensor:
    """Return features, `(N, 64)`."""
    return torch.cat([extractor(part).features for part in images.split(PART)])


if __name__ == "__main__":
    main()
