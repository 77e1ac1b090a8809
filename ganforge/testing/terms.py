"""Checks of terms of any network's loss, in whole updates; adversarial losses are terms, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import ConditionSpec, Discriminator, LossTerm
from ganforge.components.spec import Kind
from ganforge.testing.checks import Check, CheckFailed, register_check, require, skip
from ganforge.testing.common import BUILDS, no_global_draws, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import COUNT, OWN_PHASE, Harness, phase_of
from ganforge.testing.stubs import LinearDiscriminator

CHECKS: list[Check] = []
TERMS: tuple[Kind, ...] = ("loss", "term")
SHAPE = "term-shape"


def term_of(harness: Harness) -> LossTerm:
    """Return the term under examination. Raises CheckSkipped for one that only reweights others."""
    term: LossTerm = harness.component
    if not term.phases:
        skip("it has no phases: it only reweights other terms")
    return term


def values_by_phase(harness: Harness, number: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield each phase and the term's values in it."""
    term = term_of(harness)
    for phase in term.phases:
        values = harness.value(term, phase, number)
        if not isinstance(values, Tensor):
            raise CheckFailed(f"in phase {phase} it returns a {type(values).__name__}, not a tensor")
        yield phase, values


@register_check(
    CHECKS,
    SHAPE,
    *TERMS,
    fix="return one number per image, (N,), or one for the update, (), unweighted",
    needs=(BUILDS, "loss-shape"),
)
def _term_shape(fixture: Fixture) -> None:
    """In each of its phases it returns finite numbers: `(N,)`, `(N, K)` for several logits per image, or `()`."""
    for phase, values in values_by_phase(Harness(fixture)):
        shape = tuple(values.shape)
        per_image = shape[:1] == (COUNT,) and len(shape) <= len("NK")
        require(
            per_image or not shape,
            f"in phase {phase} it has shape {shape} for {COUNT} images; ({COUNT},) or () is needed",
        )
        require(bool(values.isfinite().all()), f"in phase {phase} it is not finite")


@register_check(
    CHECKS,
    "own-weights",
    *TERMS,
    "augmentation",
    "latent",
    fix='name the phase that trains each submodule: optimized_in = {"encoder": "gen"}, or declare it in `frozen`',
    needs=(BUILDS,),
)
def _own_weights(fixture: Fixture) -> None:
    """`optimized_in` names a phase for every trainable weight of its own, and no other attributes."""
    component = fixture.make()
    for attribute in component.optimized_in:
        require(hasattr(component, attribute), f"optimized_in names {attribute!r}, which is not an attribute")
    lost = [
        name
        for name, weight in component.named_parameters()
        if weight.requires_grad and phase_of(fixture.slot, component, name) is None
    ]
    require(not lost, f"no optimizer trains {', '.join(lost[:2])}")


@register_check(
    CHECKS,
    "reaches-weights",
    *TERMS,
    fix="detach nothing; take gradients with create_graph=True; name networks that it reads in `partners`",
    needs=(SHAPE, "same-value-twice"),
)
def _reaches_weights(fixture: Fixture) -> None:
    """In each of its phases its gradient reaches weights that the phase trains, and is finite."""
    reached: set[str] = set()
    harness = Harness(fixture)
    for phase in term_of(harness).phases:
        with harness.training(phase, 0) as weights:
            values = harness.component(harness.step(phase))
            require(values.requires_grad, f"in phase {phase} it has no gradient: something is detached")
            slopes = torch.autograd.grad(values.mean(), list(weights.values()), allow_unused=True)
        known = {name: slope for name, slope in zip(weights, slopes, strict=True) if slope is not None}
        require(
            any(bool(slope.any()) for slope in known.values()),
            f"in phase {phase} its gradient reaches no weight that the phase trains",
        )
        finite = all(bool(slope.isfinite().all()) for slope in known.values())
        require(finite, f"in phase {phase} its gradient is not finite")
        reached |= known.keys()
    own = [f"{fixture.slot}.{name}" for name, weight in harness.component.named_parameters() if weight.requires_grad]
    unused = [name for name in own if name not in reached]
    require(not unused, f"no gradient reaches its own weight {unused[0] if unused else None}")


@register_check(
    CHECKS,
    "same-value-twice",
    *TERMS,
    fix="change state in after_step, from step.kept[name] or the whole batch's outputs, not in forward",
    needs=(SHAPE, "inputs-unchanged"),
)
def _same_value_twice(fixture: Fixture) -> None:
    """The same update gives the same value on a second call: state moves in `after_step`, once per batch."""
    harness = Harness(fixture).evaluation_mode()  # spectral norm changes with every call in training mode
    pairs = zip(values_by_phase(harness), values_by_phase(harness), strict=True)
    for (phase, one), (_, two) in pairs:
        require(torch.equal(one, two), f"in phase {phase} the same update gives other numbers on the second call")


@register_check(
    CHECKS,
    "draws-from-rng",
    *TERMS,
    fix="pass generator=step.rng to torch.rand and torch.randn; it is on the CPU",
    needs=(SHAPE,),
)
def _draws_from_rng(fixture: Fixture) -> None:
    """It draws random numbers from `step.rng` only."""
    harness = Harness(fixture).evaluation_mode()  # layers such as dropout draw from torch's global generator
    term = term_of(harness)
    for phase in term.phases:
        step = harness.step(phase)
        with suppress(Exception):  # the networks' own draws, which other checks examine
            step.fake_output, step.real_output  # noqa: B018 - computed when they are read
        with no_global_draws():
            values = term(step)
            term.reweight(step, values)
        with no_global_draws(), torch.no_grad():
            term.after_step(harness.finished(step))


@register_check(
    CHECKS,
    "inputs-unchanged",
    *TERMS,
    fix="work on a copy: step.real.detach().clone().requires_grad_(); change weights in after_step",
    needs=(SHAPE,),
)
def _inputs_unchanged(fixture: Fixture) -> None:
    """Images, latents, conditions and extras stay unchanged, and require no gradients afterwards; weights, too."""
    harness = Harness(fixture).evaluation_mode()
    for phase in term_of(harness).phases:
        with harness.training(phase, 0):
            step = harness.step(phase)
            given = {"the real images": step.real, "the latents": step.z, "the fakes": step.fake} | dict(step.extras)
            if step.condition is not None:
                given["the condition"] = step.condition
            given |= {f"the weight {name}": weight for part in OWN_PHASE for name, weight in harness.weights(part)}
            before = {name: values.detach().clone() for name, values in given.items()}
            harness.component(step)
        for name, values in given.items():
            unchanged(before[name], values, name)
        require(not step.real.requires_grad, "the real images require gradients afterwards")
        require(not step.z.requires_grad, "the latents require gradients afterwards")


@register_check(
    CHECKS,
    "passes-condition",
    *TERMS,
    fix="call step.discriminate(images), which adds the condition, instead of the discriminator",
    needs=(SHAPE,),
)
def _passes_condition(fixture: Fixture) -> None:
    """It passes a condition to a conditional discriminator."""
    if fixture.image.condition is None:
        fixture = fixture.at(replace(fixture.image, condition=ConditionSpec.classes(2)))
    harness = Harness(fixture)
    discriminator: Any = harness.modules["discriminator"]
    if not discriminator.conditional:
        skip("its discriminator partner is not conditional")
    calls: list[bool] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        condition = arguments[1] if len(arguments) > 1 else keywords.get("condition")
        calls.append(condition is not None)

    discriminator.register_forward_pre_hook(note, with_kwargs=True)
    for _ in values_by_phase(harness):
        require(all(calls), "it calls a conditional discriminator without a condition")


@register_check(
    CHECKS,
    "logs-numbers",
    *TERMS,
    fix="log scalars: step.log('path_length/mean', lengths.mean())",
    needs=(SHAPE, "inputs-unchanged", "reweight-shape"),
)
def _logs_numbers(fixture: Fixture) -> None:
    """It logs finite numbers, tensors `()` or Python numbers."""
    harness = Harness(fixture)
    for phase in harness.phases:
        harness.update(phase, 0)
    for name, value in harness.logged.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        require(isinstance(name, str) and not shape, f"it logs {name!r} with shape {shape}")
        require(bool(torch.as_tensor(value).isfinite()), f"it logs {name!r}, which is {float(value)}")


@register_check(
    CHECKS,
    "reweight-shape",
    *TERMS,
    fix="return factors that can be multiplied with the values, such as (N,), or None",
    needs=(BUILDS,),
)
def _reweight_shape(fixture: Fixture) -> None:
    """Factors of other terms' values are finite, not negative, and `()`, `(N,)` or of the values' shape."""
    if fixture.cls.reweight is LossTerm.reweight:
        skip("it does not reweight other terms")
    harness = Harness(fixture)
    for phase in harness.component.phases or ("disc", "gen"):
        with harness.training(phase, 0):
            step = harness.step(phase)
            for name in harness.component.reweights:
                other = harness.modules.get(name)
                if not isinstance(other, LossTerm) or phase not in other.phases:
                    continue
                values = other(step)
                factors = harness.component.reweight(step, values)
                if factors is None:
                    continue
                shape, fits = tuple(factors.shape), {(), (COUNT,), tuple(values.shape)}
                require(shape in fits, f"its factors have shape {shape} for values of shape {tuple(values.shape)}")
                fine = bool(factors.isfinite().all()) and bool((factors >= 0).all())
                require(fine, "its factors are negative or not finite")


# Gradient penalties: terms of the discriminator with a known value for a linear one


def penalty_values(fixture: Fixture, harness: Harness, number: int = 0, images: Tensor | None = None) -> Tensor:
    """Return a penalty's values in the discriminator's update. Raises CheckSkipped for other terms."""
    if fixture.expected_on_linear is None:
        skip("no value for D(x) = ⟨w, x⟩ is given: expected_on_linear=")
    batch = harness.batch(number)
    batch = batch if images is None else replace(batch, images=images)
    values = harness.value(term_of(harness), "disc", number, batch)
    assert values is not None  # noqa: S101 - its shape was checked
    return values.detach()


@register_check(
    CHECKS,
    "linear-value",
    "term",
    fix="compare forward and expected_on_linear with the formula",
    needs=(SHAPE,),
)
def _linear_value(fixture: Fixture) -> None:
    """For D(x) = ⟨w, x⟩ it is the expected function of |w|."""
    linear = LinearDiscriminator(Discriminator.Options(), fixture.image)
    for norm in (0.5, 1.0, 3.0):
        with torch.no_grad():
            linear.weight.mul_(norm / linear.weight.norm())
        values = penalty_values(fixture, Harness(fixture, discriminator=linear))
        assert fixture.expected_on_linear is not None  # noqa: S101 - else skipped
        expected = fixture.expected_on_linear(norm)
        near = torch.allclose(values, torch.full_like(values, expected), rtol=1e-3, atol=1e-5)
        span = f"{float(values.min()):.5g} to {float(values.max()):.5g}"
        require(near, f"for D(x) = ⟨w, x⟩ with |w| = {norm:g} it is {span}, not {expected:.5g}")


@register_check(
    CHECKS,
    "non-negative",
    "term",
    fix="square it, or take its positive part",
    needs=(SHAPE,),
)
def _non_negative(fixture: Fixture) -> None:
    """A penalty with expected values on a linear discriminator is never negative."""
    harness = Harness(fixture)
    for number in range(3):
        values = penalty_values(fixture, harness, number)
        require(bool((values >= 0).all()), f"it is negative, down to {float(values.min()):.3g}")


@register_check(
    CHECKS,
    "per-sample",
    "term",
    fix="reduce each image by itself: gradient.flatten(1).square().sum(1)",
    needs=(SHAPE, "linear-value"),
)
def _per_sample(fixture: Fixture) -> None:
    """Each number of a penalty depends on its own image only."""
    harness = Harness(fixture)
    before = penalty_values(fixture, harness)
    require(before.ndim > 0, "it is one number for the whole batch, (); (N,) is needed")
    images = fixture.pictures(COUNT)
    images[0] = fixture.pictures(1, 2)[0]
    after = penalty_values(fixture, harness, images=images)
    same = torch.allclose(before[1:], after[1:], rtol=1e-4, atol=1e-6)
    require(same, "another first image changes the values of the others: it is taken over the batch")
