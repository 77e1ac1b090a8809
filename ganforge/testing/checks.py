"""Checks of the conformance kit, one requirement of an interface each, and what they share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, GeneratorOutput
from ganforge.components.spec import KINDS, Kind
from ganforge.testing.fixture import Fixture

Examine = Callable[[Fixture], None]
#: Checks without which no update is possible.
UPDATES = (
    "image-shape generator-output logits-shape discriminator-input term-shape inputs-unchanged reweight-shape "
    "logs-numbers same-shape latents-shape"
)


class CheckFailed(Exception):  # noqa: N818 - a verdict, not an error
    """Verdict that a component does not meet a requirement, with the reason."""


class CheckSkipped(Exception):  # noqa: N818 - as above
    """Verdict that a check does not apply to a component, with the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement of an interface.

    Attributes:
        name: Name, such as `loss-shape`.
        kinds: Kinds of components that it applies to.
        requirement: The requirement in one or two sentences.
        fix: How to meet it.
        examine: Raises CheckFailed, CheckSkipped, or any exception of the component.
        needs: Checks without which this one is meaningless; it is not run if one of them fails.
    """

    name: str
    kinds: tuple[Kind, ...]
    requirement: str
    fix: str
    examine: Examine
    needs: tuple[str, ...] = ()


class Checks(list[Check]):
    """Checks of one module, in the order in which they run.

    Args:
        kinds: Kinds that they apply to.
        needs: Names of the checks that each of them needs, separated by spaces.
    """

    def __init__(self, *kinds: Kind, needs: str = "") -> None:
        self._kinds, self._needs = kinds, needs

    def add(self, fix: str, *, kinds: tuple[Kind, ...] = (), needs: str | None = None) -> Callable[[Examine], Examine]:
        """Add the decorated function: its name is that of the check, its docstring the requirement."""

        def register(examine: Examine) -> Examine:
            name = examine.__name__.replace("_", "-")
            requirement = " ".join((examine.__doc__ or "").split())
            names = self._needs if needs is None else needs
            self.append(Check(name, kinds or self._kinds or KINDS, requirement, fix, examine, tuple(names.split())))
            return examine

        return register


def require(condition: object, reason: str) -> None:
    """Raise CheckFailed with the reason unless the condition holds."""
    if not condition:
        raise CheckFailed(reason)


def skip(reason: str) -> NoReturn:
    """Raise CheckSkipped."""
    raise CheckSkipped(reason)


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
