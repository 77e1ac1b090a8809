"""Conformance kit for both networks, with and without classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from ganforge import ConditionSpec, ImageSpec
from ganforge.testing import check_component, parametrize_components

SMALL = {"base_channels": 4}
#: Checks of abilities that the networks do not have.
ABSENT = {
    *("generator-output", "style-and-synthesis", "sampling-options", "prepare-sampling", "discriminator-input"),
    *("frozen-networks", "stage-key"),
}


@parametrize_components("ganforge-resnet", options={"generator/resnet": SMALL, "discriminator/resnet": SMALL})
def test_conforms(check: Callable[[], None]) -> None:
    """At 1×28×28 without classes, each check passes."""
    check()


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
@pytest.mark.parametrize("image", [None, ImageSpec(3, 32, 32, ConditionSpec.classes(5))])
def test_conforms_by_class(kind: Literal["generator", "discriminator"], image: ImageSpec | None) -> None:
    """With classes every check of what the networks have applies and passes, also for color images."""
    report = check_component(kind, "resnet", options={**SMALL, "conditional": True, "spectral_norm": True}, image=image)
    report.raise_for_failures()
    assert "condition-matters" in report.passed
    assert report.skipped.keys() <= ABSENT
