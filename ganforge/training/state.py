"""State of a training: the tensors of a checkpoint, and loading them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganforge.components import weights_sha256
from ganforge.errors import CheckpointError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import TrainedModules
from ganforge.training.checkpoint import Checkpoint, Tensors, to_cpu
from ganforge.training.ema import GeneratorEma
from ganforge.training.optimizer_state import load_optimizer, optimizer_tensors
from ganforge.utils.schema import excerpt

#: Names of checkpoint files, which a phase may not have.
RESERVED_PHASES = frozenset({"generator", "discriminator", "generator_ema", "loss", "latent", "optimizers"})


@dataclass(frozen=True, slots=True)
class TrainState:
    """Everything with state: components, optimizers by phase, and the moving average of the generator, or None."""

    gan: TrainedModules
    optimizers: Mapping[str, Optimizer]
    ema: GeneratorEma | None


def component_tensors(gan: TrainedModules) -> dict[str, dict[str, tuple[Any, str]]]:
    """Return the tensors of the components by checkpoint file: name → (component, key of its state_dict).

    Frozen submodules are omitted. Submodules that a further phase trains are in a file of that phase.
    """
    files: dict[str, dict[str, tuple[Any, str]]] = {"generator": {}, "discriminator": {}}
    own_phase = {name: phase for name, (phase, _) in gan.optimized_modules().items() if phase not in {"gen", "disc"}}
    for name, component in gan.modules().items():
        file = _file_name(gan, name)
        for key, value in component.state_dict().items():
            attribute = key.partition(".")[0]
            if not isinstance(value, Tensor) or _is_below(key, component.frozen):
                continue
            phase = own_phase.get(f"{name}.{attribute}")
            if phase is None or name in {"generator", "discriminator"}:
                files.setdefault(file, {})[key] = (component, key)
            else:
                files.setdefault(phase, {})[f"{name}.{key}"] = (component, key)
    return files


def _is_below(key: str, attributes: Iterable[str]) -> bool:
    return any(key == attribute or key.startswith(f"{attribute}.") for attribute in attributes)


def _file_name(gan: TrainedModules, name: str) -> str:
    """Return the name of a component's file, in which the slash of a qualified name is a hyphen."""
    plain = name.replace("/", "-")
    if name in map(gan.augmentation_key, gan.augmentations):
        return f"augmentation-{plain.removeprefix('augmentation-')}"
    return f"term-{plain}" if name in gan.terms else plain


def state_tensors(state: TrainState) -> dict[str, Tensors]:
    """Return all tensors of a checkpoint, by file."""
    tensors = {
        file: {name: to_cpu(owner.state_dict()[key]) for name, (owner, key) in entries.items()}
        for file, entries in component_tensors(state.gan).items()
    }
    tensors["optimizers"] = {
        name: value
        for phase, optimizer in state.optimizers.items()
        for name, value in optimizer_tensors(optimizer, phase).items()
    }
    if state.ema is not None:
        tensors["generator_ema"] = {name: to_cpu(value) for name, value in _ema_tensors(state.ema).items()}
    return tensors


def _ema_tensors(ema: GeneratorEma) -> Tensors:
    frozen = ema.generator.frozen
    return {key: value for key, value in ema.generator.state_dict().items() if not _is_below(key, frozen)}


def frozen_fingerprints(gan: TrainedModules) -> dict[str, str]:
    """Return the SHA-256 of the weights of each frozen submodule, by `COMPONENT.ATTRIBUTE`."""
    return {name: weights_sha256(module) for name, module in gan.frozen_modules().items()}


def synchronized_tensors(gan: TrainedModules) -> list[Tensor]:
    """Return the tensors that are equal on all ranks: weights, and the state of terms, latents and augmentations.

    Buffers of the two networks are omitted, since statistics of batch norm differ by rank.
    """
    tensors = [weight.detach() for component in gan.modules().values() for weight in component.parameters()]
    others = (component for name, component in gan.modules().items() if name not in {"generator", "discriminator"})
    return tensors + [buffer for component in others for buffer in component.buffers()]


def digest(tensors: Iterable[Tensor]) -> str:
    """Return a SHA-256 of tensors, shortened."""
    sha256 = hashlib.sha256()
    for tensor in tensors:
        sha256.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()[:16]


def first_not_finite_weight(tensors: Mapping[str, Tensors]) -> str | None:
    """Return the file and name of the first tensor with a number that is not finite, or None."""
    for file, content in tensors.items():
        for name, value in content.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                return f"{file} {name}"
    return None


def load_components(gan: TrainedModules, checkpoint: Checkpoint) -> None:
    """Load all components from a checkpoint, in place.

    Raises CheckpointError if it is of other components, or if frozen weights differ from those of the training.
    """
    for component in gan.modules().values():
        component.stage(checkpoint.step)
    for file, entries in component_tensors(gan).items():
        own = {name: owner.state_dict()[key] for name, (owner, key) in entries.items()}
        checkpoints.load_tensors(own, checkpoint.file(file), file)
    fingerprints = frozen_fingerprints(gan)
    for name, expected in checkpoint.state["frozen"].items():
        if fingerprints.get(name) != expected:
            raise CheckpointError(
                f"frozen weights of {excerpt(name)} differ from those of the training: fingerprint "
                f"{str(fingerprints.get(name))[:12]}, expected {excerpt(expected)[:12]}",
                fix="load the weights of the training into the component",
            )


def load_state(state: TrainState, checkpoint: Checkpoint) -> None:
    """Load components, optimizers and the moving average from a checkpoint. Raises CheckpointError if they differ."""
    expected = state_tensors(state).keys()
    if checkpoint.tensors.keys() != expected:
        raise CheckpointError(
            f"the checkpoint has the files {excerpt(', '.join(checkpoint.tensors))}; required: {', '.join(expected)}"
        )
    unknown = [name for name in checkpoint.file("optimizers") if name.partition("/")[0] not in state.optimizers]
    if unknown or checkpoint.state["optimizers"].keys() != state.optimizers.keys():
        name = unknown[0] if unknown else ", ".join(checkpoint.state["optimizers"])
        raise CheckpointError(f"optimizers: {excerpt(name)} belongs to no optimizer")
    load_components(state.gan, checkpoint)
    for phase, optimizer in state.optimizers.items():
        groups = checkpoint.state["optimizers"][phase]
        load_optimizer(optimizer, checkpoint.file("optimizers"), groups, phase, "optimizers")
    if state.ema is not None:
        checkpoints.load_tensors(_ema_tensors(state.ema), checkpoint.file("generator_ema"), "generator_ema")
