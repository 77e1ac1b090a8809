"""Checkpoints: tensors in safetensors files, numbers in JSON, a checksum for each file, and no pickle anywhere.

One is written into a hidden folder beside its place, every file synced, and then renamed: a folder called step-… is
whole. checksums.json names every file with its SHA-256 and is written last; what does not agree with it is not used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.errors import CheckpointError
from ganforge.training.checkpoint_io import (
    FORMAT,
    MOST_JSON_BYTES,
    as_json,
    as_tensors,
    check_state,
    read_bytes,
    shown,
    shown_shape,
)
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import sync_folder, write_atomically

Tensors = dict[str, Tensor]
CHECKSUMS = "checksums.json"
STATE = "state.json"
PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold a checkpoint's content: tensors by file (`generator`, `discriminator`, …) and name, and plain numbers."""

    tensors: Mapping[str, Tensors]
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """The number of generator updates that it was made after."""
        return int(self.state["step"])

    def part(self, name: str) -> Tensors:
        """Return the tensors of one file. Raises CheckpointError where there is none of that name."""
        if name not in self.tensors:
            raise CheckpointError(f"the checkpoint of step {self.step} holds no {name}")
        return self.tensors[name]


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
        digests = {file.name: _digest(file) for file in sorted(temporary.iterdir())}
        write_atomically(temporary / CHECKSUMS, json.dumps(digests, indent=2) + "\n")
        if place.exists() or place.is_symlink():  # the same step, trained again after a rewind
            _remove(place)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(run.checkpoints)
    return place


def load(folder: Path) -> Checkpoint:
    """Return a checkpoint whose every file agrees with its checksum. Raises CheckpointError, naming the file."""
    digests = as_json(read_bytes(folder / CHECKSUMS, MOST_JSON_BYTES), folder / CHECKSUMS)
    names = _file_names(folder) - {CHECKSUMS}
    if names != digests.keys() or STATE not in names:
        raise CheckpointError(f"{folder} is not whole: it has {shown(', '.join(sorted(names))) or 'no files'}")
    tensors: dict[str, Tensors] = {}
    state: dict[str, Any] = {}
    for name, digest in digests.items():
        file = folder / name
        # Read once: what is used is what agreed.
        content = read_bytes(file, MOST_JSON_BYTES if name == STATE else math.inf)
        if hashlib.sha256(content).hexdigest() != digest:
            raise CheckpointError(f"{file} is damaged: its checksum is another")
        if file.suffix == ".safetensors":
            tensors[file.stem] = as_tensors(content, file)
        elif name == STATE:
            state = as_json(content, file)
    check_state(state, folder / STATE)
    if folder.name != f"{PREFIX}{state['step']:08d}":
        raise CheckpointError(f"{folder / STATE} is of step {state['step']}, not of this folder's")
    return Checkpoint(tensors, state)


def steps(run: RunDirectory) -> list[int]:
    """Return the steps that have a checkpoint, newest first."""
    if not run.checkpoints.is_dir():
        return []
    names = {path.name for path in run.checkpoints.iterdir() if path.name.startswith(PREFIX)}
    numbers = {int(name.removeprefix(PREFIX)) for name in names if name.removeprefix(PREFIX).isdecimal()}
    return sorted((step for step in numbers if run.checkpoint_path(step).name in names), reverse=True)


def load_newest(run: RunDirectory, notice: Callable[[str], None], *, before: float = math.inf) -> Checkpoint | None:
    """Return the newest valid checkpoint, or None where there never was one; each damaged one is named to `notice`.

    before: a step that it should be of an earlier one than; where none is, the earliest there is comes nearest. Raises
    CheckpointError where there are checkpoints but none is valid.
    """
    found = [step for step in steps(run) if step < before] + [step for step in steps(run)[::-1] if step >= before]
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
    for folder in (run.path, run.checkpoints, run.samples, run.evaluation_pictures):
        for leftover in folder.glob(".*.tmp"):
            _remove_at_once(leftover)


def prune(run: RunDirectory, *, newest: int, keep: int, best: int | None) -> None:
    """Remove all but the `keep` checkpoints up to the one just saved, and the best one.

    Later ones, damaged and therefore skipped when the run went on, must not count: the whole ones would be removed.
    """
    for step in [step for step in steps(run) if step <= newest][keep:]:
        if step != best:
            _remove(run.checkpoint_path(step))


def remove_later(run: RunDirectory, step: int) -> None:
    """Remove the checkpoints after a step that a run goes back to: they are of a training that is given up."""
    for later in steps(run):
        if later > step:
            _remove(run.checkpoint_path(later))


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
    numbers = {str(number): number for number in range(len(weights))}
    kept = _kept_for_a_weight(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        owner, _, rest = name.partition("/")
        number, _, key = rest.partition("/")
        if owner != prefix:
            continue
        if number not in numbers or key not in kept:
            raise CheckpointError(f"{what}: {shown(name)} belongs to no weight of this optimiser")
        weight, example = weights[numbers[number]], kept[key]
        own = torch.empty_like(weight, requires_grad=False) if example.ndim else example
        _check_tensor(f"{what}: {name}", own, value, "this weight's")
        # In the weight's own memory layout: fused optimisers walk through both as they lie.
        state.setdefault(numbers[number], {})[key] = own.copy_(value) if example.ndim else value.clone()
    for index, values in state.items():
        if kept.keys() != values.keys():
            raise CheckpointError(f"{what} lacks {prefix}/{index}/{min(kept.keys() - values.keys())}")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _kept_for_a_weight(optimizer: Optimizer) -> Tensors:
    """Return what an optimiser keeps for a weight of one number, `(1,)`, after a step: scalars, and as the weight."""
    group = optimizer.param_groups[0]
    weight = nn.Parameter(torch.zeros(1, device=group["params"][0].device))
    weight.grad = torch.zeros_like(weight)
    kind: Callable[..., Optimizer] = type(optimizer)
    example = kind([{**group, "params": [weight]}])
    example.step()
    return {key: torch.as_tensor(value) for key, value in example.state[weight].items() if value is not None}


def _plain(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _check_names(own: Any, given: Any, what: str) -> None:  # noqa: ANN401 - two key views
    missing, unknown = sorted(own - given), sorted(given - own)
    if missing:
        raise CheckpointError(f"{what} does not belong to this network: it lacks {missing[0]}")
    if unknown:
        raise CheckpointError(f"{what} does not belong to this network: it has an unknown {shown(unknown[0])}")


def _check_tensor(name: str, own: Tensor, given: Tensor, whose: str = "this network's") -> None:
    if own.shape != given.shape or own.dtype != given.dtype:
        raise CheckpointError(
            f"{name} is {given.dtype} {shown_shape(given.shape)}; {whose} is {own.dtype} {tuple(own.shape)}"
        )


def _file_names(folder: Path) -> set[str]:
    try:
        return {file.name for file in folder.iterdir()}
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from None


def _remove(place: Path) -> None:
    """Remove a checkpoint whole: its name goes first, so that no half of it is ever found under it."""
    aside = place.with_name(f".{place.name}.{os.getpid()}.removed.tmp")
    place.rename(aside)
    _remove_at_once(aside)


def _remove_at_once(path: Path) -> None:
    """Remove a folder with what is in it, a file, or a link but not where it leads."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _digest(path: Path) -> str:
    """Return a file's SHA-256, once its content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
