"""Checkpoints: safetensors files, state.json, and a checksum for each file; no pickle.

A checkpoint is written into a hidden folder, every file is synced, and the folder is renamed, so a folder step-… is
always complete. checksums.json is written last and has the SHA-256 of every other file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ganforge.errors import CheckpointError
from ganforge.training.checkpoint_io import FORMAT, parse_checksums, parse_state, parse_tensors, read_bytes
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import sync, write_atomically
from ganforge.utils.schema import MAX_TEXT_LENGTH, excerpt

Tensors = dict[str, Tensor]
CHECKSUMS = "checksums.json"
STATE = "state.json"
PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Content of a checkpoint: tensors by file (`generator`, `discriminator`, …) and name, and that of state.json."""

    tensors: Mapping[str, Tensors]
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Number of steps before the checkpoint."""
        return int(self.state["step"])

    def file(self, name: str) -> Tensors:
        """Return the tensors of one file. Raises CheckpointError if there is no such file."""
        if name not in self.tensors:
            raise CheckpointError(f"the checkpoint of step {self.step} has no file {name}.safetensors")
        return self.tensors[name]


def save(run: RunDirectory, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and return its folder. Raises OSError; the folder does not exist then."""
    folder = run.checkpoint_path(checkpoint.step)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        write_atomically(temporary / STATE, json.dumps({"format": FORMAT, **checkpoint.state}, indent=2) + "\n")
        mode = (temporary / STATE).stat().st_mode
        for name, tensors in checkpoint.tensors.items():
            file = temporary / f"{name}.safetensors"
            try:
                save_file(tensors, file)
            except SafetensorError as error:  # such as a full disk
                raise OSError(f"{file.name} cannot be written: {error}") from None
            file.chmod(mode)  # safetensors writes files that only their owner can read
        digests = {file.name: _sync_and_digest(file) for file in sorted(temporary.iterdir())}
        write_atomically(temporary / CHECKSUMS, json.dumps(digests, indent=2) + "\n")
        if folder.exists() or folder.is_symlink():  # the same step before a rollback
            remove(run, checkpoint.step)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(run.checkpoints)
    return folder


def load(folder: Path) -> Checkpoint:
    """Return a checkpoint after verification of all checksums. Raises CheckpointError, which names the file."""
    digests = parse_checksums(read_bytes(folder / CHECKSUMS), folder / CHECKSUMS)
    try:
        names = {file.name for file in folder.iterdir()} - {CHECKSUMS}
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from None
    if names != digests.keys() or STATE not in names:
        raise CheckpointError(f"{folder} is incomplete: it has {excerpt(', '.join(sorted(names))) or 'no files'}")
    tensors: dict[str, Tensors] = {}
    state: dict[str, Any] = {}
    for name, digest in digests.items():
        file = folder / name
        # Read once, so that the verified bytes are those that are used.
        content = read_bytes(file)
        if hashlib.sha256(content).hexdigest() != digest:
            raise CheckpointError(f"{file} is damaged: its checksum does not match")
        if file.suffix == ".safetensors":
            tensors[file.stem] = parse_tensors(content, file)
        elif name == STATE:
            state = parse_state(content, file)
    if folder.name != f"{PREFIX}{state['step']:08d}":
        raise CheckpointError(f"{folder / STATE} is of step {state['step']}, which is not the folder's")
    return Checkpoint(tensors, state)


def steps(run: RunDirectory) -> list[int]:
    """Return the steps of all checkpoints, newest first."""
    if not run.checkpoints.is_dir():
        return []
    names = {path.name for path in run.checkpoints.iterdir() if path.name.startswith(PREFIX)}
    numbers = {int(name.removeprefix(PREFIX)) for name in names if name.removeprefix(PREFIX).isdecimal()}
    return sorted((step for step in numbers if run.checkpoint_path(step).name in names), reverse=True)


def load_newest(run: RunDirectory, notice: Callable[[str], None], *, before: float = math.inf) -> Checkpoint | None:
    """Return the newest valid checkpoint, by preference of an earlier step than `before`; None without checkpoints.

    If there is no such step, the earliest later one is loaded. A notice names each damaged checkpoint. Raises
    CheckpointError if all are damaged.
    """
    newest_first = steps(run)
    candidates = [step for step in newest_first if step < before]
    candidates += [step for step in newest_first[::-1] if step >= before]
    for step in candidates:
        try:
            return load(run.checkpoint_path(step))
        except CheckpointError as error:
            notice(f"{error}; it is skipped")
    if candidates:
        raise CheckpointError(
            f"{run.path} has no valid checkpoint; all {len(candidates)} are damaged",
            fix=f"to train from the start: {run.command('run', '--config', run.config)}",
        )
    return None


def remove_temporary_files(run: RunDirectory) -> None:
    """Remove temporary files of a killed process; only the holder of the run's lock may call this."""
    for folder in (run.path, run.checkpoints, run.samples, run.evaluation_pictures):
        for path in folder.glob(".*.tmp"):
            _delete(path)


def prune(run: RunDirectory, *, newest: int, keep: int, best: int | None) -> None:
    """Remove all but `keep` checkpoints up to `newest`, the step just saved, and the best one.

    Later ones are damaged, and do not count.
    """
    for step in [step for step in steps(run) if step <= newest][keep:]:
        if step != best:
            remove(run, step)


def remove_later(run: RunDirectory, step: int) -> None:
    """Remove the checkpoints after a step, when a rollback discards them."""
    for later in steps(run):
        if later > step:
            remove(run, later)


def remove(run: RunDirectory, step: int) -> None:
    """Remove the checkpoint of a step. Raises OSError.

    It is renamed first, so that a killed process leaves no incomplete folder step-….
    """
    folder = run.checkpoint_path(step)
    renamed = folder.with_name(f".{folder.name}.{os.getpid()}.removed.tmp")
    folder.rename(renamed)
    _delete(renamed)


def to_cpu(value: Tensor) -> Tensor:
    """Return a contiguous copy on the CPU."""
    return value.detach().to("cpu", copy=True).contiguous()


def module_tensors(module: nn.Module, frozen: Sequence[str] = ()) -> Tensors:
    """Return the tensors of a module that a checkpoint has: those outside of `frozen` submodules."""
    below = tuple(f"{attribute}." for attribute in frozen)
    own = module.state_dict().items()
    return {key: value for key, value in own if isinstance(value, Tensor) and not key.startswith(below)}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], what: str, *, frozen: Sequence[str] = ()) -> None:
    """Load a module in place; `frozen` submodules are not in the checkpoint. Raises as `load_tensors` does."""
    load_tensors(module_tensors(module, frozen), tensors, what)


def load_tensors(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy values into tensors in place. Raises CheckpointError unless names, shapes and types agree."""
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing:
        raise CheckpointError(f"{what} does not belong to this network: it lacks {missing[0]}")
    if unknown:
        raise CheckpointError(f"{what} does not belong to this network: it has an unknown {excerpt(unknown[0])}")
    for name, value in own.items():
        check_tensor(f"{what}: {name}", value, tensors[name])
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


def check_tensor(name: str, own: Tensor, loaded: Tensor, whose: str = "this network's") -> None:
    """Raise CheckpointError unless shapes and types agree."""
    if own.shape != loaded.shape or own.dtype != loaded.dtype:
        shape = excerpt(str(tuple(loaded.shape[:MAX_TEXT_LENGTH])))
        raise CheckpointError(f"{name} is {loaded.dtype} {shape}; {whose} is {own.dtype} {tuple(own.shape)}")


def _delete(path: Path) -> None:
    """Delete a folder with its content, a file, or a link without its target."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sync_and_digest(path: Path) -> str:
    """Write a file's content to the disk and return its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
