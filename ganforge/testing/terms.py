"""Checks of terms of any network's loss, in whole updates; adversarial losses are terms, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ganforge.components import ConditionSpec, Discriminator, LossTerm
from ganforge.testing.checks import Checks, require, require_finite, skip, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.testing.harness import COUNT, Harness
from ganforge.testing.stubs import LinearDiscriminator
from ganforge.training import step as engine
from ganforge.training.setup import phase_parameters

checks = Checks("loss", "term", needs="term-shape")


def phases_of(harness: Harness) -> tuple[str, ...]:
    """Return the phases of the term under examination. Raises CheckSkipped for one that only reweights others."""
    phases: tuple[str, ...] = harness.component.phases
    if not phases:
        skip("it has no phases: it only reweights other terms")
    return phases


def values_by_phase(harness: Harness) -> Iterator[tuple[str, Tensor]]:
    """Yield each phase and the term's values in it."""
    for phase in phases_of(harness):
        values = harness.value(phase)
        require(isinstance(values, Tensor), f"in phase {phase} it returns a {type(values).__name__}, not a tensor")
        yield phase, values


@checks.add(
    'name the phase that trains each submodule: optimized_in = {"encoder": "gen"}, or declare it in `frozen`',
    kinds=("loss", "term", "augmentation", "latent"),
    needs="builds",
)
def own_weights(fixture: Fixture) -> None:
    """`optimized_in` names a phase for every trainable weight of its own, and no other attributes."""
    phase_parameters(fixture.build())


@checks.add(
    "return one number per image, (N,), or one for the update, (), unweighted",
    needs="own-weights initialized-weights loss-shape",
)
def term_shape(fixture: Fixture) -> None:
    """In each of its phases it returns finite numbers: `(N,)`, `(N, K)` for several logits per image, or `()`."""
    for phase, values in values_by_phase(Harness(fixture)):
        shape = tuple(values.shape)
        require(
            not shape or (shape[0] == COUNT and len(shape) <= len("NK")),
            f"in phase {phase} it has shape {shape} for {COUNT} images; ({COUNT},) or () is needed",
        )
        require_finite(values, f"in phase {phase} it is")


@checks.add(
    "detach nothing; take gradients with create_graph=True; name networks that it reads in `partners`",
    needs="term-shape same-value-twice",
)
def reaches_weights(fixture: Fixture) -> None:
    """In each of its phases its gradient reaches weights that the phase trains, and is finite."""
    harness = Harness(fixture)
    reached: set[str] = set()
    for phase in phases_of(harness):
        with harness.training(phase) as weights:
            values = harness.component(harness.step(phase))
            require(values.requires_grad, f"in phase {phase} it has no gradient: something is detached")
            slopes = torch.autograd.grad(values.mean(), list(weights.values()), allow_unused=True)
        known = {name: slope for name, slope in zip(weights, slopes, strict=True) if slope is not None}
        require(
            any(bool(slope.any()) for slope in known.values()),
            f"in phase {phase} its gradient reaches no weight that the phase trains",
        )
        for slope in known.values():
            require_finite(slope, f"in phase {phase} its gradient is")
        reached |= known.keys()
    own = [f"{fixture.slot}.{name}" for name, weight in harness.component.named_parameters() if weight.requires_grad]
    unused = [name for name in own if name not in reached]
    require(not unused, f"no gradient reaches its own weight {unused[0] if unused else None}")


@checks.add(
    "change state in after_step, from step.kept[name] or the whole batch's outputs, not in forward",
    needs="term-shape inputs-unchanged",
)
def same_value_twice(fixture: Fixture) -> None:
    """The same update gives the same value on a second call: state moves in `after_step`, once per batch."""
    harness = Harness(fixture).evaluation_mode()  # spectral norm changes with every call in training mode
    for (phase, one), (_, two) in zip(values_by_phase(harness), values_by_phase(harness), strict=True):
        require(torch.equal(one, two), f"in phase {phase} the same update gives other numbers on the second call")


@checks.add("pass generator=step.rng to torch.rand and torch.randn; it is on the CPU")
def draws_from_rng(fixture: Fixture) -> None:
    """It draws random numbers from `step.rng` only."""
    harness = Harness(fixture).evaluation_mode()  # layers such as dropout draw from torch's global generator
    term: LossTerm = harness.component
    for phase in phases_of(harness):
        step = harness.step(phase)
        with suppress(Exception):  # the networks' own draws, which other checks examine
            step.fake_output, step.real_output  # noqa: B018 - computed when they are read
        with no_global_draws():
            term.reweight(step, term(step))
        with no_global_draws(), torch.no_grad():
            term.after_step(harness.completed(step))


@checks.add("work on a copy: step.real.detach().clone().requires_grad_(); change weights in after_step")
def inputs_unchanged(fixture: Fixture) -> None:
    """Images, latents, conditions and extras stay unchanged, and require no gradients afterwards; weights, too."""
    harness = Harness(fixture).evaluation_mode()
    weights = {
        f"the weight {slot}.{name}": weight
        for slot in ("generator", "discriminator")
        for name, weight in harness.modules[slot].named_parameters()
    }
    for phase in phases_of(harness):
        with harness.training(phase):
            step = harness.step(phase)
            given = {"the real images": step.real, "the latents": step.z, "the fakes": step.fake, **step.extras}
            condition = {} if step.condition is None else {"the condition": step.condition}
            with unchanged(given | condition | weights):
                harness.component(step)
        require(not step.real.requires_grad, "the real images require gradients afterwards")
        require(not step.z.requires_grad, "the latents require gradients afterwards")


@checks.add("call step.discriminate(images), which adds the condition, instead of the discriminator")
def passes_condition(fixture: Fixture) -> None:
    """It passes a condition to a conditional discriminator."""
    if fixture.image.condition is None:
        fixture = fixture.at(replace(fixture.image, condition=ConditionSpec.classes(2)))
    harness = Harness(fixture)
    if not harness.gan.discriminator.conditional:
        skip("its discriminator partner is not conditional")
    calls: list[bool] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        condition = arguments[1] if len(arguments) > 1 else keywords.get("condition")
        calls.append(condition is not None)

    harness.gan.discriminator.register_forward_pre_hook(note, with_kwargs=True)
    for _ in values_by_phase(harness):
        require(all(calls), "it calls a conditional discriminator without a condition")


@checks.add(
    "log scalars: step.log('path_length/mean', lengths.mean())", needs="term-shape inputs-unchanged reweight-shape"
)
def logs_numbers(fixture: Fixture) -> None:
    """It logs finite numbers, tensors `()` or Python numbers."""
    harness = Harness(fixture)
    logged: dict[str, Any] = {}
    with mock.patch.object(engine, "log_into", return_value=logged.__setitem__):
        for phase in harness.phases:
            harness.update(phase, 0)
    for name, value in logged.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        require(isinstance(name, str) and not shape, f"it logs {name!r} with shape {shape}")
        require(bool(torch.as_tensor(value).isfinite()), f"it logs {name!r}, which is {float(value)}")


@checks.add(
    "return factors that can be multiplied with the values, such as (N,), or None",
    needs="own-weights initialized-weights",
)
def reweight_shape(fixture: Fixture) -> None:
    """Factors of other terms' values are finite, not negative, and `()`, `(N,)` or of the values' shape."""
    if fixture.cls.reweight is LossTerm.reweight:
        skip("it does not reweight other terms")
    harness = Harness(fixture)
    for phase in harness.component.phases or ("disc", "gen"):
        for name, other in harness.gan.all_terms.items():
            if name not in harness.component.reweights or phase not in other.phases:
                continue
            with harness.training(phase):
                step = harness.step(phase)
                values = other(step)
                factors = harness.component.reweight(step, values)
            if factors is not None:
                shape, fits = tuple(factors.shape), {(), (COUNT,), tuple(values.shape)}
                require(shape in fits, f"its factors have shape {shape} for values of shape {tuple(values.shape)}")
                fine = bool(factors.isfinite().all()) and bool((factors >= 0).all())
                require(fine, "its factors are negative or not finite")


# Gradient penalties: terms of the discriminator with a known value for a linear one


def penalty_values(fixture: Fixture, harness: Harness, number: int = 0, images: Tensor | None = None) -> Tensor:
    """Return a penalty's values in the discriminator's update. Raises CheckSkipped for other terms."""
    if fixture.expected_on_linear is None:
        skip("no value for D(x) = ⟨w, x⟩ is given: expected_on_linear=")
    phases_of(harness)
    batch = harness.batch(number)
    values: Tensor = harness.value("disc", number, batch if images is None else replace(batch, images=images))
    return values.detach()


@checks.add("compare forward and expected_on_linear with the formula", kinds=("term",))
def linear_value(fixture: Fixture) -> None:
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


@checks.add("square it, or take its positive part", kinds=("term",))
def non_negative(fixture: Fixture) -> None:
    """A penalty with expected values on a linear discriminator is never negative."""
    harness = Harness(fixture)
    for number in range(3):
        values = penalty_values(fixture, harness, number)
        require(bool((values >= 0).all()), f"it is negative, down to {float(values.min()):.3g}")


@checks.add(
    "reduce each image by itself: gradient.flatten(1).square().sum(1)", kinds=("term",), needs="term-shape linear-value"
)
def per_sample(fixture: Fixture) -> None:
    """Each number of a penalty depends on its own image only."""
    harness = Harness(fixture)
    before = penalty_values(fixture, harness)
    require(before.ndim > 0, "it is one number for the whole batch, (); (N,) is needed")
    images = fixture.batch(COUNT).images
    images[0] = images[0].flip(-1) * 0.5
    after = penalty_values(fixture, harness, images=images)
    same = torch.allclose(before[1:], after[1:], rtol=1e-4, atol=1e-6)
    require(same, "another first image changes the values of the others: it is taken over the batch")
