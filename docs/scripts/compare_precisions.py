"""Fréchet distances of trainings in float32 and in the automatic precision, with several seeds each.

`python docs/scripts/compare_precisions.py OUT [--model dcgan] [--steps 600] [--seeds 0 1 2] [--data-root DIR]`. The
distance (Heusel et al. 2017, eq. 6) compares 10,000 fakes with the test digits, on the 64 inner features of a small
digit classifier that is trained first, so it compares runs of this script only. OUT gets the runs; stdout gets a
Markdown table with the mean and the standard deviation over seeds, and the reference: training against test digits.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from torch import Tensor, nn

import ganforge
from ganforge.builtin.datasets.mnist import Mnist
from ganforge.components import ImageTensors
from ganforge.config import ComponentRef
from ganforge.utils.images import normalize

FAKES = 10_000
BATCH = 200


def main() -> None:
    """Train all runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=("mlp", "dcgan"), default="dcgan")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    options = {"source": "sample" if arguments.data_root is None else "full"}
    if arguments.data_root is not None:
        options["root"] = str(arguments.data_root)
    data = Mnist(Mnist.Options(**options))
    train, test = data.open("train"), data.open("test")
    features = classifier(train)
    real = statistics_of(features, test.images[:FAKES])
    reference = frechet(statistics_of(features, train.images[:FAKES]), real)
    print(
        f"reference: {reference:.2f}\n\n| precision | chosen | seeds | Fréchet distance | seconds per run |\n"
        + "| --- " * 5
        + "|"
    )
    for precision in ("fp32", "auto"):
        distances, seconds, chosen = [], [], set()
        for seed in arguments.seeds:
            experiment = ganforge.Experiment(
                gen=arguments.model,
                disc=arguments.model,
                data=ComponentRef(name="mnist", options=options),
                steps=arguments.steps,
                seed=seed,
                precision=precision,
            )
            run = ganforge.train(experiment, out=arguments.out / f"{arguments.model}-{precision}-{seed}")
            fakes = torch.from_numpy(run.sample(FAKES, seed=seed).images).permute(0, 3, 1, 2)
            distances.append(frechet(statistics_of(features, fakes), real))
            assert run.manifest.summary is not None, "the run has ended"  # noqa: S101
            seconds.append(run.manifest.summary.elapsed_seconds)
            chosen.add(run.manifest.precision)
        mean = f"{statistics.mean(distances):.2f} ± {statistics.stdev(distances):.2f}"
        each = ", ".join(f"{distance:.2f}" for distance in distances)
        print(
            f"| {precision} | {', '.join(sorted(chosen))} | {len(distances)} | {mean} ({each}) | "
            f"{statistics.median(seconds):.0f} |",
            flush=True,
        )


def classifier(images: ImageTensors) -> nn.Module:
    """Train a small classifier for two epochs; return its layers up to the 64 features."""
    torch.manual_seed(0)
    features = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU()),
    )
    network = nn.Sequential(features, nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    assert images.condition is not None  # noqa: S101 - MNIST has classes
    for _ in range(2):
        for chosen in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(network(normalize(images.images[chosen])), images.condition[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return features.eval()


@torch.no_grad()
def statistics_of(features: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean, `(D,)`, and covariance, `(D, D)`, of the features of images, `(N, 1, 28, 28)` uint8."""
    values = torch.cat([features(normalize(part)) for part in images.split(BATCH)]).double()
    return values.mean(0), values.T.cov()


def frechet(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Return |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½); the product's eigenvalues are real and not negative."""
    roots = torch.linalg.eigvals(one[1] @ other[1]).real.clamp(min=0).sqrt()
    return float((one[0] - other[0]).square().sum() + one[1].trace() + other[1].trace() - 2 * roots.sum())


if __name__ == "__main__":
    main()
