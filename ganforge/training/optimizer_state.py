"""State of optimizers as plain tensors and numbers, without pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.errors import CheckpointError, TrainingError
from ganforge.training.checkpoint import Tensors, check_tensor, to_cpu
from ganforge.utils.schema import excerpt

#: Python numbers in an optimizer's state, and the types that hold them exactly.
NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}


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
