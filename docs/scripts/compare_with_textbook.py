"""Pictures, scores and times of the textbook's loop and of `ganforge run` at the same steps.

`python docs/scripts/compare_with_textbook.py OUT [--model dcgan] [--steps 170 1000] [--data-root DIR]`. Both see the
same number of images, in batches of 60. The textbook's loop is examples/textbook_gan.py: float32, eager, shuffled by a
DataLoader. OUT gets a grid of 64 samples of each at each step; stdout gets a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ganforge.builtin.datasets.mnist import Mnist
from ganforge.builtin.metrics.sliced_wasserstein import wasserstein2_squared
from ganforge.utils.images import grid, normalize, save_png, to_uint8

ROOT = Path(__file__).parents[2]
FAKES = 2000
DIRECTIONS = 512


def main() -> None:
    """Train both loops and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=("mlp", "dcgan"), default="dcgan")
    parser.add_argument("--steps", type=int, nargs="+", default=[170, 1000])
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    source = "sample" if arguments.data_root is None else "full"
    data = Mnist(Mnist.Options(root=arguments.data_root, source=source))
    rows = [*by_hand(data, arguments), *by_ganforge(data, arguments)]
    print("| loop | step | seconds | sliced Wasserstein |\n| --- | --- | --- | --- |")
    for name, step, seconds, score in rows:
        print(f"| {name} | {step:,} | {seconds:.0f} | {score:.2f} |")


def score_of(images: Tensor, data: Mnist) -> float:
    """Return the sliced Wasserstein distance of fakes, `(N, C, H, W)` uint8, to test images."""
    rng = torch.Generator().manual_seed(0)
    size = images[0].numel()
    theta = torch.randn(size, DIRECTIONS, generator=rng)
    theta = theta / theta.norm(dim=0)
    real, fake = (batch.flatten(1).float().div(255) @ theta for batch in (data.open("test").images[:FAKES], images))
    return float((wasserstein2_squared(real, fake).mean() * size).sqrt())


def by_hand(data: Mnist, arguments: argparse.Namespace) -> Iterator[tuple[str, int, float, float]]:
    """Yield the scores of the textbook's loop, with the seconds until then."""
    textbook = load_example()
    torch.manual_seed(0)
    generator, discriminator = textbook.networks(arguments.model)
    images = normalize(data.open("train").images)
    loader = DataLoader(TensorDataset(images), batch_size=60, shuffle=True, drop_last=True)
    endless = (batch for _ in itertools.count() for (batch,) in loader)
    elapsed = 0.0

    def timed_batches() -> Iterator[Tensor]:
        # One call trains to the last step with the same optimizers; grids are drawn in between.
        nonlocal elapsed
        begin = time.perf_counter()
        for step, batch in enumerate(itertools.islice(endless, max(arguments.steps) + 1)):
            if step in arguments.steps:
                elapsed += time.perf_counter() - begin
                reached.append(("textbook, float32", step, elapsed, draw(generator, step, data, arguments)))
                begin = time.perf_counter()
            if step < max(arguments.steps):
                yield batch

    reached: list[tuple[str, int, float, float]] = []
    textbook.train(generator, discriminator, timed_batches(), lambda count: torch.randn(count, 100))
    yield from reached


@torch.no_grad()
def draw(generator: nn.Module, step: int, data: Mnist, arguments: argparse.Namespace) -> float:
    """Save a grid and return the score of the fakes."""
    generator.eval()
    fakes = to_uint8(torch.cat([generator(z) for z in torch.randn(FAKES, 100).split(200)]))
    generator.train()
    save_png(grid(fakes[:64]), arguments.out / f"textbook-{arguments.model}-{step:05d}.png")
    return score_of(fakes, data)


def by_ganforge(data: Mnist, arguments: argparse.Namespace) -> Iterator[tuple[str, int, float, float]]:
    """Yield the scores of `ganforge run` with its defaults, with the seconds until then."""
    from ganforge import load  # noqa: PLC0415 - after the other loop was timed

    run, before = arguments.out / "run", 0.0
    for step in sorted(arguments.steps):
        command = ["run", "--gen", arguments.model, "--disc", arguments.model, "--out", str(run)] if not before else []
        command = command or ["resume", str(run)]
        if command[0] == "run":
            root = [] if arguments.data_root is None else ["--data.root", str(arguments.data_root)]
            command += ["--data.source", data.options.source, *root]
        done = subprocess.run(
            [sys.executable, "-m", "ganforge", *command, "--steps", str(step), "--json", "--quiet"],
            capture_output=True,
            text=True,
            check=True,
        )
        before = json.loads(done.stdout)["elapsed_seconds"]
        trained = load(run)
        samples = trained.sample(FAKES, 0)
        trained.sample(64, 0).save_grid(arguments.out / f"ganforge-{arguments.model}-{step:05d}.png")
        name = f"ganforge, {trained.manifest.precision}"
        yield name, step, before, score_of(torch.from_numpy(samples.images).permute(0, 3, 1, 2), data)


def load_example() -> ModuleType:
    """Return examples/textbook_gan.py as a module."""
    spec = importlib.util.spec_from_file_location("textbook_gan", ROOT / "examples" / "textbook_gan.py")
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
