"""Helpers that checks of several kinds of components share."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, GeneratorOutput
from ganforge.testing.checks import require
from ganforge.testing.fixture import Fixture


def near(actual: Tensor, expected: Tensor) -> bool:
    """Return whether two tensors are equal within rounding."""
    return actual.shape == expected.shape and torch.allclose(actual, expected, rtol=1e-4, atol=1e-5)


def require_finite(values: Tensor, subject: str) -> None:
    """Raise CheckFailed unless all numbers are finite; the subject has its verb, such as "its images are"."""
    require(bool(values.isfinite().all()), f"{subject} not finite")


@contextmanager
def unchanged(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Raise CheckFailed if a tensor is changed in place within the block."""
    before = {name: values.detach().clone() for name, values in tensors.items()}
    yield
    for name, values in tensors.items():
        require(torch.equal(before[name], values), f"it changes {name} in place")


def tensors_of(output: Any) -> dict[str, Tensor]:  # noqa: ANN401 - what a network returned
    """Return all tensors of a network's output except the condition, by name."""
    if isinstance(output, DiscriminatorOutput):
        classes = {} if output.class_logits is None else {"class_logits": output.class_logits}
        features = {f"features[{number}]": values for number, values in enumerate(output.features)}
        return {"logits": output.logits, **classes, **features}
    output = GeneratorOutput.of(output)
    levels = () if output.discriminator_input is None else output.discriminator_input
    levels = (levels,) if isinstance(levels, Tensor) else levels
    named = {"images": output.images} | {f"features[{name!r}]": values for name, values in output.features.items()}
    return named | {f"discriminator_input[{number}]": level for number, level in enumerate(levels)}


def weighted(values: Tensor) -> Tensor:
    """Return a sum with another weight for each number, `()`: a plain sum after batch norm has no gradient."""
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (values * weights.to(torch.promote_types(values.dtype, torch.float32))).sum()


def slope_of(values: Tensor, given: Tensor, reason: str) -> Tensor:
    """Return the gradient of a weighted sum at an input. Raises CheckFailed with the reason if it is zero."""
    (slope,) = torch.autograd.grad(weighted(values), given, allow_unused=True) if values.requires_grad else (None,)
    slope = torch.zeros_like(given) if slope is None else slope
    require(bool((slope != 0).any()), reason)
    require_finite(slope, "the gradient at its input is")
    return slope


def twins(fixture: Fixture, component: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any module
    """Yield modules that must behave as a component: one of another seed with its state, and its deep copy."""
    loaded = fixture.make(1).train(component.training)
    loaded.load_state_dict(component.state_dict())
    yield "loaded from its state dict", loaded
    yield "copied deeply", copy.deepcopy(component)
