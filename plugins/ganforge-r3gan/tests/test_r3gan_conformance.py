"""Conformance kit for both networks, with and without classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ganforge.testing import check_component, parametrize_components

SMALL = {"base_channels": 8, "group_width": 4}


@parametrize_components("ganforge-r3gan", options={"generator/r3gan": SMALL, "discriminator/r3gan": SMALL})
def test_conforms(check: Callable[[], None]) -> None:
    """Without classes, each check passes."""
    check()


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_conforms_with_classes(kind: Literal["generator", "discriminator"]) -> None:
    """With classes, all checks pass."""
    check_component(kind, "ganforge-r3gan/r3gan", options=SMALL | {"conditional": True}).raise_for_failures()
