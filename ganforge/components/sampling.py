"""Drawing images from a trained generator, without touching the training's randomness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganforge.components import Generator
from ganforge.errors import IncompatibleError
from ganforge.utils.images import to_uint8
from ganforge.utils.rng import Stream, layers_seeded, stream_rng

BATCH = 250
#: A grid with a row for each class has at most this many.
MOST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """Hold images on the CPU, uint8 `(N, C, H, W)`, their latents, `(N, Z)`, and labels, `(N,)` or None.

    not_finite: how many of the images had a number that is not finite, which bytes do not show.
    """

    images: Tensor
    latents: Tensor
    labels: Tensor | None
    not_finite: int


def default_labels(generator: Generator, count: int) -> Tensor | None:
    """Return labels that go through the classes in turn, `(N,)`, or None for a generator that takes none."""
    if not generator.conditional:
        return None
    classes = generator.image.num_classes
    assert classes is not None, "such a generator is refused for data without labels"  # noqa: S101
    return torch.arange(count) % classes


def rows_of_classes(generator: Generator, columns: int) -> Tensor | None:
    """Return labels for a grid with a row for each class, `(K · columns,)`, or None where there is no such grid.

    That is so for a generator that takes no labels, and for more classes than a person looks at.
    """
    classes = generator.image.num_classes if generator.conditional else None
    if classes is None or classes > MOST_ROWS:
        return None
    return torch.arange(classes).repeat_interleave(columns)


def draw_latents(generator: Generator, count: int, *, seed: int, stream: Stream = "samples") -> Tensor:
    """Return latents, `(N, Z)`, that the seed alone decides."""
    return generator.sample_latents(count, stream_rng(seed, stream))


@torch.no_grad()
def draw(generator: Generator, latents: Tensor, labels: Tensor | None = None, *, seed: int) -> Drawn:
    """Make images in evaluation mode, then leave that mode. Raises IncompatibleError for labels that do not fit.

    seed: for generators that draw random numbers themselves, such as noise between their layers.
    """
    labels = _checked(generator, labels, len(latents))
    device = next(generator.parameters()).device
    was_training = generator.training
    generator.eval()
    parts, not_finite = [], 0
    try:
        with layers_seeded(seed, "samples", device=device):
            for begin in range(0, len(latents), BATCH):
                made = generator(
                    latents[begin : begin + BATCH].to(device),
                    None if labels is None else labels[begin : begin + BATCH].to(device),
                )
                parts.append(to_uint8(made).cpu())
                not_finite += len(made) - int(made.isfinite().flatten(1).all(1).sum())
    finally:
        generator.train(was_training)
    return Drawn(torch.cat(parts), latents, labels, not_finite)


def _checked(generator: Generator, labels: Tensor | None, count: int) -> Tensor | None:
    if not generator.conditional:
        if labels is not None:
            raise IncompatibleError("this generator takes no labels", fix="leave the label out")
        return None
    if labels is None:
        return default_labels(generator, count)
    classes = generator.image.num_classes or 0
    wrong = [int(label) for label in sorted(set(labels.tolist())) if not 0 <= int(label) < classes]
    if wrong:
        raise IncompatibleError(f"no label {wrong[0]}; there are {classes} classes, 0 to {classes - 1}")
    return labels
