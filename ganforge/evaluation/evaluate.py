"""Compare fakes with real images, in a random stream of its own, so that training goes on to the same bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch

from ganforge.assembly import Assembly
from ganforge.errors import DataError
from ganforge.interfaces import EvaluationContext, Generator, Split
from ganforge.randomness import stream_rng
from ganforge.sampling import draw, draw_latents


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Hold what was scored.

    scores: by name, None where one is not finite. passport: everything that must agree before two may be compared.
    """

    scores: dict[str, float | None]
    passport: dict[str, Any]


def score_directions(assembly: Assembly) -> dict[str, Literal["lower", "higher"]]:
    """Return, for every score that the chosen metrics give, which direction is better."""
    return {name: better for metric in assembly.metrics.values() for name, better in metric.better.items()}


def check_count(assembly: Assembly, count: int) -> Split:
    """Return the split whose images count as real. Raises DataError where it has fewer than `count`."""
    split: Split = "test" if "test" in assembly.info.sizes else "train"
    size = assembly.info.sizes[split]
    if size < count:
        have = f"data {assembly.info.name!r} has {size} in its {split} split"
        raise DataError(
            f"evaluating on {count} images needs as many real ones; {have}",
            fix=f"pass --evaluation-images {size} or less",
        )
    return split


def evaluate(assembly: Assembly, generator: Generator, *, count: int, seed: int) -> Evaluation:
    """Score `count` fakes against as many real images, of the test split where there is one.

    Raises DataError where there are not that many real images.
    """
    split = check_count(assembly, count)
    rng = stream_rng(seed, "evaluation")
    chosen = torch.randperm(assembly.info.sizes[split], generator=rng)[:count]
    real = assembly.take(split, chosen.tolist(), "evaluation/items")
    latents = draw_latents(generator, count, seed=seed, stream="evaluation")
    fake = draw(generator, latents, real.labels if generator.takes_labels else None, seed=seed)
    context = EvaluationContext(real.pixels, fake.images, real.labels, fake.labels, rng)
    scores: dict[str, float | None] = {}
    for name, metric in assembly.metrics.items():
        found = metric.compute(context)
        if found.keys() != metric.better.keys():
            raise DataError(f"metric {name!r} gives {', '.join(found)}; it declares {', '.join(metric.better)}")
        scores |= {key: value if math.isfinite(value) else None for key, value in found.items()}
    return Evaluation(scores, passport(assembly, split=split, count=count, seed=seed))


def passport(assembly: Assembly, *, split: Split, count: int, seed: int) -> dict[str, Any]:
    """Return what a score depends on, as JSON can hold it.

    The fingerprint is the scored split's, or that of the data where the split is not loaded whole.
    """
    images = assembly.images(split)
    chosen = assembly.resolution.chosen["metric"]
    metrics: Mapping[str, Any] = {
        item.entry.component.name: {
            "distribution": str(item.entry.source),
            "options": item.options.model_dump(mode="json"),
        }
        for item in chosen
    }
    return {
        "data": assembly.info.name,
        "fingerprint": assembly.info.fingerprint if images is None else images.fingerprint(),
        "split": split,
        "real_images": count,
        "fake_images": count,
        "metrics": metrics,
        "weights": "generator" if assembly.resolution.experiment.ema_halflife_images is None else "generator_ema",
        "seed": seed,
        "versions": {name: version(name) for name in ("ganforge", "torch")},
    }
