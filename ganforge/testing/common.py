"""What every component must keep, whatever its kind."""

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
from torch import nn

from ganforge.config.optimizers import NOTHING
from ganforge.testing.checks import Check, Failed, define, does_not_apply, require
from ganforge.testing.fixture import SHAPED, Subject
from ganforge.testing.sandbox import heavy_imports

CHECKS: list[Check] = []


@define(
    CHECKS,
    "light-import",
    fix="name classes by text, target='package.module:Class', and import torch only in that module",
)
def _light_import(subject: Subject) -> None:
    """Importing the plugin's module imports no torch, so that `ganforge list` answers at once."""
    source = subject.entry.source
    if source.path is not None:
        does_not_apply("a local plugin is imported only where it is named; it may hold its classes itself")
    modules = [
        getattr(plugin, "__name__", "") for plugin, giver in subject.registry.plugins.admitted if giver == source
    ]
    if not modules:
        does_not_apply("the component was not given by an installed plugin")
    for module in modules:
        found = heavy_imports(module)
        require(not found, f"importing {module} imports {', '.join(found)}")


@define(CHECKS, "builds", fix="give every option a default, and let the constructor take what its base class takes")
def _builds(subject: Subject) -> None:
    """It can be built with its options, and keeps them."""
    made = subject.make()
    require(made.options == subject.options, "it does not keep its options: call super().__init__ with all arguments")


@define(CHECKS, "options-round-trip", fix="use types that pydantic writes as plain TOML: numbers, text, lists, paths")
def _options_round_trip(subject: Subject) -> None:
    """Options survive being written to run.toml and to JSON, and being read again."""
    plain = subject.options.model_dump(mode="json")
    spelled = {key: NOTHING if value is None else value for key, value in plain.items()}
    read = {"TOML": tomllib.loads(tomli_w.dumps(spelled)), "JSON": json.loads(json.dumps(plain))}
    for form, values in read.items():
        again = subject.cls.Options.model_validate(values)
        require(again == subject.options, f"through {form} they become {again!r}, not {subject.options!r}")


@define(CHECKS, "same-seed-same-weights", fix="draw weights from torch's generator alone, as torch's layers do")
def _same_seed_same_weights(subject: Subject) -> None:
    """Built twice under one seed it has the same weights."""
    one, two = subject.make(1), subject.make(1)
    if not isinstance(one, nn.Module):
        does_not_apply("it has no weights")
    tensors, others = one.state_dict(), two.state_dict()
    require(tensors.keys() == others.keys(), "it has other weights each time that it is built")
    for name, value in tensors.items():
        require(torch.equal(value, others[name]), f"{name} differs between two of the same seed")


@define(
    CHECKS, "leaves-global-state", fix="change no global setting; seed nothing: the engine does, and resumes exactly"
)
def _leaves_global_state(subject: Subject) -> None:
    """Building it changes no global setting of torch, numpy or Python, and seeds no generator."""
    drawn = []
    for seed in (1, 2):
        with kept_settings():
            _plain_settings(seed)
            before = _settings()
            if subject.kind in SHAPED:
                subject.cls(subject.options, subject.image)
            else:
                subject.cls(subject.options)
            after = _settings()
            drawn.append(torch.get_rng_state())
        changed = [name for name, value in before.items() if repr(value) != repr(after[name])]
        require(not changed, f"building it changes {', '.join(changed)}")
    require(not torch.equal(*drawn), "building it seeds torch's global generator")


def _settings() -> dict[str, Any]:
    """Return what a component must leave as it was; weights are drawn from torch's generator, which is not in it."""
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "the matrix products' precision": torch.get_float32_matmul_precision(),
        "cudnn's flags": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark),
        "the number of torch's threads": torch.get_num_threads(),
        "Python's random state": random.getstate(),
        "numpy's random state": np.random.get_state(legacy=False),  # noqa: NPY002 - the global one is what is meant
        "the environment": dict(os.environ),
        "the working folder": Path.cwd(),
    }


def _plain_settings(seed: int) -> None:
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
    """Put every global setting back afterwards, whatever a component did to it."""
    settings, drawn = _settings(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(drawn)
        torch.set_default_dtype(settings["torch's default dtype"])
        torch.set_grad_enabled(settings["torch's grad mode"])
        torch.use_deterministic_algorithms(settings["torch's deterministic algorithms"])
        torch.set_float32_matmul_precision(settings["the matrix products' precision"])
        torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark = settings["cudnn's flags"]
        torch.set_num_threads(settings["the number of torch's threads"])
        random.setstate(settings["Python's random state"])
        np.random.set_state(settings["numpy's random state"])  # noqa: NPY002 - as above
        os.environ.clear()
        os.environ.update(settings["the environment"])
        os.chdir(settings["the working folder"])


def unchanged(before: torch.Tensor, after: torch.Tensor, what: str) -> None:
    """Raise Failed where an input was changed in place."""
    if not torch.equal(before, after):
        raise Failed(f"it changes {what} in place")
