"""Checks that gradients and values are those of the images and weights, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ganforge.data.loader import Batch
from ganforge.testing.checks import UPDATES, Checks, require, tensors_of, weighted
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness

checks = Checks("loss", "term", "augmentation")
DIRECTIONS = 3
#: Distance of finite differences, and tolerance, by precision.
DISTANCES = {torch.float64: (1e-6, 1e-3), torch.float32: (1e-2, 5e-2)}
#: Change of images that only a comparison of pixels notices, and tolerance of what follows from it.
TINY, NEAR = 1e-5, (0.05, 1e-3)

#: Name, function of weights and inputs, and the tensors that it is differentiated by.
Differentiable = tuple[str, Callable[[], Tensor], list[Tensor]]
#: Name, function of images, and images that it has not seen.
OfImages = tuple[str, Callable[[Tensor], Tensor], Tensor]


@checks.add(
    "write the term in the loss that has this gradient, instead of an autograd function or hook that adds it",
    kinds=("generator", "discriminator", "loss", "term", "augmentation"),
    needs=f"{UPDATES} same-answer-in-eval",
)
def gradients_agree(fixture: Fixture) -> None:
    """Gradients that pass own autograd functions or hooks agree with finite differences; forward sets none itself."""
    custom: set[str] = set()
    harness = Harness(fixture).evaluation_mode()
    weights = {
        f"{slot}.{name}": weight
        for slot, module in harness.modules.items()
        for name, weight in module.named_parameters()
    }
    for _, function, _ in _functions(harness):
        custom |= _custom_gradients(function, harness.component)
        touched = next((name for name, weight in weights.items() if weight.grad is not None), None)
        require(touched is None, f"it computes the gradient of {touched} in forward: the engine does")
    if not custom:
        return
    through = f"the gradient through {', '.join(sorted(custom))}"
    try:
        for what, function, tensors in _functions(Harness(fixture).double().evaluation_mode()):
            _compare(function, tensors, f"{what} {through}", torch.float64)
    except RuntimeError:  # it does not work in float64
        for what, function, tensors in _functions(harness):
            _compare(function, tensors, f"{what} {through}", torch.float32)


def _functions(harness: Harness) -> Iterator[Differentiable]:
    """Yield the functions of the component that have gradients."""
    component, kind = harness.component, harness.fixture.kind
    if kind in {"loss", "term"}:
        for phase in component.phases:
            with harness.training(phase) as weights:
                yield f"in phase {phase}", partial(_mean_in, harness, phase), [*weights.values()]
        return
    step = harness.step("gen")
    if kind == "augmentation":
        images = step.fake.detach().requires_grad_()
        parameters = component.sample_parameters(images, step, real=False)
        yield "at the images", lambda: weighted(component(images, parameters)), [images]
        return
    given = (step.z if kind == "generator" else step.real).detach().requires_grad_()
    condition = step.condition if component.conditional else None
    trainable = [weight for weight in component.parameters() if weight.requires_grad]

    def whole_output() -> Tensor:
        parts = tensors_of(component(given, condition)).values()
        return torch.stack([weighted(part) for part in parts if part.requires_grad]).sum()

    yield "at weights and input", whole_output, [given, *trainable]


def _mean_in(harness: Harness, phase: str) -> Tensor:
    mean: Tensor = harness.component(harness.step(phase)).mean()
    return mean


def _custom_gradients(function: Callable[[], Tensor], component: nn.Module) -> set[str]:
    """Return the names of hooks on gradients, and of autograd functions outside of torch that a gradient passes."""
    names = {
        f"the backward hook of {name or 'the component'}"
        for name, module in component.named_modules()
        if module._backward_hooks or module._backward_pre_hooks  # noqa: SLF001 - torch has no public view
    }
    register: Any = torch.Tensor.register_hook

    def note(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> Any:  # noqa: ANN401 - torch's own handle
        names.add(f"the hook {getattr(hook, '__name__', type(hook).__name__)}")
        return register(tensor, hook)

    with mock.patch.object(torch.Tensor, "register_hook", note):
        seen, stack = set(), [function().grad_fn]
    while stack:
        node: Any = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        own = getattr(node, "_forward_cls", None)
        if own is not None and not own.__module__.startswith("torch."):
            names.add(own.__name__)
        stack += [inner for inner, _ in node.next_functions]
    return names


def _compare(function: Callable[[], Tensor], weights: list[Tensor], what: str, dtype: torch.dtype) -> None:
    """Raise CheckFailed unless directional derivatives agree with central differences."""
    epsilon, tolerance = DISTANCES[dtype]
    for weight in weights:
        weight.grad = None
    function().backward()
    slopes = [torch.zeros_like(weight) if weight.grad is None else weight.grad.clone() for weight in weights]
    rng = torch.Generator().manual_seed(0)
    for _ in range(DIRECTIONS):
        directions = [torch.randn(weight.shape, generator=rng, dtype=weight.dtype) for weight in weights]
        expected = sum(float((slope * toward).sum()) for slope, toward in zip(slopes, directions, strict=True))
        values = []
        for distance in (epsilon, -2 * epsilon, epsilon):
            with torch.no_grad():
                for weight, toward in zip(weights, directions, strict=True):
                    weight.add_(toward, alpha=distance)
            values.append(function().item())
        difference = (values[0] - values[1]) / (2 * epsilon)
        agrees = abs(difference - expected) <= tolerance * max(abs(difference), abs(expected), 1e-3)
        require(agrees, f"{what} is {expected:.6g} in a direction in which finite differences are {difference:.6g}")


@checks.add(
    "compute with images, and do not compare them: pass what decides in parameters, extras or step.keep",
    needs=f"{UPDATES} same-value-twice parameters-decide draws-from-rng",
)
def recognizes_images(fixture: Fixture) -> None:
    """Equal copies of images give the same values, seen before or not, and nearly equal images nearly the same."""
    for what, function, images in _functions_of_images(fixture):
        known = function(images)
        for how, values in (("the same images a second time", images), ("an equal copy of the images", images.clone())):
            require(torch.equal(function(values), known), f"{what}{how} gives other values")
        near = function(images + TINY * torch.randn(images.shape, generator=fixture.rng(), dtype=images.dtype))
        close = torch.allclose(near, known, *NEAR)
        require(close, f"{what}images that differ by {TINY:g} give entirely other values: it compares pixels")


def _functions_of_images(fixture: Fixture) -> Iterator[OfImages]:
    """Yield the functions of the component that depend on images."""
    harness = Harness(fixture).evaluation_mode()
    component: Any = harness.component
    batch = harness.batch()
    if fixture.kind != "augmentation":
        for phase in component.phases:

            def value(images: Tensor, phase: str = phase) -> Tensor:
                given = Batch(images, batch.condition, batch.extras)
                return harness.value(phase, batch=given).detach()  # type: ignore[no-any-return]

            yield f"in phase {phase} ", value, batch.images
        return
    step = harness.step("disc", batch=batch)
    for real, images in ((True, step.real), (False, step.fake)):
        parameters = component.sample_parameters(images, step, real=real)
        fresh: Any = Harness(fixture).component
        fresh.load_state_dict(component.state_dict())
        expected = fresh(images.clone(), parameters).detach()
        require(torch.equal(component(images, parameters), expected), "images that it has seen are changed otherwise")
        yield "", lambda values, parameters=parameters: component(values, parameters).detach(), images  # type: ignore[misc]
