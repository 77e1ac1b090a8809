"""Peak memory of an evaluation with images that are read and generated batch by batch.

    python docs/scripts/measure_evaluation_memory.py --num-samples 50000 --side 256

The dataset is synthetic: each image is drawn from its index when it is read, so nothing is kept by the data itself. The
generator is tiny. The script is its own plugin. It prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from ganforge import Component, Dataset, DatasetInfo, Generator, ImageSpec, hookimpl

#: Bytes of `ru_maxrss`'s unit.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Noise(Dataset):
    """Noise of three channels, drawn from an image's index when it is read."""

    class Options(Dataset.Options):
        """Options of the images."""

        count: int = 1000
        """Images of each split."""
        side: int = 256
        """Height and width."""

    options: Options

    @property
    def info(self) -> DatasetInfo:
        """Metadata."""
        image = ImageSpec(3, self.options.side, self.options.side)
        return DatasetInfo(image, None, dict.fromkeys(self.splits, self.options.count), "synthetic")

    def open(self, split: str) -> TorchDataset[tuple[Tensor, int]]:
        """Return a split."""
        return NoiseItems(self.options.count, self.options.side, offset=self.splits.index(split) * self.options.count)


class NoiseItems(TorchDataset[tuple[Tensor, int]]):
    """Items of a split."""

    def __init__(self, count: int, side: int, *, offset: int) -> None:
        self.count, self.side, self.offset = count, side, offset

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        rng = torch.Generator().manual_seed(self.offset + index)
        return torch.randint(0, 256, (3, self.side, self.side), generator=rng, dtype=torch.uint8), 0


class Upsampled(Generator):
    """One layer and bilinear upsampling."""

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(self.latent_dim, image.channels * 8 * 8)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        small = self.layer(z).view(len(z), self.image.channels, 8, 8).tanh()
        return nn.functional.interpolate(small, (self.image.height, self.image.width), mode="bilinear")


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide the dataset and the generator."""
    return [
        Component(kind="dataset", name="synthetic", target=Noise),
        Component(kind="generator", name="upsampled", target=Upsampled),
    ]


def main(arguments: argparse.Namespace) -> None:
    """Evaluate a generator with random weights, and print memory, time and scores."""
    from ganforge.config import command_line_layer  # noqa: PLC0415 - this file is loaded as a plugin, too
    from ganforge.config.resolve import resolve  # noqa: PLC0415
    from ganforge.data.scoring import build_scoring  # noqa: PLC0415
    from ganforge.evaluation.evaluator import Evaluator  # noqa: PLC0415
    from ganforge.plugins.registry import Registry  # noqa: PLC0415

    settings = ("data=synthetic", f"data.count={arguments.num_samples}", f"data.side={arguments.side}", "gen=upsampled")
    scored = (f"metric={arguments.metric}", f"features={arguments.features}")
    resolved = resolve([command_line_layer([*settings, *scored])], Registry.discover([Path(__file__)], no_plugins=True))
    scoring = build_scoring(resolved)
    latent = resolved.one("latent")
    generator = resolved.one("gen")
    before, begin = peak_gigabytes(), time.perf_counter()
    evaluator = Evaluator(
        scoring,
        num_samples=arguments.num_samples,
        split="test",
        seed=0,
        weights="generator",
        progress=lambda stage: print(f"{time.perf_counter() - begin:7.1f} s  {stage}", file=sys.stderr),
    )
    evaluation = evaluator.evaluate(generator.cls(generator.options, scoring.info.image), latent.cls(latent.options))
    document = {
        "num_samples": arguments.num_samples,
        "side": arguments.side,
        "pixels_gigabytes": 3 * 3 * arguments.side**2 * arguments.num_samples / 1e9,
        "peak_gigabytes_before": before,
        "peak_gigabytes": peak_gigabytes(),
        "seconds": time.perf_counter() - begin,
        "scores": evaluation.scores,
        "reference": evaluation.reference,
    }
    print(json.dumps(document, indent=2))


def peak_gigabytes() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-samples", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--metric", default="fid,precision,recall")
    parser.add_argument("--features", default="random-convolutions")
    main(parser.parse_args())
