"""Global settings and random generators of torch, numpy and Python."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganforge.testing.checks import require

GENERATORS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[int], Any]]] = {
    "torch": (torch.get_rng_state, torch.set_rng_state, torch.manual_seed),
    "Python": (random.getstate, random.setstate, random.seed),
    "numpy": (lambda: np.random.get_state(legacy=False), np.random.set_state, np.random.seed),  # noqa: NPY002 - the global one
}


def _cudnn() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def _set_cudnn(flags: tuple[bool, ...]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


#: Getter and setter of each setting, and a value that a component which sets it would change.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled, True),
    "torch's deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
        False,
    ),
    "torch's matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    "cudnn's flags": (_cudnn, _set_cudnn, (True, False, False, True)),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads, None),
    "the environment": (lambda: dict(os.environ), _set_environment, None),
    "the working folder": (Path.cwd, os.chdir, None),
}


@contextmanager
def kept_settings() -> Iterator[None]:
    """Restore every global setting and random generator afterwards."""
    pairs = [(write, read()) for read, write, _ in (*SETTINGS.values(), *GENERATORS.values())]
    try:
        yield
    finally:
        for write, value in pairs:
            write(value)


def set_defaults(seed: int) -> None:
    """Set every global setting to its default, and seed every generator."""
    for _, write, default in SETTINGS.values():
        if default is not None:
            write(default)
    for _, _, set_seed in GENERATORS.values():
        set_seed(seed)


def settings() -> dict[str, str]:
    """Return what a component must not change: all settings and generators but torch's, which draws weights."""
    values = {name: repr(read()) for name, (read, _, _) in SETTINGS.items()}
    return values | {f"{name}'s random state": repr(GENERATORS[name][0]()) for name in ("Python", "numpy")}


@contextmanager
def no_global_draws() -> Iterator[None]:
    """Raise CheckFailed if torch's, Python's or numpy's global random numbers are drawn."""

    def states() -> dict[str, Any]:
        states = {name: read() for name, (read, _, _) in GENERATORS.items()}
        return {name: state.tolist() if name == "torch" else repr(state) for name, state in states.items()}

    before = states()
    yield
    for name, state in states().items():
        require(state == before[name], f"it draws from {name}'s global generator, which belongs to the training")
