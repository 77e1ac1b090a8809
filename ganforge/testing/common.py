"""Checks of every kind of component."""

from __future__ import annotations

import json
import os
import random
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from torch import Tensor, nn

from ganforge.config.dotted import NOTHING
from ganforge.testing.checks import Check, CheckFailed, register_check, require, skip
from ganforge.testing.fixture import Fixture
from ganforge.testing.sandbox import heavy_imports

CHECKS: list[Check] = []
BUILDS = "builds"


@register_check(
    CHECKS, BUILDS, fix="give every option a default, and let the constructor take the same arguments as its base class"
)
def _builds(fixture: Fixture) -> None:
    """It can be built with its options, and keeps them."""
    component = fixture.make()
    require(component.options == fixture.options, "it loses its options: call super().__init__ with all arguments")


@register_check(
    CHECKS,
    "light-import",
    fix="name classes by text, target='package.module:Class', and import torch only in that module",
)
def _light_import(fixture: Fixture) -> None:
    """Importing the plugin's module does not import torch, so that `ganforge list` answers at once."""
    source = fixture.entry.source
    if source.path is not None:
        skip("a local plugin is imported only where it is named; it may contain its classes")
    modules = [
        getattr(plugin, "__name__", "") for plugin, owner in fixture.registry.plugins.admitted if owner == source
    ]
    if not modules:
        skip("the component does not come from an installed plugin")
    for module in modules:
        heavy = heavy_imports(module)
        require(not heavy, f"importing {module} imports {', '.join(heavy)}")


@register_check(
    CHECKS,
    "options-round-trip",
    fix="use types that pydantic writes as plain TOML: numbers, text, lists, paths",
    needs=(BUILDS,),
)
def _options_round_trip(fixture: Fixture) -> None:
    """Options survive being written to run.toml and to JSON, and being read again."""
    plain = fixture.options.model_dump(mode="json")
    spelled = {key: NOTHING if value is None else value for key, value in plain.items()}
    documents = {"TOML": tomllib.loads(tomli_w.dumps(spelled)), "JSON": json.loads(json.dumps(plain))}
    for form, values in documents.items():
        again = fixture.cls.Options.model_validate(values)
        require(again == fixture.options, f"through {form} they become {again!r}, not {fixture.options!r}")


@register_check(
    CHECKS,
    "same-seed-same-weights",
    fix="draw weights from torch's generator only, as torch's layers do",
    needs=(BUILDS,),
)
def _same_seed_same_weights(fixture: Fixture) -> None:
    """Built twice with one seed it has the same weights."""
    components = [fixture.make(1) for _ in range(2)]
    tensors, others = (part.state_dict() if isinstance(part, nn.Module) else {} for part in components)
    if not tensors and not others:
        skip("it has no weights")
    require(tensors.keys() == others.keys(), "it has other weights each time that it is built")
    for name, value in tensors.items():
        require(torch.equal(value, others[name]), f"{name} differs between two of the same seed")


@register_check(
    CHECKS,
    "leaves-global-state",
    fix="change no global setting and seed nothing: the engine seeds, and resumes exactly",
    needs=(BUILDS,),
)
def _leaves_global_state(fixture: Fixture) -> None:
    """Building it changes no global setting of torch, numpy or Python, and seeds no generator."""
    states = []
    for seed in (1, 2):
        with kept_settings():
            _set_defaults(seed)
            before = _settings()
            _call_constructor(fixture)
            after = _settings()
            states.append(torch.get_rng_state())
        changed = [name for name, value in before.items() if repr(value) != repr(after[name])]
        require(not changed, f"building it changes {', '.join(changed)}")
    require(not torch.equal(*states), "building it seeds torch's global generator")


def _call_constructor(fixture: Fixture) -> None:
    if fixture.shaped:
        fixture.cls(fixture.options, fixture.image)
    else:
        fixture.cls(fixture.options)


def _settings() -> dict[str, Any]:
    """Return the settings that a component must not change; weights are drawn from torch's generator, which may."""
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's matmul precision": torch.get_float32_matmul_precision(),
        "cudnn's flags": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark),
        "torch's number of threads": torch.get_num_threads(),
        "Python's random state": random.getstate(),
        "numpy's random state": np.random.get_state(legacy=False),  # noqa: NPY002 - the global one is what is meant
        "the environment": dict(os.environ),
        "the working folder": Path.cwd(),
    }


def _set_defaults(seed: int) -> None:
    """Give every global setting a value that a component which sets it would change."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - as above
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark = True, False


@contextmanager
def kept_settings() -> Iterator[None]:
    """Restore every global setting afterwards."""
    settings, rng_state = _settings(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(rng_state)
        torch.set_default_dtype(settings["torch's default dtype"])
        torch.set_grad_enabled(settings["torch's grad mode"])
        torch.use_deterministic_algorithms(settings["torch's deterministic algorithms"])
        torch.set_float32_matmul_precision(settings["torch's matmul precision"])
        torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark = settings["cudnn's flags"]
        torch.set_num_threads(settings["torch's number of threads"])
        random.setstate(settings["Python's random state"])
        np.random.set_state(settings["numpy's random state"])  # noqa: NPY002 - as above
        os.environ.clear()
        os.environ.update(settings["the environment"])
        os.chdir(settings["the working folder"])


@contextmanager
def no_global_draws() -> Iterator[None]:
    """Raise CheckFailed if torch's, Python's or numpy's global random numbers are drawn."""

    def states() -> tuple[bytes, str, str]:
        numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - as above
        return torch.get_rng_state().numpy().tobytes(), repr(random.getstate()), repr(numpy_state)

    before = states()
    yield
    for name, old, new in zip(("torch", "Python", "numpy"), before, states(), strict=True):
        require(old == new, f"it draws from {name}'s global generator")


def near(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors are equal within rounding."""
    return torch.allclose(one, two, rtol=1e-4, atol=1e-5)


def unchanged(before: Tensor, after: Tensor, what: str) -> None:
    """Raise CheckFailed if an input was changed in place."""
    if not torch.equal(before, after):
        raise CheckFailed(f"it changes {what} in place")
