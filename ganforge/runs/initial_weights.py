"""Initial weights of a run: those of another run's checkpoint or of a safetensors file, and frozen parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from ganforge.config import InitialWeights
from ganforge.errors import ConfigError, GanforgeError
from ganforge.runs.sources import HUB, open_source
from ganforge.schemas.manifest import InitialWeightsRecord
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents, TrainedModules
from ganforge.training.checkpoint import CHECKSUMS, Checkpoint, Tensors
from ganforge.training.checkpoint_io import parse_tensors, read_bytes
from ganforge.training.run_directory import RunDirectory
from ganforge.training.state import component_tensors
from ganforge.utils.files import expanded
from ganforge.utils.suggest import did_you_mean

#: Tensors that a notice names; run.json lists all.
MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Tensors of a source, by checkpoint file and name; for the other attributes see `InitialWeightsRecord`."""

    tensors: Mapping[str, Tensors]
    sha256: str
    step: int | None


def start_from_weights(gan: GANComponents, *, initialize: bool) -> InitialWeightsRecord | None:
    """Load the weights that a new run starts from, and freeze parameters, in resumed runs, too.

    Args:
        gan: The components.
        initialize: Whether the run is new.

    Returns:
        The record for run.json, which names the tensors that did not match, or None if nothing is loaded.

    Raises:
        ConfigError: The source cannot be read or matches no tensor, or a pattern of `freeze` matches no parameter.
    """
    init = gan.resolved.experiment.init
    if init is None:
        return None
    record = _load(gan, init) if initialize else None
    if record is not None:
        gan.resolved.notices.append(_notice(record))
    _freeze(gan, init.freeze)
    return record


def _load(modules: TrainedModules, init: InitialWeights) -> InitialWeightsRecord:
    """Copy every tensor of the source whose name and shape match a tensor of the components."""
    source = _read(init.source)
    matched: list[tuple[Tensor, Tensor]] = []
    skipped: list[str] = []
    for file, entries in component_tensors(modules).items():
        available = source.tensors.get(file, {})
        if not available and entries:
            skipped.append(f"{file}: not in the source")
            continue
        for name, (owner, key) in entries.items():
            target = owner.state_dict()[key]
            value = available.get(name)
            if value is None:
                skipped.append(f"{file}.{name}: not in the source")
            elif value.shape != target.shape or value.is_floating_point() != target.is_floating_point():
                skipped.append(f"{file}.{name}: {_describe(target)} here, {_describe(value)} in the source")
            else:
                matched.append((target, value))
        skipped += [f"{file}.{name}: not in this network" for name in sorted(available.keys() - entries.keys())]
    if not matched:
        raise ConfigError(
            f"--init {init.source}: no tensor has the name and shape of one of these components; {skipped[0]}",
            fix="choose the components and options that the weights were trained with",
        )
    with torch.no_grad():
        for target, value in matched:
            target.copy_(value)
    return InitialWeightsRecord(
        source=init.source, sha256=source.sha256, step=source.step, loaded=len(matched), skipped=skipped
    )


def _notice(record: InitialWeightsRecord) -> str:
    """Return a line about what was loaded and what was not."""
    step = "" if record.step is None else f", step {record.step:,}"
    text = f"--init {record.source}{step}: {record.loaded} tensors loaded"
    if record.skipped:
        more = len(record.skipped) - MAX_NAMED
        names = "; ".join(record.skipped[:MAX_NAMED]) + (f"; and {more} more, listed in run.json" if more > 0 else "")
        text += f", {len(record.skipped)} not: {names}"
    return text


def _freeze(modules: TrainedModules, patterns: Iterable[str]) -> None:
    """Exclude parameters from training by names such as `discriminator.layers.0`, or by shell patterns."""
    parameters = {
        f"{component}.{name}": parameter
        for component, module in modules.modules().items()
        for name, parameter in module.named_parameters()
    }
    prefixes = {".".join(name.split(".")[:depth]) for name in parameters for depth in range(1, name.count(".") + 2)}
    for pattern in patterns:
        matching = [name for name in parameters if name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(f"init.freeze {pattern!r} matches no parameter{did_you_mean(pattern, sorted(prefixes))}")
        for name in matching:
            parameters[name].requires_grad_(False)


def _read(source: str) -> WeightsSource:
    """Return the tensors of a safetensors file, or of a run in any of its forms. Raises ConfigError."""
    path = expanded(source)
    try:
        if path.suffix == ".safetensors":
            return _read_file(path)
        if source.startswith(f"{HUB}:"):
            return _read_run(open_source(source), "")
        folder, _, step = ("", "", source) if path.exists() else source.rpartition("@")
        return _read_run(open_source(expanded(folder) if folder else path), step if folder else "")
    except GanforgeError as error:
        fix = error.fix
        if path.suffix in {".pt", ".pth", ".pkl", ".bin", ".ckpt"}:
            fix = f"convert it: ganforge import-weights {source}"
        raise ConfigError(f"--init {source}: {error.message}", fix=fix) from None


def _read_run(run: RunDirectory, step: str) -> WeightsSource:
    checkpoint: Checkpoint | None
    if not step:
        checkpoint = checkpoints.load_newest(run, lambda _: None)
    elif step.isdecimal() and int(step) in checkpoints.steps(run):
        checkpoint = checkpoints.load(run.checkpoint_path(int(step)))
    else:
        available = ", ".join(map(str, checkpoints.steps(run))) or "none"
        raise ConfigError(f"no checkpoint of step {step!r} (available: {available})")
    if checkpoint is None:
        raise ConfigError("the run has no checkpoint")
    content = read_bytes(run.checkpoint_path(checkpoint.step) / CHECKSUMS)
    tensors = dict(checkpoint.tensors)
    if "generator" not in tensors:  # a bundle has the moving average alone
        tensors["generator"] = tensors.get("generator_ema", {})
    return WeightsSource(tensors, hashlib.sha256(content).hexdigest(), checkpoint.step)


def _read_file(path: Path) -> WeightsSource:
    """Return the tensors of a file.

    A prefix such as `discriminator.` or, for a checkpoint's file, the file's name chooses the component; other tensors
    are the generator's.
    """
    named_after = "discriminator" if path.stem == "discriminator" else "generator"
    content = read_bytes(path)
    tensors: dict[str, Tensors] = {}
    for name, value in parse_tensors(content, path).items():
        component, _, rest = name.partition(".")
        prefixed = component in {"generator", "discriminator"} and rest
        tensors.setdefault(component if prefixed else named_after, {})[rest if prefixed else name] = value
    return WeightsSource(tensors, hashlib.sha256(content).hexdigest(), None)


def _describe(value: Tensor) -> str:
    shape = " × ".join(map(str, value.shape)) or "a number"
    return shape if value.is_floating_point() else f"{shape} of {str(value.dtype).removeprefix('torch.')}"
