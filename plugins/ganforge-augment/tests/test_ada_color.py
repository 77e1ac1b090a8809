"""Color changes of ADA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ganforge_augment.color import recolor
from torch import Tensor

NAMES = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def amounts(count: int = 1, **nonzero: float) -> dict[str, Tensor]:
    """Return amounts for each image, 0 unless named."""
    return {name: torch.full((count, 1), float(nonzero.get(name, 0)), dtype=torch.float64) for name in NAMES}


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return random images, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_amounts_of_0_are_the_identity_to_the_bit(channels: int) -> None:
    """Amounts of 0 change nothing: no rounding anywhere."""
    images = noise(3, channels, 6, 7, dtype=torch.float32)
    zeros = {name: amount.float() for name, amount in amounts(3).items()}
    assert torch.equal(recolor(images, zeros), images)


def papers_matrix(values: dict[str, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the product of the paper's homogeneous 4×4 matrices.

    In their order: translate, scale, reflect, rotate, and scale off the gray axis.
    """
    gray = np.array([1, 1, 1, 0]) / np.sqrt(3)
    onto = np.outer(gray, gray)
    result = np.eye(4)
    result[:3, 3] = values["brightness"]
    result = np.diag([2 ** values["contrast"]] * 3 + [1]) @ result
    result = (np.eye(4) - 2 * onto * values["lumaflip"]) @ result
    x, y, z = gray[:3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(4)
    theta = values["hue"]
    rotation[:3, :3] = np.eye(3) + np.sin(theta) * cross + (1 - np.cos(theta)) * cross @ cross
    result = rotation @ result
    product: np.ndarray[Any, np.dtype[np.float64]] = (onto + (np.eye(4) - onto) * 2 ** values["saturation"]) @ result
    return product


@pytest.mark.parametrize(
    "values",
    [
        {"brightness": 0.3},
        {"contrast": -0.7},
        {"lumaflip": 1},
        {"hue": 2.1},
        {"saturation": 1.3},
        {"brightness": -0.2, "contrast": 0.4, "lumaflip": 1, "hue": -1.2, "saturation": -0.8},
    ],
)
def test_recolor_is_the_product_of_the_papers_matrices(values: dict[str, float]) -> None:
    """For three channels the formula is the product of 4×4 matrices; for one channel it is the mean of their rows."""
    matrix = papers_matrix(dict.fromkeys(NAMES, 0.0) | values)
    images = noise(2, 3, 4, 5)
    expected = np.einsum("ij,njhw->nihw", matrix[:3, :3], images.numpy()) + matrix[:3, 3][:, None, None]
    np.testing.assert_allclose(recolor(images, amounts(2, **values)).numpy(), expected, atol=1e-12)
    one = images[:, :1]
    row = matrix[:3].mean(0)
    np.testing.assert_allclose(recolor(one, amounts(2, **values)).numpy(), one.numpy() * row[:3].sum() + row[3])


def test_a_third_of_a_circle_of_hue_exchanges_channels() -> None:
    """A rotation by 120 degrees turns red into green, green into blue, and blue into red."""
    images = noise(1, 3, 4, 4)
    turned = recolor(images, amounts(hue=2 * np.pi / 3))
    torch.testing.assert_close(turned, images[:, [2, 0, 1]])


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channel_counts_have_gray_and_a_distance_to_it(channels: int) -> None:
    """Without hue, the mean of the channels and the rest are scaled apart, for any number of channels."""
    images = noise(1, channels, 3, 3)
    changed = recolor(images, amounts(brightness=0.1, contrast=1, lumaflip=1, saturation=-1, hue=2.0))
    gray = images.mean(1, keepdim=True)
    torch.testing.assert_close(changed, -2 * (gray + 0.1) + 2 * 0.5 * (images - gray))


def test_a_gray_image_of_three_channels_stays_gray() -> None:
    """Hue and saturation have no effect on gray."""
    images = noise(1, 1, 4, 4).expand(1, 3, 4, 4)
    torch.testing.assert_close(recolor(images, amounts(hue=1.0, saturation=2.0)), images)
