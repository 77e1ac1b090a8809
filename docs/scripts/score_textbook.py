"""Scores of a generator that was trained by the textbook's loop, as `ganforge evaluate` computes them.

`python docs/scripts/score_textbook.py OUT.json --model mlp|dcgan --data mnist --steps 1000 --seed 0 [--data-root DIR]`.
The loop is that of `ganforge bench` (ganforge/bench/reference_loop.py): float32, eager, its own order of images.
OUT.json gets a row as in evaluation.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch

from ganforge.bench import reference_loop
from ganforge.bench.measure import write_mnist
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.evaluation.evaluator import Evaluator
from ganforge.plugins.registry import Registry
from ganforge.training.build import build
from ganforge.training.precision import choose_device


def main() -> None:
    """Train, score and write the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=("mlp", "dcgan"), required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", "--num-samples", type=int, default=10_000)
    parser.add_argument("--metric", default="fid,kid,precision,recall,modes")
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    model = arguments.model
    settings = [f"gen={model}", f"disc={model}", f"data={arguments.data}", f"metric={arguments.metric}"]
    settings += [f"seed={arguments.seed}"]
    settings += [] if arguments.data_root is None else [f"data.root={arguments.data_root.absolute()}"]
    gan = build(resolve([command_line_layer(settings)], Registry.discover()))
    device = choose_device("auto")
    torch.manual_seed(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(gan, Path(folder))
        reference_loop.seconds_per_step(
            gan.generator,
            gan.discriminator,
            root=Path(folder),
            device=device,
            steps=arguments.steps,
            warm_up=0,
        )
    evaluator = Evaluator(
        gan, num_samples=arguments.num_samples, split="test", seed=arguments.seed, weights="generator"
    )
    row = {"step": arguments.steps, **evaluator.evaluate(gan.generator, gan.latent).row()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(row) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
