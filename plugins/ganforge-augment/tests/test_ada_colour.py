"""How ADA changes colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ganforge_augment.colour import recolour
from torch import Tensor

NAMES = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def amounts(count: int = 1, **given: float) -> dict[str, Tensor]:
    """Return amounts for each image that are 0 but for those given."""
    return {name: torch.full((count, 1), float(given.get(name, 0)), dtype=torch.float64) for name in NAMES}


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return random images, the same ones each time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_amounts_of_0_are_the_identity_to_the_bit(channels: int) -> None:
    """Nothing is drawn, nothing changes: no rounding anywhere."""
    images = noise(3, channels, 6, 7, dtype=torch.float32)
    none = {name: amount.float() for name, amount in amounts(3).items()}
    assert torch.equal(recolour(images, none), images)


def papers_matrix(given: dict[str, float]) -> np.ndarray:
    """Multiply the paper's homogeneous 4×4 matrices: translate, scale, reflect, rotate, and scale off the grey axis."""
    grey = np.array([1, 1, 1, 0]) / np.sqrt(3)
    onto = np.outer(grey, grey)
    result = np.eye(4)
    result[:3, 3] = given["brightness"]
    result = np.diag([2 ** given["contrast"]] * 3 + [1]) @ result
    result = (np.eye(4) - 2 * onto * given["lumaflip"]) @ result
    x, y, z = grey[:3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(4)
    theta = given["hue"]
    rotation[:3, :3] = np.eye(3) + np.sin(theta) * cross + (1 - np.cos(theta)) * cross @ cross
    result = rotation @ result
    return (onto + (np.eye(4) - onto) * 2 ** given["saturation"]) @ result


@pytest.mark.parametrize(
    "given",
    [
        {"brightness": 0.3},
        {"contrast": -0.7},
        {"lumaflip": 1},
        {"hue": 2.1},
        {"saturation": 1.3},
        {"brightness": -0.2, "contrast": 0.4, "lumaflip": 1, "hue": -1.2, "saturation": -0.8},
    ],
)
def test_it_is_the_product_of_the_papers_matrices(given: dict[str, float]) -> None:
    """For red, green and blue the formula is the product of 4×4 matrices; a grey image is its rows' mean."""
    matrix = papers_matrix(dict.fromkeys(NAMES, 0.0) | given)
    images = noise(2, 3, 4, 5)
    expected = np.einsum("ij,njhw->nihw", matrix[:3, :3], images.numpy()) + matrix[:3, 3][:, None, None]
    np.testing.assert_allclose(recolour(images, amounts(2, **given)).numpy(), expected, atol=1e-12)
    one = images[:, :1]
    row = matrix[:3].mean(0)
    np.testing.assert_allclose(recolour(one, amounts(2, **given)).numpy(), one.numpy() * row[:3].sum() + row[3])


def test_a_third_of_a_circle_of_hue_swaps_channels() -> None:
    """Turned by 120 degrees red becomes green, green blue, and blue red."""
    images = noise(1, 3, 4, 4)
    turned = recolour(images, amounts(hue=2 * np.pi / 3))
    torch.testing.assert_close(turned, images[:, [2, 0, 1]])


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channel_counts_have_grey_and_what_is_beyond(channels: int) -> None:
    """Without hue the mean of channels and the rest are scaled apart, whatever the count."""
    images = noise(1, channels, 3, 3)
    found = recolour(images, amounts(brightness=0.1, contrast=1, lumaflip=1, saturation=-1, hue=2.0))
    grey = images.mean(1, keepdim=True)
    torch.testing.assert_close(found, -2 * (grey + 0.1) + 2 * 0.5 * (images - grey))


def test_a_grey_image_of_three_channels_stays_grey() -> None:
    """Hue and saturation do nothing to what has no colour."""
    images = noise(1, 1, 4, 4).expand(1, 3, 4, 4)
    torch.testing.assert_close(recolour(images, amounts(hue=1.0, saturation=2.0)), images)
