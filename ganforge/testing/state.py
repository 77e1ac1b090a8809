"""Checks of the state of components that take part in a training step: registered, copied, saved, frozen."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ganforge.components import TrainedComponent, weights_sha256
from ganforge.testing.checks import Check, register_check, require, skip
from ganforge.testing.common import BUILDS
from ganforge.testing.fixture import TRAINED, Fixture, training_mode
from ganforge.testing.harness import Harness
from ganforge.testing.snapshots import (
    Held,
    Snapshot,
    attributes_of,
    changed,
    globals_of,
    plain_attributes,
    registered,
    snapshot,
)

CHECKS: list[Check] = []
#: Steps before the comparison, in which a component may fill caches, and compared ones.
WARM_UP, STEPS = 2, 3
#: Checks without which a training step is not possible.
RUNS = (
    *("image-shape", "generator-output", "logits-shape", "discriminator-input"),
    *("term-shape", "inputs-unchanged", "reweight-shape", "same-shape", "latents-shape"),
)


@register_check(
    CHECKS,
    "registered-state",
    *TRAINED,
    fix="use nn.ModuleList, nn.ModuleDict and self.register_buffer(name, tensor) instead of plain attributes",
    needs=(BUILDS,),
)
def _registered_state(fixture: Fixture) -> None:
    """Modules, weights and tensors that it holds are registered: others are not moved, trained or saved."""
    modules = fixture.assemble()
    component, known = modules[fixture.slot], registered(modules)
    for prefix, part in component.named_modules():
        for key, value in plain_attributes(part).items():
            for item in _items(value):
                what = "tensor" if isinstance(item, Tensor) else "module"
                require(
                    not isinstance(item, Tensor | nn.Module) or id(item) in known,
                    f"its attribute {f'{prefix}.' if prefix else ''}{key} holds a {what} that is not registered",
                )


def _items(value: Any, depth: int = 3) -> Iterator[Any]:  # noqa: ANN401 - any attribute
    """Yield a value and the items of containers within it."""
    yield value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple | set) else ()
    for part in parts if depth else ():
        yield from _items(part, depth - 1)


@dataclass(frozen=True, slots=True)
class Trial:
    """Findings of a few training steps of a copy.

    Attributes:
        attributes: Python attributes that changed.
        globals: Globals of its modules that changed, or that hold a network, a weight or a training step.
        frozen: Reasons by frozen submodule that changed.
        leaks: State of the original that changed.
    """

    attributes: list[str]
    globals: list[str]
    frozen: dict[str, str]
    leaks: list[str]


def trial(fixture: Fixture) -> Trial:
    """Return the findings of a few training steps of a copy, made once for all checks."""
    if "trial" not in fixture.kept:
        fixture.kept["trial"] = _try(fixture)
    findings: Trial = fixture.kept["trial"]
    return findings


def _try(fixture: Fixture) -> Trial:
    original = Harness(fixture)
    untouched = _whole_state(original.modules)
    harness = copy.copy(original)
    harness.modules = copy.deepcopy(original.modules)
    component, held = harness.component, registered(harness.modules)
    frozen = {name: component.get_submodule(name) for name in component.frozen}
    fingerprints = {name: weights_sha256(module) for name, module in frozen.items()}
    reasons: dict[str, str] = {}
    for name, module in frozen.items():
        module.register_forward_pre_hook(_Watch(name, reasons))
    harness.train(0, WARM_UP)
    attributes: set[str] = set()
    history = [globals_of(fixture.cls, held)]
    for number in range(WARM_UP, WARM_UP + STEPS):
        for phase in harness.phases:
            with harness.training(phase, number):
                before = _attributes(harness, held)
            harness.update(phase, number)
            attributes |= set(changed(before, _attributes(harness, held)))
            history.append(globals_of(fixture.cls, held))
    for name, module in frozen.items():
        if weights_sha256(module) != fingerprints[name]:
            reasons[name] = "its weights or buffers change"
    moved = {path for before, after in pairwise(history) for path in changed(before, after)}
    holding = {path for path, leaf in history[-1].items() if isinstance(leaf, Held)}
    return Trial(
        sorted(attributes), sorted(moved | holding), reasons, changed(untouched, _whole_state(original.modules))
    )


class _Watch:
    """Hook that notes a frozen module that runs in training mode."""

    def __init__(self, name: str, reasons: dict[str, str]) -> None:
        self.name, self.reasons = name, reasons

    def __call__(self, module: nn.Module, arguments: object) -> None:
        if any(part.training for part in module.modules()):
            self.reasons[self.name] = "it runs in training mode"


def _attributes(harness: Harness, held: Mapping[int, str]) -> Snapshot:
    """Return the Python attributes of the component, and by slot those of the others, where it must not leave any."""
    leaves = attributes_of(harness.component, held)
    for slot, module in harness.modules.items():
        if slot != harness.fixture.slot:
            leaves |= {f"{slot}.{name}": leaf for name, leaf in attributes_of(module, held).items()}
    return leaves


def _whole_state(modules: Mapping[str, nn.Module]) -> Snapshot:
    """Return weights, buffers and Python attributes of all modules."""
    leaves: Snapshot = {}
    for slot, module in modules.items():
        leaves |= {f"{slot}.{name}": leaf for name, leaf in attributes_of(module, {}).items()}
        leaves |= snapshot(dict(module.state_dict()), slot)
    return leaves


@register_check(
    CHECKS,
    "copy-is-independent",
    *TRAINED,
    fix="keep state in self, in parameters and buffers; define no __deepcopy__ that shares it",
    needs=("registered-state", *RUNS),
)
def _copy_is_independent(fixture: Fixture) -> None:
    """Training a copy leaves the original unchanged, so that trials before the training leave no trace."""
    leaks = trial(fixture).leaks
    require(not leaks, f"training a copy changes {', '.join(leaks[:3])} of the original")


@register_check(
    CHECKS,
    "python-state",
    *TRAINED,
    fix="keep it in a buffer: self.register_buffer(name, torch.zeros(())); what follows from the step, in stage(step)",
    needs=("registered-state", "stage-key", *RUNS),
)
def _python_state(fixture: Fixture) -> None:
    """Python attributes stay unchanged in updates: checkpoints and recorded updates lose them."""
    names = trial(fixture).attributes
    require(not names, f"an update changes {', '.join(names[:3])}, which checkpoints and recorded updates lose")


@register_check(
    CHECKS,
    "module-globals",
    *TRAINED,
    fix="keep state in buffers of self; other components are in step.modules, values of this update in step.keep",
    needs=RUNS,
)
def _module_globals(fixture: Fixture) -> None:
    """Updates change no global of the component's modules, and leave no network or update in one."""
    names = trial(fixture).globals
    require(not names, f"an update changes the global {', '.join(names[:3])}")


@register_check(
    CHECKS,
    "frozen-networks",
    *TRAINED,
    fix="name submodules in `frozen`, not in optimized_in; call neither train() nor requires_grad_() on them",
    needs=("registered-state", *RUNS),
)
def _frozen_networks(fixture: Fixture) -> None:
    """Frozen submodules exist, keep their weights and buffers, and stay in evaluation mode."""
    component = fixture.make()
    if not component.frozen:
        skip("it has no frozen submodules")
    submodules = dict(component.named_modules())
    for name in component.frozen:
        require(name in submodules, f"`frozen` names {name!r}, which is not a submodule")
        require(name not in component.optimized_in, f"{name!r} is in `frozen` and in optimized_in")
    for name, reason in trial(fixture).frozen.items():
        require(not reason, f"its frozen submodule {name!r} changes in an update: {reason}")


@register_check(
    CHECKS,
    "stage-key",
    *TRAINED,
    fix="compute the stage from the step only, and return a hashable key, such as the resolution",
    needs=RUNS,
)
def _stage_key(fixture: Fixture) -> None:
    """`stage(step)` returns a hashable key, the same for the same step in any order of calls."""
    if fixture.cls.stage is TrainedComponent.stage:
        skip("it has no stages")
    component = training_mode(fixture.make())
    steps = (0, 1, 10, 100, 10_000)
    keys = {step: component.stage(step) for step in steps}
    for step in (*reversed(steps), *steps):
        key = component.stage(step)
        require(isinstance(key, Hashable), f"stage({step}) returns {key!r}, which is not hashable")
        require(key == keys[step], f"stage({step}) returns {key!r} after other steps, but {keys[step]!r} before")
