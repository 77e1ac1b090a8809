"""Conformance kit for both augmentations, with ADA active from the start."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.testing import parametrize_components


@parametrize_components(
    "ganforge-augment", options={"augmentation/ada": {"initial": 0.5, "ramp_images": 400, "interval": 3}}
)
def test_conforms(check: Callable[[], None]) -> None:
    """Both keep the promises of their interface: they train, and resume exactly while p moves."""
    check()
