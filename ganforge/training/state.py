"""State of a training as the tensors and numbers of a checkpoint, without pickle, and loading it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import weights_sha256
from ganforge.errors import CheckpointError, TrainingError
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import TrainedModules
from ganforge.training.checkpoint import Checkpoint, Tensors, check_tensor, to_cpu
from ganforge.training.ema import GeneratorEma
from ganforge.utils.schema import excerpt

#: Names of checkpoint files, which a phase may not have.
RESERVED_PHASES = frozenset({"generator", "discriminator", "generator_ema", "loss", "latent", "optimizers"})
#: Python numbers in an optimizer's state, and the types that hold them exactly.
NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}


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
        for key in checkpoints.module_tensors(component, component.frozen):
            phase = own_phase.get(f"{name}.{key.partition('.')[0]}")
            if phase is None or name in {"generator", "discriminator"}:
                files.setdefault(file, {})[key] = (component, key)
            else:
                files.setdefault(phase, {})[f"{name}.{key}"] = (component, key)
    return files


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
        own = checkpoints.module_tensors(state.ema.generator, state.ema.generator.frozen)
        tensors["generator_ema"] = {name: to_cpu(value) for name, value in own.items()}
    return tensors


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
        average = state.ema.generator
        checkpoints.load_module(average, checkpoint.file("generator_ema"), "generator_ema", frozen=average.frozen)


def optimizer_tensors(optimizer: Optimizer, phase: str) -> Tensors:
    """Return an optimizer's state as tensors, named PHASE/NUMBER_OF_THE_WEIGHT/KEY.

    Python numbers, which many optimizers keep, get their type as a suffix, such as `gen/0/step:int`. Raises
    TrainingError for anything else.
    """
    tensors: Tensors = {}
    for number, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            name = f"{phase}/{number}/{key}"
            if isinstance(value, Tensor):
                tensors[name] = to_cpu(value)
            elif type(value) in NUMBERS:
                tensors[f"{name}:{type(value).__name__}"] = torch.tensor(value, dtype=NUMBERS[type(value)])
            elif value is not None:
                raise TrainingError(
                    f"the optimizer of {phase} keeps {type(value).__name__} {key!r} in its state; a checkpoint holds "
                    "tensors and numbers"
                )
    return tensors


def optimizer_groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the numbers in an optimizer's parameter groups, except learning rates, as JSON values.

    Flags such as `fused` depend on the device and are omitted.
    """
    return [
        {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in group.items()
            if key not in {"params", "lr"} and _is_numeric(value)
        }
        for group in optimizer.param_groups
    ]


def _is_numeric(value: object) -> bool:
    values = value if isinstance(value, tuple | list) else (value,)
    return all(isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) for item in values)


def load_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], groups: Sequence[Mapping[str, Any]], phase: str, file: str
) -> None:
    """Load the state of an optimizer from the tensors of all phases, as `optimizer_tensors` names them, and its groups.

    Raises CheckpointError, which names the file, if the state belongs to other weights or to another optimizer.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    numbers = {str(number): number for number in range(len(weights))}
    example = _example_state(optimizer)
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        owner, _, rest = name.partition("/")
        number, _, typed_key = rest.partition("/")
        key, _, kind = typed_key.partition(":")
        if owner != phase:
            continue
        if number not in numbers or (example is not None and key not in example):
            raise CheckpointError(f"{file}: {excerpt(name)} belongs to no weight of this optimizer")
        where = f"{file}: {name}"
        if kind:
            state.setdefault(numbers[number], {})[key] = _python_number(value, kind, where)
        else:
            like = None if example is None else example[key]
            state.setdefault(numbers[number], {})[key] = _state_of_weight(weights[numbers[number]], value, like, where)
    if example is not None:
        for index, values in state.items():
            if example.keys() != values.keys():
                raise CheckpointError(f"{file} lacks {phase}/{index}/{min(example.keys() - values.keys())}")
    own_groups = optimizer.state_dict()["param_groups"]
    if len(groups) != len(own_groups):
        raise CheckpointError(f"{file}: {phase} has {len(groups)} parameter groups; {len(own_groups)} are required")
    merged = [_merge_group(own, saved, f"{file}: {phase}") for own, saved in zip(own_groups, groups, strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": merged})


def _python_number(value: Tensor, kind: str, where: str) -> bool | int | float:
    """Return a Python number of a type, such as `int`."""
    dtypes = {number.__name__: dtype for number, dtype in NUMBERS.items()}
    if dtypes.get(kind) != value.dtype or value.shape != ():
        raise CheckpointError(f"{excerpt(where)} is not a number of this type")
    return value.item()


def _state_of_weight(weight: Tensor, value: Tensor, example: Tensor | None, where: str) -> Tensor:
    """Return a tensor of a weight's state, checked against an example if there is one."""
    if example is not None:
        own = torch.empty_like(weight, requires_grad=False) if example.ndim else example
    else:
        own = torch.empty_like(weight, requires_grad=False) if value.shape == weight.shape else value
    check_tensor(where, own, value, "this weight's")
    # In the memory layout of the weight, which fused optimizers require.
    return own.copy_(value) if own.ndim else value.clone()


def _merge_group(own: Mapping[str, Any], saved: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a parameter group with saved numbers, tuples where it has tuples."""
    merged = dict(own)
    for key, value in saved.items():
        if key in own and isinstance(own[key], tuple) != isinstance(value, list):
            raise CheckpointError(f"{what}: {excerpt(key)} is {excerpt(repr(value))}")
        merged[key] = tuple(value) if isinstance(value, list) else value
    return merged


def _example_state(optimizer: Optimizer) -> Tensors | None:
    """Return the state of a weight `(1,)` after one step; None for optimizers outside of torch.

    Those may need a closure, or add state in later steps.
    """
    cls: Callable[..., Optimizer] = type(optimizer)
    if not type(optimizer).__module__.startswith("torch.optim."):
        return None
    group = {key: value for key, value in optimizer.param_groups[0].items() if key != "lr_scale"}
    weight = nn.Parameter(torch.zeros(1, device=group["params"][0].device))
    weight.grad = torch.zeros_like(weight)
    example = cls([{**group, "params": [weight]}])
    try:
        example.step()
    except Exception:  # noqa: BLE001 - such as L-BFGS, which needs a closure
        return None
    return {key: torch.as_tensor(value) for key, value in example.state[weight].items() if value is not None}
