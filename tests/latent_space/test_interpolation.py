"""Paths and grids between points of a latent space."""

from __future__ import annotations

import pytest
import torch

from ganforge.errors import IncompatibleError, UsageError
from ganforge.latent_space.interpolation import Method, frames, interpolate, interpolate_grid
from ganforge.runs.latents import Latents


def points(count: int, condition: torch.Tensor | None = None) -> Latents:
    """Return random points in z."""
    return Latents(torch.randn(count, 8, generator=torch.Generator().manual_seed(count)), condition=condition)


def test_paths_pass_through_their_points() -> None:
    """Each segment begins at a point and ends at the next; a loop returns to the first."""
    ends = points(3)
    methods: tuple[Method, ...] = ("linear", "spherical")
    for method in methods:
        path = interpolate(ends, 5, method=method).values.view(2, 5, 8)
        torch.testing.assert_close(path[:, 0], ends.values[:2])
        torch.testing.assert_close(path[:, -1], ends.values[1:])
    loop = interpolate(ends, 5, loop=True).values
    assert len(loop) == 15
    torch.testing.assert_close(loop[-1], ends.values[0])


def test_spherical_paths_keep_the_norm() -> None:
    """Points of one norm have a path of this norm; the straight line between them is shorter."""
    ends = points(2)
    ends = ends.moved(3 * torch.nn.functional.normalize(ends.values))
    spherical = interpolate(ends, 7).values.norm(dim=1)
    torch.testing.assert_close(spherical, torch.full((7,), 3.0))
    assert float(interpolate(ends, 7, method="linear").values.norm(dim=1).min()) < 2.9


def test_paths_in_w_are_straight() -> None:
    """In w, of any shape, the default is linear: equal steps."""
    w = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    path = interpolate(Latents(w, "w"), 4).values
    torch.testing.assert_close(path.diff(dim=0), ((w[1] - w[0]) / 3).expand(3, 3, 4))


def test_animations_show_each_point_once() -> None:
    """The frames of a path have no repeated points, and a loop ends before its first one."""
    ends = points(3)
    path, loop = interpolate(ends, 4), interpolate(ends, 4, loop=True)
    assert torch.equal(frames(path, 4).values, path.values[[0, 1, 2, 4, 5, 6, 7]])
    assert torch.equal(frames(loop, 4, loop=True).values, loop.values[[0, 1, 2, 4, 5, 6, 8, 9, 10]])


def test_grids_have_the_points_as_corners() -> None:
    """The four points are the corners; for a linear method every row and column is straight."""
    corners = points(4)
    grid = interpolate_grid(corners, 5, method="linear").values.view(5, 5, 8)
    torch.testing.assert_close(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners.values)
    for axis in (0, 1):
        torch.testing.assert_close(
            grid.diff(n=2, dim=axis), torch.zeros_like(grid.diff(n=2, dim=axis)), atol=1e-6, rtol=0
        )
    with pytest.raises(UsageError, match="four points"):
        interpolate_grid(points(3), 5)


def test_conditions_on_a_path() -> None:
    """Vectors are interpolated; one class stays; other classes are refused in z, and change in the middle in w."""
    vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    path = interpolate(points(2, condition=vectors), 5)
    torch.testing.assert_close(path.condition, torch.stack([torch.linspace(0, 1, 5), torch.linspace(1, 0, 5)], 1))
    same = interpolate(points(2, condition=torch.tensor([4, 4])), 3)
    assert same.condition is not None
    assert same.condition.tolist() == [4, 4, 4]
    classes = points(2, condition=torch.tensor([4, 5]))
    with pytest.raises(IncompatibleError, match="classes cannot be interpolated"):
        interpolate(classes, 3)
    changed = interpolate(Latents(classes.values, "w", classes.condition), 4)
    assert changed.condition is not None
    assert changed.condition.tolist() == [4, 4, 5, 5]


def test_one_point_or_one_step_is_not_a_path() -> None:
    """Both are refused."""
    for count, steps in ((1, 5), (2, 1)):
        with pytest.raises(UsageError, match="two points and two steps"):
            interpolate(points(count), steps)
