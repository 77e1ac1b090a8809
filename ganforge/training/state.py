"""Everything that training changes, as a checkpoint holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from ganforge.errors import CheckpointError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents
from ganforge.training.checkpoint import Checkpoint, Tensors
from ganforge.training.checkpoint_io import shown
from ganforge.training.ema import GeneratorEma
from ganforge.training.step import Side


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold what has a state: the networks and augmentations of an gan, the optimisers by network, the average."""

    gan: GANComponents
    optimizers: Mapping[Side, Optimizer]
    ema: GeneratorEma | None


def part_tensors(parts: Parts) -> dict[str, Tensors]:
    """Return all tensors, by checkpoint file."""
    tensors = {
        "generator": checkpoints.module_tensors(parts.gan.generator),
        "discriminator": checkpoints.module_tensors(parts.gan.discriminator),
        "optimizers": {
            name: value
            for network, optimizer in parts.optimizers.items()
            for name, value in checkpoints.optimizer_tensors(optimizer, network).items()
        },
    }
    if parts.ema is not None:
        tensors["generator_ema"] = checkpoints.module_tensors(parts.ema.generator)
    for name, augmentation in parts.gan.augmentations.items():
        adapted = checkpoints.module_tensors(augmentation)
        if adapted:
            tensors[augmentation_file(name)] = adapted
    return tensors


def trained_tensors(parts: Parts) -> list[Tensor]:
    """Return what must be equal in all processes: weights, but not batch norm's statistics."""
    networks = (parts.gan.generator, parts.gan.discriminator)
    return [weight.detach() for network in networks for weight in network.parameters()]


def digest(tensors: Iterable[Tensor]) -> str:
    """Return a SHA-256 of numbers."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def first_not_finite_weight(tensors: Mapping[str, Tensors]) -> str | None:
    """Return the file and name of the first tensor with a number that is not finite, or None."""
    for part, content in tensors.items():
        for name, value in content.items():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                return f"{part} {name}"
    return None


def restore_parts(parts: Parts, checkpoint: Checkpoint) -> None:
    """Fill all parts from a checkpoint. Raises CheckpointError where it does not belong to them."""
    tensors, expected = checkpoint.tensors, part_tensors(parts).keys()
    if tensors.keys() != expected:
        raise CheckpointError(f"this checkpoint holds {shown(', '.join(tensors))}; {', '.join(expected)} are needed")
    strangers = [name for name in tensors["optimizers"] if name.partition("/")[0] not in parts.optimizers]
    if strangers:
        raise CheckpointError(f"optimizers: {shown(strangers[0])} belongs to no optimiser")
    checkpoints.load_module(parts.gan.generator, tensors["generator"], "generator")
    checkpoints.load_module(parts.gan.discriminator, tensors["discriminator"], "discriminator")
    for network, optimizer in parts.optimizers.items():
        checkpoints.load_optimizer(optimizer, tensors["optimizers"], network, "optimizers")
    if parts.ema is not None:
        checkpoints.load_module(parts.ema.generator, tensors["generator_ema"], "generator_ema")
    for name, augmentation in parts.gan.augmentations.items():
        file = augmentation_file(name)
        if file in tensors:
            checkpoints.load_module(augmentation, tensors[file], file)


def augmentation_file(name: str) -> str:
    """Return the name of an augmentation's file in a checkpoint; a qualified name has a slash."""
    return f"augmentation-{name.replace('/', '-')}"
