"""Reading a checkpoint's files, whoever wrote them: bounded, and with CheckpointError as the only way to fail.

Checksums tell damage from what was written. They do not tell who wrote it, so nothing is believed because it agrees.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from safetensors.torch import load
from torch import Tensor

from ganforge.diagnostics.alerts import MOST_FINDINGS, Ailment
from ganforge.errors import CheckpointError

FORMAT = 1
#: What ganforge writes has some hundred bytes.
MOST_JSON_BYTES = 2**20
#: What torch can compute with.
MOST_DIMENSIONS = 64
MOST_SHOWN = 100
MOST_FLOAT32 = torch.finfo(torch.float32).max


def read_bytes(file: Path, most: float = math.inf) -> bytes:
    """Return what a file holds. Raises CheckpointError, also for a link, which leads anywhere, or an endless pipe."""
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{file} is not a plain file")
        if found.st_size > most:
            raise CheckpointError(f"{file} cannot be read: it is longer than {most:,} bytes")
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None


def as_json(content: bytes, file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises CheckpointError, also for a key given twice and for NaN."""
    try:
        document = json.loads(content, object_pairs_hook=_without_doubles, parse_constant=_no_number)
    except ValueError as error:
        raise CheckpointError(f"{file} cannot be read: {shown(str(error))}") from None
    except RecursionError:
        raise CheckpointError(f"{file} cannot be read: it is nested too deeply") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{file} does not hold an object")
    return document


def as_tensors(content: bytes, file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, by name; every number in them is finite. Raises CheckpointError.

    They do not lie in the file, as mapped ones would: whatever happens to it afterwards does not reach them.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # noqa: BLE001 - torch refuses some headers in ways of its own, such as TypeError
        raise CheckpointError(f"{file} cannot be read: {shown(str(error))}") from None
    for name, value in tensors.items():
        if value.ndim > MOST_DIMENSIONS:
            raise CheckpointError(f"{file}: {shown(name)} has {value.ndim} dimensions")
        if value.is_floating_point() and not bool(_widened(value).isfinite().all()):
            raise CheckpointError(f"{file}: {shown(name)} has a number that is not finite")
    return tensors


def check_state(state: Mapping[str, Any], file: Path) -> None:
    """Raise CheckpointError unless the numbers of a checkpoint are of the right types and possible."""
    if not _is_count(state.get("format")) or state["format"] != FORMAT:
        raise CheckpointError(f"{file} has format {shown(repr(state.get('format')))}; this ganforge reads {FORMAT}")
    for key in ("step", "images_seen", "seed", "rollbacks"):
        if not _is_count(state.get(key)):
            raise CheckpointError(f"{file}: {key} is {shown(repr(state.get(key)))}; it must be a number from 0")
    if not isinstance(state.get("precision"), str):
        raise CheckpointError(f"{file}: precision is {shown(repr(state.get('precision')))}; it must be a name")
    if "best" not in state or not _is_best(state["best"], state["step"]):
        raise CheckpointError(
            f"{file}: best is {shown(repr(state.get('best')))}; it must be a metric, its value and step"
        )
    judged = state.get("judged")
    if not isinstance(judged, dict) or not all(map(_is_number, judged.values())):
        raise CheckpointError(f"{file}: judged is {shown(repr(judged))}; it must be a number by name")
    if not _is_health(state.get("health"), state["step"]):
        raise CheckpointError(f"{file}: health is {shown(repr(state.get('health')))}; it must be levels and findings")


def shown(text: str) -> str:
    """Return text of unknown origin as a message may hold it: not long, and without what a terminal would obey."""
    cut = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    return cut if cut.isprintable() else repr(cut)


def shown_shape(shape: Sequence[int]) -> str:
    """Return a shape as a message may hold it."""
    return shown(str(tuple(shape[:MOST_SHOWN])))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    """Whether a float32 can hold it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MOST_FLOAT32 and math.isfinite(value)


def _is_best(value: object, newest: int) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or value.keys() != {"metric", "value", "step"}:
        return False
    number, step = value["value"], value["step"]
    finite = isinstance(number, float | int) and not isinstance(number, bool) and abs(number) < math.inf
    return isinstance(value["metric"], str) and finite and _is_count(step) and bool(step <= newest)


def _is_health(value: object, newest: int) -> bool:
    """Whether it is what `Health.state` gives; which levels there must be, `Health.restore` knows."""
    if not isinstance(value, dict) or value.keys() != {"rows", "levels", "streaks", "findings"}:
        return False
    rows, levels, streaks, findings = (value[key] for key in ("rows", "levels", "streaks", "findings"))
    return (
        _is_count(rows)
        and rows <= newest
        and isinstance(levels, dict)
        and all(map(_is_number, levels.values()))
        and isinstance(streaks, dict)
        and all(_is_count(streak) and streak <= rows for streak in streaks.values())
        and isinstance(findings, list)
        and len(findings) <= MOST_FINDINGS
        and all(map(_is_finding, findings))
        and _all_different([found["finding"] for found in findings if found["until_step"] is None])
    )


def _is_finding(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"finding", "since_step", "until_step", "value"}:
        return False
    since, until = value["since_step"], value["until_step"]
    known = isinstance(value["finding"], str) and value["finding"] in get_args(Ailment)
    ended = until is None or (_is_count(until) and until >= since)
    return known and _is_count(since) and ended and _is_number(value["value"])


def _all_different(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _widened(value: Tensor) -> Tensor:
    """Return a tensor in a type that can be asked whether it is finite; eight bits cannot."""
    return value.float() if value.element_size() == 1 else value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("it gives a key twice")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
