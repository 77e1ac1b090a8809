"""Edits of latents: traversals of dimensions and fields, arithmetic, truncation, mixing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ganforge.errors import UsageError
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents, concatenate
from ganforge.utils.images import grid
from ganforge.utils.suggest import did_you_mean

#: Latents that ranges and means are estimated from.
NUM_SAMPLES = 4096
#: A term of an expression: sign, factor and point.
FACTOR = re.compile(r"(?P<factor>\d+(?:\.\d+)?)\*(?P<point>.+)", re.DOTALL)


def field_dimensions(space: LatentSpace, name: str) -> list[int]:
    """Return the dimensions of a named field of z. Raises UsageError for an unknown name."""
    fields = space.loaded.latent.fields
    if name not in fields:
        known = did_you_mean(name, fields) or "; the latent distribution of this run has none"
        raise UsageError(f"no field {name!r}{known}")
    return list(range(*fields[name].indices(space.generator.latent_dim)))


def is_category(drawn: Tensor) -> bool:
    """Return whether dimensions of drawn latents, `(N, K)`, are one-hot together."""
    return drawn.shape[1] > 1 and bool(((drawn == 0) | (drawn == 1)).all() & (drawn.sum(1) == 1).all())


def traverse_dimensions(
    space: LatentSpace, point: Latents, dimensions: Sequence[int], steps: int, *, extent: float = 3.0, seed: int = 0
) -> tuple[Latents, int]:
    """Return latents that differ from a point in one dimension each, and the number of images of a row.

    A dimension passes from -`extent` to `extent` standard deviations around its mean, within the range of drawn
    latents. Dimensions that are one-hot together, such as a category, are one row with a column for each.

    Args:
        space: The latent space.
        point: One latent.
        dimensions: Dimensions of the flat latent.
        steps: Images of a row.
        extent: Standard deviations on both sides.
        seed: Seed of the drawn latents.

    Raises:
        UsageError: A dimension does not exist.
    """
    values = point.values.flatten(1)
    invalid = [index for index in dimensions if index >= values.shape[1]]
    if invalid or not dimensions:
        raise UsageError(f"no dimension {[*invalid, ''][0]}; there are {values.shape[1]}, from 0")
    drawn = space.to_space(space.draw(NUM_SAMPLES, seed), point.space).values.flatten(1)[:, dimensions]
    if is_category(drawn):
        rows = values.repeat(len(dimensions), 1)
        rows[:, dimensions] = torch.eye(len(dimensions))
        steps = len(dimensions)
    else:
        mean, deviation = drawn.mean(0), extent * drawn.std(0)
        low, high = torch.maximum(mean - deviation, drawn.amin(0)), torch.minimum(mean + deviation, drawn.amax(0))
        rows = values.repeat(len(dimensions) * steps, 1)
        for row, index in enumerate(dimensions):
            part = slice(row * steps, (row + 1) * steps)
            rows[part, index] = torch.linspace(float(low[row]), float(high[row]), steps)
    moved = rows.view(-1, *point.values.shape[1:])
    return point[[0] * len(moved)].moved(moved), steps


def parse_expression(text: str) -> list[tuple[float, str]]:
    """Return the factors and points of `class:7 - class:1 + 0.5*0:3`; signs stand between spaces. Raises UsageError."""
    words = text.split()
    terms: list[tuple[float, str]] = []
    signs = {"+": 1.0, "-": -1.0}
    for number, word in enumerate(words):
        if (number % 2 == 1) != (word in signs):
            raise UsageError(f"invalid expression {text!r}", fix='write "class:7 - class:1 + 0:3", with spaces')
        if word in signs:
            continue
        match = FACTOR.fullmatch(word)
        factor = float(match["factor"]) if match else 1.0
        sign = signs[words[number - 1]] if number else 1.0
        terms.append((sign * factor, match["point"] if match else word))
    if not terms or len(words) % 2 == 0:
        raise UsageError(f"invalid expression {text!r}", fix='write "class:7 - class:1 + 0:3", with spaces')
    return terms


def combine(factors: Sequence[float], terms: Sequence[Latents]) -> Latents:
    """Return each term's mean, and their weighted sum, with the condition of the last term, as last latent."""
    means = [term if len(term) == 1 else term[:1].moved(term.values.mean(0, keepdim=True)) for term in terms]
    weights = torch.tensor(factors).view(-1, *[1] * (means[0].values.ndim - 1))
    total = (weights * torch.cat([mean.values for mean in means])).sum(0, keepdim=True)
    return concatenate([*means, means[-1].moved(total)])


def truncate(space: LatentSpace, points: Latents, factors: Sequence[float], *, seed: int = 0) -> Latents:
    """Return each point at each factor, mean + factor · (point - mean), row by row (Karras et al. 2019, section B).

    The mean is that of drawn latents in the points' space, with the conditions of the points.

    Args:
        space: The latent space.
        points: N points.
        factors: K factors; 1 is the point, 0 the mean.
        seed: Seed of the drawn latents.
    """
    drawn = space.conditioned(space.draw(NUM_SAMPLES, seed), points.condition)
    mean = space.to_space(drawn, points.space).values.double().mean(0)
    repeated = points[torch.arange(len(points)).repeat_interleave(len(factors))]
    psi = torch.tensor(factors, dtype=torch.float64).repeat(len(points)).view(-1, *[1] * mean.ndim)
    return repeated.moved((mean + psi * (repeated.values.double() - mean)).float())


def mix(rows: Latents, columns: Latents, part: Sequence[int]) -> Latents:
    """Return every row with every column's entries of the second axis: layers of w, or dimensions of flat latents.

    Args:
        rows: R latents.
        columns: C latents of the same space.
        part: Indices of the second axis that come from the columns.

    Returns:
        R · C latents, row by row, with the conditions of the rows.

    Raises:
        UsageError: An index does not exist.
    """
    size = rows.values.shape[1]
    if not part or max(part) >= size:
        raise UsageError(f"layers and dimensions of these latents are 0 to {size - 1}")
    left = rows[torch.arange(len(rows)).repeat_interleave(len(columns))]
    right = columns[torch.arange(len(columns)).repeat(len(rows))]
    values = left.values.clone()
    values[:, list(part)] = right.values[:, list(part)]
    return replace(left, values=values, seeds=None)


def mixing_picture(space: LatentSpace, rows: Latents, columns: Latents, mixed: Latents) -> Tensor:
    """Return the images of `mix`, `(C, H, W)` uint8, to the right of those of the rows and below the columns'."""
    left, top, inner = (space.pictures(latents) for latents in (rows, columns, mixed))
    pictures = [torch.zeros_like(left[:1]), top]
    for index in range(len(rows)):
        pictures += [left[[index]], inner[index * len(columns) : (index + 1) * len(columns)]]
    return grid(torch.cat(pictures), len(columns) + 1)
