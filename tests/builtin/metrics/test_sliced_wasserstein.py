"""Sliced Wasserstein distance: shifts, equal counts, batches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganforge.builtin.metrics.sliced_wasserstein import SlicedWasserstein
from ganforge.errors import DataError
from tests.helpers.metric_contexts import GivenContext, scores


def distance(real: Tensor, fake: Tensor, *, batch_size: int = 7, **options: object) -> float:
    """Return the score of images, `(N, C, H, W)` uint8."""
    context = GivenContext({"real": real, "fake": fake}, {}, seed=2, batch_size=batch_size)
    return scores(SlicedWasserstein, context, **options)["sliced-wasserstein"]


def images(count: int) -> Tensor:
    """Return noise below 200, `(N, 1, 4, 4)` uint8."""
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 200, (count, 1, 4, 4), generator=rng, dtype=torch.uint8)


def test_sliced_wasserstein_of_a_shift_is_its_length() -> None:
    """For a shift by v, every projection moves by ⟨θ, v⟩, so that the score is |v| on average over directions."""
    real = images(500)
    assert distance(real, real.flip(0), directions=4000, batch_size=500) == 0
    assert distance(real, real.flip(0), directions=4000) < 1e-7  # products of other batches round differently
    shifted = distance(real, real + 51, directions=4000)
    assert math.isclose(shifted, 0.2 * 4, rel_tol=0.05)  # |v| = 51/255 · √16


def test_sliced_wasserstein_is_the_plain_formula() -> None:
    """Projected batch by batch it is the formula over all images at once."""
    real, fake = images(100), images(200)[100:]
    theta = torch.randn(16, 32, generator=torch.Generator().manual_seed(2))
    theta /= theta.norm(dim=0)
    one, other = ((pixels.flatten(1) / 255 @ theta).sort(dim=0).values for pixels in (real, fake))
    expected = float(((one - other).square().mean() * 16).sqrt())
    assert distance(real, fake, directions=32) == pytest.approx(expected, rel=1e-5)


def test_sliced_wasserstein_refuses_too_few_real_images() -> None:
    """It compares equal counts."""
    with pytest.raises(DataError, match="4 fakes, but 3 real"):
        distance(images(4)[:3], images(4))
