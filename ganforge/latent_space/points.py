"""Points of a latent space as the command line names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from ganforge.components import Space
from ganforge.errors import UsageError
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import MAX_SEED, Latents, concatenate

SEED = re.compile(r"(?P<seed>\d+)(?::(?P<number>\d+))?")
FILE = re.compile(r"(?P<path>.+\.npz)(?::(?P<number>\d+))?", re.IGNORECASE | re.DOTALL)
#: Largest number of a latent among those of a seed, since all before it are drawn.
MAX_NUMBER = 99_999
FORMS = "write SEED, SEED:NUMBER, FILE.npz or FILE.npz:NUMBER"


def read_points(
    texts: Iterable[str], latent_space: LatentSpace, space: Space, condition: Tensor | None = None
) -> Latents:
    """Return the points of the command line in a space.

    Args:
        texts: `SEED`, the first latent of a seed; `SEED:NUMBER`, that of an image of `sample --seed SEED`, counted from
            0; `FILE.npz`, all latents of a file; `FILE.npz:NUMBER`, one of them.
        latent_space: The latent space.
        space: Space of the result.
        condition: Conditions that the points take in turns, `(N, …)`; those of files, or the default one, by default.

    Raises:
        UsageError: A text is not a point, or its file cannot be read or does not fit.
    """
    points: list[Latents] = []
    for text in texts:
        part, done = read_point(text, latent_space), sum(map(len, points))
        if condition is not None:
            turns = torch.arange(done, done + len(part)) % len(condition)
            part = latent_space.conditioned(part, condition[turns])
        points.append(latent_space.to_space(part, space))
    return concatenate(points)


def read_point(text: str, latent_space: LatentSpace) -> Latents:
    """Return the latents of one text; see `read_points`."""
    if match := SEED.fullmatch(text):
        seed, number = int(match["seed"]), int(match["number"] or 0)
        if seed > MAX_SEED or number > MAX_NUMBER:
            raise UsageError(f"invalid point {text!r}: the largest seed is {MAX_SEED}, the largest number {MAX_NUMBER}")
        return latent_space.draw(number + 1, seed)[[number]]
    if match := FILE.fullmatch(text):
        latents = Latents.load(Path(match["path"]))
        if match["number"] is None:
            return latents
        number = int(match["number"])
        if number >= len(latents):
            raise UsageError(f"{match['path']} has no latent {number}; it has {len(latents):,}, from 0")
        return latents[[number]]
    raise UsageError(f"invalid point {text!r}", fix=FORMS)
