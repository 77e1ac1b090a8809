"""Edits of latents: dimensions, fields, arithmetic, truncation, mixing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganforge.errors import UsageError
from ganforge.latent_space.editing import (
    combine,
    field_dimensions,
    mix,
    mixing_picture,
    parse_expression,
    traverse_dimensions,
    truncate,
)
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents
from tests.helpers.latent_spaces import train_one_step


def test_fields_are_traversed_by_their_values(tmp_path: Path) -> None:
    """A category has one row of its one-hot values, a uniform code stays in its range, a normal number in 3 σ."""
    space = LatentSpace(train_one_step(tmp_path / "run", "matrix", "latent=codes"))
    point = space.draw(1)
    category, columns = traverse_dimensions(space, point, field_dimensions(space, "category"), 9)
    assert columns == 3
    assert torch.equal(category.values[:, :3], torch.eye(3))
    assert torch.equal(category.values[:, 3:], point.values[:, 3:].expand(3, -1))
    code, columns = traverse_dimensions(space, point, field_dimensions(space, "code"), 9)
    assert columns == 9
    values = code.values[:, 3]
    assert -1 <= float(values[0]) < -0.99
    assert 0.99 < float(values[-1]) <= 1
    torch.testing.assert_close(values.diff(), values.diff()[:1].expand(8))
    two, _ = traverse_dimensions(space, point, [5, 4], 3)
    torch.testing.assert_close(two.values[:3, 5], torch.tensor([-3.0, 0.0, 3.0]), atol=0.15, rtol=0)
    assert torch.equal(two.values[:3, :5], point.values[:, :5].expand(3, -1))
    assert torch.equal(two.values[3:, 5], point.values[:, 5].expand(3))
    with pytest.raises(UsageError, match="no field 'codes'; did you mean 'code'"):
        field_dimensions(space, "codes")
    with pytest.raises(UsageError, match="no dimension 6; there are 6, from 0"):
        traverse_dimensions(space, point, [6], 3)


def test_expressions_are_sums_of_points() -> None:
    """Signs stand between points; factors before them; anything else is an error."""
    assert parse_expression("class:7 - class:1 + 0.5*a-b.npz") == [(1, "class:7"), (-1, "class:1"), (0.5, "a-b.npz")]
    assert parse_expression("7") == [(1, "7")]
    for text in ("", "+", "7 +", "7 7", "- 7", "7 + - 7"):
        with pytest.raises(UsageError, match="invalid expression"):
            parse_expression(text)


def test_sums_of_latents() -> None:
    """Each term is the mean of its latents; the last latent is the weighted sum, and has the last term's condition."""
    rng = torch.Generator().manual_seed(0)
    many, one = torch.randn(4, 3, generator=rng), torch.randn(1, 3, generator=rng)
    terms = [Latents(many, condition=torch.tensor([1, 1, 1, 1])), Latents(one, condition=torch.tensor([2]))]
    combined = combine([2.0, -1.0], terms)
    expected = torch.stack([many.mean(0), one[0], 2 * many.mean(0) - one[0]])
    torch.testing.assert_close(combined.values, expected)
    assert combined.condition is not None
    assert combined.condition.tolist() == [1, 2, 2]


def test_truncation_moves_towards_the_mean(tmp_path: Path) -> None:
    """Factor 1 is the point, 0 the mean w, which all points share, and 0.5 lies between; so in z around 0."""
    space = LatentSpace(train_one_step(tmp_path / "run", "layered"))
    points = space.to_space(space.draw(2), "w")
    rows = truncate(space, points, [0, 0.5, 1]).values.view(2, 3, 3, 5)
    torch.testing.assert_close(rows[:, 2], points.values)
    torch.testing.assert_close(rows[0, 0], rows[1, 0])
    torch.testing.assert_close(rows[:, 1], (rows[:, 0] + rows[:, 2]) / 2)
    bias = space.generator.mapping.bias.expand(3, 5)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(rows[0, 0], bias, atol=0.05, rtol=0)
    z = truncate(space, space.draw(1), [0]).values
    torch.testing.assert_close(z, torch.zeros(1, 6), atol=0.06, rtol=0)


def test_mixing_takes_layers_from_columns(tmp_path: Path) -> None:
    """Chosen layers are the column's, all others the row's; the picture has the sources as its edges."""
    space = LatentSpace(train_one_step(tmp_path / "run", "layered"))
    latents = space.to_space(space.draw(5), "w")
    rows, columns = latents[[0, 1]], latents[[2, 3, 4]]
    mixed = mix(rows, columns, [0, 2])
    assert len(mixed) == 6
    for index, latent in enumerate(mixed.values):
        assert torch.equal(latent[1], rows.values[index // 3, 1])
        assert torch.equal(latent[[0, 2]], columns.values[index % 3][[0, 2]])
    picture = mixing_picture(space, rows, columns, mixed)
    assert tuple(picture.shape) == (1, 3 * 30 + 2, 4 * 30 + 2)
    assert not bool(picture[:, :30, :30].any())
    assert torch.equal(picture[:, 2:30, 32:60], space.pictures(columns)[0])
    with pytest.raises(UsageError, match="are 0 to 2"):
        mix(rows, columns, [3])
