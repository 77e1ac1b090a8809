"""Geometric transformations of ADA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ganforge_augment.geometry import inverse, mirrored, move
from ganforge_augment.resample import resample
from ganforge_augment.transforms import AMOUNTS
from torch import Tensor
from torch.nn.functional import grid_sample


def amounts(count: int = 1, dtype: torch.dtype = torch.float32, **nonzero: object) -> dict[str, Tensor]:
    """Return amounts for each image, 0 unless named."""
    zeros = {name: torch.zeros(count, amount.columns, dtype=dtype) for name, amount in AMOUNTS.items()}
    for name, value in nonzero.items():
        zeros[name] = torch.as_tensor(value, dtype=dtype).reshape(-1, AMOUNTS[name].columns).expand_as(zeros[name])
    return zeros


def moved(images: Tensor, **nonzero: object) -> Tensor:
    """Return images moved by equal amounts."""
    height, width = images.shape[2:]
    return move(images, *inverse(amounts(len(images), images.dtype, **nonzero), height, width))


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random images, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("size", [(28, 28), (5, 9), (1, 1), (1, 7), (301, 2)])
def test_amounts_of_0_are_the_identity_to_the_bit(size: tuple[int, int]) -> None:
    """Amounts of 0 change nothing: no rounding anywhere."""
    images = noise(2, 3, *size)
    assert torch.equal(moved(images), images)


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_those_of_rot90(side: int, turns: int) -> None:
    """A square image turned by quarters is torch.rot90 of it, to the bit, for even and odd sides."""
    images = noise(2, 3, side, side)
    assert torch.equal(moved(images, rotate90=turns), torch.rot90(images, turns, (2, 3)))


@pytest.mark.parametrize("name", ["rotate_before", "rotate_after"])
def test_a_rotation_by_90_degrees_is_a_quarter_turn(name: str) -> None:
    """Rotations by any angle have the same direction as quarter turns."""
    images = noise(1, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(moved(images, **{name: np.pi / 2}), torch.rot90(images, 1, (2, 3)))


def test_a_flip_mirrors_left_and_right() -> None:
    """A flip is torch.flip of the columns, to the bit."""
    images = noise(2, 3, 6, 9)
    assert torch.equal(moved(images, xflip=1), images.flip(3))


def test_a_whole_shift_moves_a_point_by_its_pixels() -> None:
    """An eighth of 32 columns and minus a sixteenth of 16 rows are 4 to the right and 1 up, and nothing blurs."""
    images = torch.zeros(1, 1, 16, 32)
    images[0, 0, 8, 10] = 1
    changed = moved(images, xint=(1 / 8, -1 / 16))
    assert changed.nonzero().tolist() == [[0, 0, 7, 14]]
    assert changed.max() == 1


def test_whole_shifts_are_rounded_to_pixels() -> None:
    """A shift of 0.1 · 28 = 2.8 columns is one of 3; the same shift in parts of pixels interpolates two."""
    images = torch.zeros(1, 1, 28, 28)
    images[0, 0, 14, 14] = 1
    assert moved(images, xint=(0.1, 0)).nonzero().tolist() == [[0, 0, 14, 17]]
    row = moved(images, xfrac=(0.1, 0))[0, 0, 14]
    torch.testing.assert_close(row[15:19], torch.tensor([0, 0.2, 0.8, 0]), atol=1e-5, rtol=0)


def test_scaling_magnifies() -> None:
    """A scale of 1 doubles the size: distances of one pixel to the center become two pixels."""
    images = noise(1, 1, 9, 9)
    changed = moved(images, scale=1)
    torch.testing.assert_close(changed[..., ::2, ::2], images[..., 2:7, 2:7])


def test_stretching_keeps_the_area() -> None:
    """A stretch of 1 doubles the width and halves the height."""
    x, y = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="xy")
    changed = moved(torch.stack([x, y])[None], aniso=1)[0]
    torch.testing.assert_close(changed[0], x / 2)
    torch.testing.assert_close(changed[1, 2:7], y[2:7] * 2)


def test_inverse_is_the_inverse_of_all_matrices_in_their_order() -> None:
    """The map is numpy's inverse of the product of 3×3 matrices, one per transformation."""
    height, width = 20, 32
    values: dict[str, Any] = {
        "xflip": 1,
        "rotate90": 3,
        "xint": (0.11, -0.07),
        "scale": 0.3,
        "rotate_before": 0.7,
        "aniso": -0.4,
        "rotate_after": -1.9,
        "xfrac": (0.2, 0.05),
    }

    def turn(angle: float) -> np.ndarray[Any, np.dtype[np.float64]]:  # counterclockwise, with y down
        sine, cosine = np.sin(angle), np.cos(angle)
        return np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])

    def shift(x: float, y: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])

    forward = np.eye(3)
    for factor in (
        np.diag([-1, 1, 1]),
        turn(3 * np.pi / 2),
        shift(round(0.11 * width), round(-0.07 * height)),
        np.diag([2**0.3, 2**0.3, 1]),
        turn(0.7),
        np.diag([2**-0.4, 2**0.4, 1]),
        turn(-1.9),
        shift(0.2 * width, 0.05 * height),
    ):
        forward = factor @ forward
    matrix, offset = inverse(amounts(dtype=torch.float64, **values), height, width)
    expected = np.linalg.inv(forward)
    np.testing.assert_allclose(matrix[0].numpy(), expected[:2, :2], atol=1e-12)
    np.testing.assert_allclose(offset[0].numpy(), expected[:2, 2], atol=1e-12)


def test_pixels_are_interpolated_as_by_grid_sample() -> None:
    """For random maps, far beyond the edges too, torch's grid_sample with reflection agrees."""
    images = noise(6, 3, 7, 10, dtype=torch.float64)
    rng = torch.Generator().manual_seed(2)
    matrix = torch.randn(6, 2, 2, generator=rng, dtype=torch.float64) * 2
    offset = torch.randn(6, 2, generator=rng, dtype=torch.float64) * 10
    y, x = torch.meshgrid(torch.arange(7) - 3.0, torch.arange(10) - 4.5, indexing="ij")
    points = torch.stack([x, y], -1).to(torch.float64)
    sources = torch.einsum("nij,hwj->nhwi", matrix, points) + offset[:, None, None]
    grid = sources / torch.tensor([4.5, 3.0], dtype=torch.float64)
    expected = grid_sample(images, grid, padding_mode="reflection", align_corners=True)
    torch.testing.assert_close(move(images, matrix, offset), expected)


def test_each_image_moves_by_its_own_map() -> None:
    """Images of a batch move as they do alone."""
    images = noise(4, 2, 8, 8)
    drawn = amounts(4, rotate_before=[[0.1], [0.5], [0.0], [2.0]], xint=[(0.1, 0), (0, 0), (0.1, 0.1), (-0.1, 0.05)])
    together = move(images, *inverse(drawn, 8, 8))
    for number in range(4):
        alone = {name: value[number : number + 1] for name, value in drawn.items()}
        one = move(images[number : number + 1], *inverse(alone, 8, 8))
        assert torch.equal(one[0], together[number])


def test_places_beyond_an_edge_are_mirrored() -> None:
    """The edge is not repeated, and mirror images continue forever; a single pixel mirrors itself."""
    assert mirrored(torch.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(torch.arange(-2, 3), 1).tolist() == [0] * 5


def slope(rows: Tensor, columns: Tensor, weights: Tensor, back: Tensor) -> Tensor:
    """Return the gradient of a 1×1×4×4 image."""
    images = torch.zeros(1, 1, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(resample(images, rows, columns, weights), images, back)
    return gradient


def test_gradients_do_not_depend_on_the_order_of_summing() -> None:
    """A thousand numbers of all sizes, added in sixteen pixels, have the same sum in any order, to the bit."""
    rng = torch.Generator().manual_seed(3)
    rows, columns = (torch.randint(4, (2, 1, 1, 1000), generator=rng) for _ in range(2))
    weights = torch.rand(2, 1, 1, 1000, generator=rng)
    back = torch.randn(1, 1, 1, 1000, generator=rng) * 10 ** (4 * torch.rand(1000, generator=rng))
    gradient = slope(rows, columns, weights, back)
    for _ in range(5):
        order = torch.randperm(1000, generator=rng)
        other = slope(rows[..., order], columns[..., order], weights[..., order], back[..., order])
        assert torch.equal(other, gradient)
    exact = torch.zeros(16, dtype=torch.float64)
    exact.index_add_(0, (rows * 4 + columns).flatten(), (weights * back).double().flatten())
    torch.testing.assert_close(gradient.flatten().double(), exact, rtol=1e-5, atol=0.01)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_gradient_that_is_not_finite_stays_so(bad: float) -> None:
    """A diverging run stays visible: whole numbers do not hide NaN and infinity."""
    back = torch.ones(1, 1, 4, 4)
    back[0, 0, 1, 2] = bad
    places = torch.arange(4)
    rows, columns = (grid[None, None] for grid in torch.meshgrid(places, places, indexing="ij"))
    assert not slope(rows, columns, torch.ones(1, 1, 4, 4), back)[0, 0, 1, 2].isfinite()


def test_a_gradient_of_0_stays_0() -> None:
    """If all numbers are 0, there is no division by the largest."""
    rows = torch.zeros(1, 1, 4, 4, dtype=torch.int64)
    assert torch.equal(slope(rows, rows, torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)), torch.zeros(1, 1, 4, 4))
