"""Every component of this plugin keeps what its interface promises."""

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
    """The kit finds nothing that is missing."""
    check()
