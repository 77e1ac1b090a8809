"""What ganforge asks of any generator and discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ganforge import ImageSpec
from ganforge.testing import check_component, parametrize_components

SMALL = {"base_channels": 4}


@parametrize_components("ganforge-resnet", options={"generator/resnet": SMALL, "discriminator/resnet": SMALL})
def test_conforms(check: Callable[[], None]) -> None:
    """At 1×28×28, without classes, each check passes."""
    check()


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
@pytest.mark.parametrize("image", [None, ImageSpec(3, 32, 32, 5)])
def test_conforms_by_class(kind: Literal["generator", "discriminator"], image: ImageSpec | None) -> None:
    """By class every check applies and passes, in colour too."""
    report = check_component(kind, "resnet", options={**SMALL, "conditional": True, "spectral_norm": True}, image=image)
    report.raise_for_failures()
    assert not report.skipped
