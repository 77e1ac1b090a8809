"""Snapshots of plain Python data, to find state that checkpoints and recorded updates lose."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganforge.components import TrainStep

#: Levels of containers and objects that are followed.
MAX_DEPTH = 6
PLAIN = (type(None), bool, int, complex, str, bytes)
#: Packages whose module and class attributes are not those of a component.
FOREIGN = ("torch", "ganforge.components", "ganforge.testing", "pydantic", "builtins", "abc", "typing")
#: Attributes that `nn.Module` keeps for itself.
INTERNAL = frozenset(vars(nn.Module()))
#: Suffixes of the weights from which torch's old spectral_norm and weight_norm derive an attribute in each call.
DERIVED = ("_orig", "_g")

#: Leaves of data by path, such as `{"LAST['fake']": …}`.
Snapshot = dict[str, Hashable]


@dataclass(frozen=True, slots=True)
class Held:
    """Leaf that is a registered module, weight or buffer of a training step, or the step itself."""

    what: str


def snapshot(value: Any, path: str = "", held: Mapping[int, str] | None = None, own: tuple[str, ...] = ()) -> Snapshot:  # noqa: ANN401 - any data
    """Return the leaves of data by path. Unknown objects are leaves by their identity.

    Args:
        value: Numbers, text, tensors, random generators, containers of them, and objects of own classes.
        path: Name of the value.
        held: Names of modules and tensors that are represented by themselves, by id.
        own: Names of modules whose objects are followed.
    """
    return dict(_leaves(value, path, held or {}, own, MAX_DEPTH))


def _leaves(
    value: Any,  # noqa: ANN401 - as above
    path: str,
    held: Mapping[int, str],
    own: tuple[str, ...],
    depth: int,
) -> Iterator[tuple[str, Hashable]]:
    if id(value) in held:
        yield path, Held(held[id(value)])
    elif isinstance(value, TrainStep):
        yield path, Held("a training step")
    elif isinstance(value, PLAIN):
        yield path, value
    elif isinstance(value, float):
        yield path, repr(value)
    elif (content := _content(value)) is not None:
        yield path, content
    elif (parts := _parts(value, own)) is None:
        yield path, (type(value).__name__, id(value))
    else:
        yield path, (type(value).__name__, len(parts))
        for key, part in parts.items() if depth else ():
            yield from _leaves(part, f"{path}{key}", held, own, depth - 1)


def _content(value: Any) -> Hashable:  # noqa: ANN401 - as above
    """Return the content of a tensor, array or random generator, or None for other values."""
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous()
        return ("tensor", str(value.dtype), tuple(value.shape), _digest(data.reshape(-1).view(torch.uint8).numpy()))
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.shape, _digest(np.ascontiguousarray(value)))
    if isinstance(value, torch.Generator):
        return _digest(value.get_state().numpy())
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    return repr(value) if type(value).__module__ == "itertools" else None


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _parts(value: Any, own: tuple[str, ...]) -> dict[str, Any] | None:  # noqa: ANN401 - as above
    """Return the parts of a container, function or own object by path, or None for other values."""
    if isinstance(value, Mapping):
        return {f"[{key!r}]": part for key, part in value.items()}
    if isinstance(value, AbstractSet):
        return {f"[{number}]": part for number, part in enumerate(sorted(value, key=repr))}
    if isinstance(value, list | tuple) or type(value).__name__ == "deque":
        return {f"[{number}]": part for number, part in enumerate(value)}
    attributes = _attributes(value, own)
    return None if attributes is None else {f".{key}": part for key, part in attributes.items()}


def _attributes(value: Any, own: tuple[str, ...]) -> Mapping[str, Any] | None:  # noqa: ANN401 - as above
    """Return the attributes of an own function, class or object, or None for other values."""
    if isinstance(value, staticmethod | classmethod | MethodType):
        value = value.__func__
    if isinstance(value, FunctionType) and value.__module__ in own:
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closure = {name: cell for name, cell in cells if name != "__class__"}
        return {**vars(value), "defaults": value.__defaults__, "keywords": value.__kwdefaults__, "closure": closure}
    if isinstance(value, CellType):
        return {"content": value.cell_contents} if value != CellType() else {}
    if isinstance(value, torch.optim.Optimizer):
        return {"state": value.state_dict()}
    if isinstance(value, type) and value.__module__ in own:
        return {key: part for key, part in vars(value).items() if not key.startswith(("__", "_abc_"))}
    followed = isinstance(value, SimpleNamespace) or type(value).__module__ in own
    return vars(value) if followed and not isinstance(value, nn.Module) and hasattr(value, "__dict__") else None


def globals_of(cls: type[Any], held: Mapping[int, str]) -> Snapshot:
    """Return the plain globals of the modules that define a class and its bases, with those of their classes."""
    names = tuple(base.__module__ for base in cls.__mro__ if not _is_foreign(base.__module__))
    packages = {module.__package__ for name in names if (module := sys.modules.get(name)) and module.__package__}
    siblings = (name for name in list(sys.modules) if name.rpartition(".")[0] in packages and not _is_foreign(name))
    own = tuple(dict.fromkeys((*names, *siblings)))
    leaves: Snapshot = {}
    for name in own:
        module = sys.modules.get(name)
        for key, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
            elsewhere = isinstance(value, type | FunctionType) and value.__module__ != name
            if not key.startswith(("__", "@")) and not isinstance(value, ModuleType) and not elsewhere:
                leaves |= snapshot(value, f"{name}.{key}", held, own)
    return leaves


def _is_foreign(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in FOREIGN)


def attributes_of(module: nn.Module, held: Mapping[int, str]) -> Snapshot:
    """Return the plain Python attributes of a module and its submodules."""
    leaves: Snapshot = {}
    own = (type(module).__module__,)
    for prefix, part in module.named_modules():
        for key, value in plain_attributes(part).items():
            leaves |= snapshot(value, f"{prefix}.{key}" if prefix else key, held, own)
    return leaves


def plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes of one module that it does not register and does not derive from weights."""
    return {
        key: value
        for key, value in vars(module).items()
        if key not in INTERNAL and not any(f"{key}{suffix}" in module._parameters for suffix in DERIVED)  # noqa: SLF001 - torch has no public view
    }


def registered(modules: Mapping[str, nn.Module]) -> dict[int, str]:
    """Return the names of all modules, weights and buffers by id."""
    names: dict[int, str] = {}
    listings: tuple[Callable[[nn.Module], Any], ...] = (
        lambda module: module.named_modules(remove_duplicate=False),
        lambda module: module.named_parameters(remove_duplicate=False),
        lambda module: module.named_buffers(remove_duplicate=False),
    )
    for slot, module in modules.items():
        for listing in listings:
            names |= {id(part): f"{slot}.{name}" if name else slot for name, part in listing(module)}
    return names


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths of leaves that differ, shortest first; of nested ones only the outermost."""
    paths = sorted({path for path, leaf in (before.items() ^ after.items())}, key=len)
    return [path for number, path in enumerate(paths) if not any(_within(path, outer) for outer in paths[:number])]


def _within(path: str, outer: str) -> bool:
    return path.startswith((f"{outer}[", f"{outer}."))
