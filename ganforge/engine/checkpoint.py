"""Checkpoints: tensors in safetensors files, numbers in JSON, a checksum for each file, and no pickle anywhere.

One is written into a hidden folder beside its place, every file synced, and then renamed: a folder called step-… is
whole. checksums.json names every file with its SHA-256 and is written last; what does not agree with it is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.errors import CheckpointError
from ganforge.runs import RunDirectory
from ganforge.runs.files import sync_folder, write_atomically

Tensors = dict[str, Tensor]
CHECKSUMS = "checksums.json"
STATE = "state.json"
PREFIX = "step-"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold a checkpoint's content: tensors by file (`generator`, `discriminator`, …) and name, and plain numbers."""

    tensors: Mapping[str, Tensors]
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """The number of generator updates that it was made after."""
        return int(self.state["step"])


def save(run: RunDirectory, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint whole and return its folder. Raises OSError; nothing under its final name is then there."""
    place = run.checkpoint_path(checkpoint.step)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for name, tensors in checkpoint.tensors.items():
            file = temporary / f"{name}.safetensors"
            try:
                save_file(tensors, file)
            except SafetensorError as error:  # how safetensors reports a full disk
                raise OSError(f"{file.name} cannot be written: {error}") from None
        write_atomically(temporary / STATE, json.dumps({"format": FORMAT, **checkpoint.state}, indent=2) + "\n")
        digests = {file.name: _digest(file, sync=True) for file in sorted(temporary.iterdir())}
        write_atomically(temporary / CHECKSUMS, json.dumps(digests, indent=2) + "\n")
        if place.exists():  # the same step, trained again after a rewind
            shutil.rmtree(place)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(run.checkpoints)
    return place


def load(folder: Path) -> Checkpoint:
    """Return a checkpoint whose every file agrees with its checksum. Raises CheckpointError, naming the file."""
    digests = _read_json(folder / CHECKSUMS)
    names = {f.name for f in folder.iterdir()} - {CHECKSUMS}
    if names != digests.keys() or STATE not in names:
        raise CheckpointError(f"{folder} is not whole: it has {', '.join(sorted(names)) or 'no files'}")
    tensors: dict[str, Tensors] = {}
    for name, digest in digests.items():
        file = folder / name
        try:
            if _digest(file) != digest:
                raise CheckpointError(f"{file} is damaged: its checksum is another")
            if file.suffix == ".safetensors":
                tensors[file.stem] = load_file(file)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from None
    state = _read_json(folder / STATE)
    if state.get("format") != FORMAT:
        raise CheckpointError(f"{folder} has format {state.get('format')!r}; this ganforge reads {FORMAT}")
    if not isinstance(state.get("step"), int):
        raise CheckpointError(f"{folder / STATE} names no step")
    return Checkpoint(tensors, state)


def steps(run: RunDirectory) -> list[int]:
    """Return the steps that have a checkpoint, newest first."""
    if not run.checkpoints.is_dir():
        return []
    names = (path.name.removeprefix(PREFIX) for path in run.checkpoints.iterdir() if path.name.startswith(PREFIX))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def load_newest(run: RunDirectory, notice: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest valid checkpoint, or None where there never was one; each damaged one is named to `notice`.

    Raises CheckpointError where there are checkpoints but none is valid.
    """
    found = steps(run)
    for step in found:
        try:
            return load(run.checkpoint_path(step))
        except CheckpointError as error:
            notice(f"{error}; it is skipped")
    if found:
        raise CheckpointError(
            f"no checkpoint of {run.path} is whole; all {len(found)} are damaged",
            fix=f"to train from the start: ganforge run --config {run.config}",
        )
    return None


def remove_leftovers(run: RunDirectory) -> None:
    """Remove what a killed process left half written; only the holder of the run's lock may call this."""
    for folder in (run.path, run.checkpoints, run.samples):
        for leftover in folder.glob(".*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def prune(run: RunDirectory, *, newest: int, keep: int, best: int | None) -> None:
    """Remove all but the `keep` checkpoints up to the one just saved, and the best one.

    Later ones, damaged and therefore skipped when the run went on, must not count: the whole ones would be removed.
    """
    for step in [step for step in steps(run) if step <= newest][keep:]:
        if step != best:
            shutil.rmtree(run.checkpoint_path(step))


def module_tensors(module: nn.Module) -> Tensors:
    """Return a module's state as plain tensors on the CPU, each with storage of its own."""
    return {name: _plain(value) for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Fill a module's state in place. Raises CheckpointError unless names, shapes and types all agree."""
    own = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    _check_names(own.keys(), tensors.keys(), what)
    for name, value in own.items():
        _check_tensor(f"{what}: {name}", value, tensors[name])
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


def optimizer_tensors(optimizer: Optimizer, prefix: str) -> Tensors:
    """Return an optimiser's state as plain tensors, named PREFIX/weight's number/key."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}/{number}/{key}": _plain(torch.as_tensor(value))
        for number, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], prefix: str, what: str) -> None:
    """Fill an optimiser's state. Raises CheckpointError where it does not belong to these weights."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        owner, _, rest = name.partition("/")
        number, _, key = rest.partition("/")
        if owner != prefix:
            continue
        if not number.isdecimal() or int(number) >= len(weights):
            raise CheckpointError(f"{what}: {name} belongs to no weight")
        weight = weights[int(number)]
        if value.ndim:
            if value.shape != weight.shape:
                shapes = f"{tuple(value.shape)}; its weight has {tuple(weight.shape)}"
                raise CheckpointError(f"{what}: {name} has shape {shapes}")
            # In the weight's own memory layout: fused optimisers walk through both as they lie.
            value = torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)  # noqa: PLW2901
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _plain(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _check_names(own: Any, given: Any, what: str) -> None:  # noqa: ANN401 - two key views
    missing, unknown = sorted(own - given), sorted(given - own)
    if missing:
        raise CheckpointError(f"{what} does not belong to this network: it lacks {missing[0]}")
    if unknown:
        raise CheckpointError(f"{what} does not belong to this network: it has an unknown {unknown[0]}")


def _check_tensor(name: str, own: Tensor, given: Tensor) -> None:
    if own.shape != given.shape or own.dtype != given.dtype:
        raise CheckpointError(
            f"{name} is {given.dtype} {tuple(given.shape)}; this network's is {own.dtype} {tuple(own.shape)}"
        )


def _digest(path: Path, *, sync: bool = False) -> str:
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold an object")
    return content
