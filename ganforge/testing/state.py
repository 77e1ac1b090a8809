"""Checks of the state of components that take part in a training step: registered, copied, saved, frozen."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

from torch import Tensor, nn

from ganforge.components import TrainedComponent, weights_sha256
from ganforge.testing.checks import UPDATES, Checks, require, skip
from ganforge.testing.fixture import TRAINED, Fixture
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

checks = Checks(*TRAINED, needs=f"registered-state {UPDATES}")
#: Steps before the comparison, in which a component may fill caches, and compared ones.
WARM_UP, STEPS = 2, 3


@checks.add(
    "use nn.ModuleList, nn.ModuleDict and self.register_buffer(name, tensor) instead of plain attributes",
    needs="builds",
)
def registered_state(fixture: Fixture) -> None:
    """Modules, weights and tensors that it holds are registered: others are not moved, trained or saved."""
    modules = fixture.build().modules()
    known = registered(modules)
    for prefix, part in modules[fixture.slot].named_modules():
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


class StateTrial(NamedTuple):
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


def trial(fixture: Fixture) -> StateTrial:
    """Return the findings of a few training steps of a copy."""
    original = Harness(fixture)
    untouched = _whole_state(original.modules)
    harness = Harness(fixture, original.gan.copy())
    component, held = harness.component, registered(harness.modules)
    frozen = {name: component.get_submodule(name) for name in component.frozen}
    fingerprints = {name: weights_sha256(module) for name, module in frozen.items()}
    reasons: dict[str, str] = {}
    for name, module in frozen.items():
        module.register_forward_pre_hook(partial(_note_mode, name, reasons))
    for number, phase in product(range(WARM_UP), harness.phases):
        harness.update(phase, number)
    attributes: set[str] = set()
    history = [globals_of(fixture.cls, held)]
    for number, phase in product(range(WARM_UP, WARM_UP + STEPS), harness.phases):
        harness.engine.set_stages(number)
        before = _attributes(harness, held)
        harness.update(phase, number)
        attributes |= set(changed(before, _attributes(harness, held)))
        history.append(globals_of(fixture.cls, held))
    for name, module in frozen.items():
        if weights_sha256(module) != fingerprints[name]:
            reasons[name] = "its weights or buffers change"
    moved = {path for before, after in pairwise(history) for path in changed(before, after)}
    holding = {path for path, leaf in history[-1].items() if isinstance(leaf, Held)}
    leaks = changed(untouched, _whole_state(original.modules))
    return StateTrial(sorted(attributes), sorted(moved | holding), reasons, leaks)


def _note_mode(name: str, reasons: dict[str, str], module: nn.Module, arguments: object) -> None:
    """Note a frozen module that runs in training mode."""
    if any(part.training for part in module.modules()):
        reasons[name] = "it runs in training mode"


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


@checks.add("keep state in self, in parameters and buffers; define no __deepcopy__ that shares it")
def copy_is_independent(fixture: Fixture) -> None:
    """Training a copy leaves the original unchanged, so that trials before the training leave no trace."""
    leaks = fixture.once(trial).leaks
    require(not leaks, f"training a copy changes {', '.join(leaks[:3])} of the original")


@checks.add(
    "keep it in a buffer: self.register_buffer(name, torch.zeros(())); what follows from the step, in stage(step)",
    needs=f"registered-state stage-key {UPDATES}",
)
def python_state(fixture: Fixture) -> None:
    """Python attributes stay unchanged in updates: checkpoints and recorded updates lose them."""
    names = fixture.once(trial).attributes
    require(not names, f"an update changes {', '.join(names[:3])}, which checkpoints and recorded updates lose")


@checks.add(
    "keep state in buffers of self; other components are in step.modules, values of this update in step.keep",
    needs=UPDATES,
)
def module_globals(fixture: Fixture) -> None:
    """Updates change no global of the component's modules, and leave no network or update in one."""
    names = fixture.once(trial).globals
    require(not names, f"an update changes the global {', '.join(names[:3])}")


@checks.add("name submodules in `frozen`, not in optimized_in; call neither train() nor requires_grad_() on them")
def frozen_networks(fixture: Fixture) -> None:
    """Frozen submodules exist, keep their weights and buffers, and stay in evaluation mode."""
    if not fixture.cls.frozen:
        skip("it has no frozen submodules")
    for name in fixture.cls.frozen:
        require(name not in fixture.cls.optimized_in, f"{name!r} is in `frozen` and in optimized_in")
    for name, reason in fixture.once(trial).frozen.items():
        require(not reason, f"its frozen submodule {name!r} changes in an update: {reason}")


@checks.add("compute the stage from the step only, and return a hashable key, such as the resolution", needs=UPDATES)
def stage_key(fixture: Fixture) -> None:
    """`stage(step)` returns a hashable key, the same for the same step in any order of calls."""
    if fixture.cls.stage is TrainedComponent.stage:
        skip("it has no stages")
    component = fixture.make()
    steps = (0, 1, 10, 100, 10_000)
    keys = {step: component.stage(step) for step in steps}
    for step in (*reversed(steps), *steps):
        key = component.stage(step)
        require(isinstance(key, Hashable), f"stage({step}) returns {key!r}, which is not hashable")
        require(key == keys[step], f"stage({step}) returns {key!r} after other steps, but {keys[step]!r} before")
