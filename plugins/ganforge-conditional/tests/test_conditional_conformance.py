"""Conformance kit for all components of this plugin."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.testing import parametrize_components

SMALL = {"base_channels": 8}


@parametrize_components(
    "ganforge-conditional",
    options={
        "generator/conditional-dcgan": SMALL,
        "discriminator/conditional-dcgan": SMALL,
        "discriminator/ac-dcgan": SMALL,
    },
)
def test_conforms(check: Callable[[], None]) -> None:
    """Each component keeps the promises of its interface."""
    check()
