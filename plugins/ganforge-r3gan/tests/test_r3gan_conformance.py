"""Both networks keep what their interfaces promise, with labels and without."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganforge.testing import check_component, parametrize_components

SMALL = {"base_channels": 8, "group_width": 4}


@parametrize_components("ganforge-r3gan", options={"generator/r3gan": SMALL, "discriminator/r3gan": SMALL})
def test_conforms(check: Callable[[], None]) -> None:
    """Each check of the kit, without labels."""
    check()


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_conforms_with_labels(kind: str) -> None:
    """All checks of the kit, with labels."""
    check_component(kind, "ganforge-r3gan/r3gan", options=SMALL | {"conditional": True}).raise_for_failures()
