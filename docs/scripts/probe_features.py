"""Change test images in known ways, and print how far the features `digits` and `fashion` say that they are.

`python docs/scripts/probe_features.py --data-root DIR`. DIR holds `MNIST/raw` and `FashionMNIST/raw`. The distance is
Fréchet's (Heusel et al. 2017) between 3,000 test images and 3,000 others, which are changed; stdout gets a Markdown
table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2.functional import gaussian_blur

from ganforge.builtin.datasets.mnist_files import read_split
from ganforge.builtin.features.trained import Digits, Fashion, TrainedFeatures
from ganforge.builtin.metrics.fid import frechet_distance, gaussians
from ganforge.components import Images, ImageSpec

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
    for words in next(iter(columns.values())):
        print(f"| {words} | {' | '.join(f'{column[words]:.2f}' for column in columns.values())} |")


def distances(cls: type[TrainedFeatures], folder: Path) -> dict[str, float]:
    """Return, for each kind of change, the distance from test images that are as they were."""
    extractor = cls(cls.Options(), ImageSpec(1, 28, 28)).eval().requires_grad_(requires_grad=False)
    rng = torch.Generator().manual_seed(0)
    train, test = read_split(folder, "train"), read_split(folder, "test")
    order = torch.randperm(len(test.pixels), generator=rng)
    real = described(extractor, test.pixels[order[:COUNT]])
    kinds = {"training images instead": train.pixels[torch.randperm(len(train.pixels), generator=rng)[:COUNT]]}
    kinds |= changed(test, order[COUNT : 2 * COUNT], rng)
    found = {}
    for words, pixels in kinds.items():
        both = (next(gaussians(each, [len(each)])) for each in (real, described(extractor, pixels)))
        found[words] = frechet_distance(*both)
    return found


def changed(test: Images, chosen: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Return test images as they are, and changed; by what was done to them."""
    assert test.labels is not None  # noqa: S101 - read_split always gives them
    pixels, labels = test.pixels[chosen], test.labels[chosen]
    kinds = {"others, as they are": pixels}
    for deviation in (10, 25, 50):
        noise = torch.randn(pixels.shape, generator=rng) * deviation
        kinds[f"with noise of {deviation} grey levels"] = (pixels + noise).clamp(0, 255).byte()
    for sigma in (0.5, 1.0):
        kinds[f"blurred by {sigma} pixels"] = gaussian_blur(pixels, [7, 7], [sigma, sigma])
    for shift in (1, 2, 4):
        kinds[f"moved by {shift} pixel{'s' * (shift > 1)}"] = moved(pixels, shift)
    kinds["without class 0"] = pixels[labels != 0]
    kinds["of three classes only"] = pixels[labels < 3]  # noqa: PLR2004 - as it says
    return kinds


def moved(pixels: Tensor, shift: int) -> Tensor:
    """Move images, uint8 `(N, 1, H, W)`, to the right, black coming in."""
    kernel = torch.zeros(1, 1, 1, 2 * shift + 1)
    kernel[..., 0] = 1
    return conv2d(pixels.float(), kernel, padding=(0, shift)).byte()


def described(extractor: TrainedFeatures, pixels: Tensor) -> Tensor:
    """Return features, `(N, 64)`."""
    return torch.cat([extractor(part).features for part in pixels.split(PART)])


if __name__ == "__main__":
    main()
