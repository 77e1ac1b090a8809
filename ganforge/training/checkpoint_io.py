"""Safe reading of checkpoint files from untrusted sources: bounded in size, and CheckpointError as the only error.

Checksums detect damage, not manipulation, so a file with a valid checksum is validated, too.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors.torch import load
from torch import Tensor

from ganforge.diagnostics.alerts import MAX_ALERTS
from ganforge.errors import CheckpointError
from ganforge.schemas.manifest import FailureMode

FORMAT = 1
#: ganforge writes some hundred bytes.
MAX_JSON_BYTES = 2**20
#: Limit of torch.
MAX_DIMENSIONS = 64
#: Characters of untrusted text in a message.
MAX_TEXT_LENGTH = 100
MAX_FLOAT32 = torch.finfo(torch.float32).max


def read_bytes(file: Path, max_bytes: float = math.inf) -> bytes:
    """Return the content of a regular file. Raises CheckpointError, also for a link or a pipe."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{file} is not a regular file")
        if status.st_size > max_bytes:
            raise CheckpointError(f"{file} cannot be read: it is longer than {max_bytes:,} bytes")
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None


def parse_json(content: bytes, file: Path) -> dict[str, Any]:
    """Parse a JSON object. Raises CheckpointError, also for duplicate keys and NaN."""
    try:
        document = json.loads(content, object_pairs_hook=_to_dict, parse_constant=_refuse_constant)
    except ValueError as error:
        raise CheckpointError(f"{file} cannot be read: {printable(str(error))}") from None
    except RecursionError:
        raise CheckpointError(f"{file} cannot be read: it is nested too deeply") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{file} is not a JSON object")
    return document


def parse_tensors(content: bytes, file: Path) -> dict[str, Tensor]:
    """Parse a safetensors file. Raises CheckpointError, also for numbers that are not finite.

    The tensors are not memory-mapped, so later changes of the file do not reach them.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # noqa: BLE001 - torch raises TypeError and others for some headers
        raise CheckpointError(f"{file} cannot be read: {printable(str(error))}") from None
    for name, value in tensors.items():
        if value.ndim > MAX_DIMENSIONS:
            raise CheckpointError(f"{file}: {printable(name)} has {value.ndim} dimensions")
        if value.is_floating_point() and not bool(_widen(value).isfinite().all()):
            raise CheckpointError(f"{file}: {printable(name)} has a number that is not finite")
    return tensors


Count = Annotated[int, Field(ge=0, lt=2**63)]
#: Range of float32.
Float32 = Annotated[float, Field(ge=-MAX_FLOAT32, le=MAX_FLOAT32, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class StrictModel(BaseModel):
    """Schema without conversions, unknown keys or numbers that are not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class BestScore(StrictModel):
    """Best score so far."""

    metric: str
    value: Finite
    step: Count


class AlertState(StrictModel):
    """Alert with the steps at which it was raised and resolved."""

    alert: FailureMode
    since_step: Count
    until_step: Count | None
    value: Float32

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.until_step is not None and self.until_step < self.since_step:
            raise ValueError("it ends before it starts")
        return self


class HealthState(StrictModel):
    """State of the health monitor."""

    rows: Count
    stats: dict[str, Float32]
    streaks: dict[str, Count]
    alerts: Annotated[list[AlertState], Field(max_length=MAX_ALERTS)]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        active = [alert.alert for alert in self.alerts if alert.until_step is None]
        if len(set(active)) < len(active):
            raise ValueError("two alerts of one kind are active")
        if any(streak > self.rows for streak in self.streaks.values()):
            raise ValueError("a streak is longer than the rows")
        return self


class CheckpointState(StrictModel):
    """Content of state.json. It has no times, so equal trainings write equal files.

    Attributes:
        last_stats: Numbers of the last update in which each column was computed.
        frozen: SHA-256 of the weights of each frozen submodule.
        optimizers: Numbers in the parameter groups of each phase's optimizer.
    """

    format: Literal[1]
    step: Count
    images_seen: Count
    seed: Count
    precision: str
    best: BestScore | None
    rollbacks: Count
    health: HealthState
    last_stats: dict[str, Float32]
    frozen: dict[str, str]
    optimizers: dict[str, list[dict[str, int | Finite | list[int | Finite]]]]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.best is not None and self.best.step > self.step:
            raise ValueError("best is of a later step")
        if self.health.rows > self.step:
            raise ValueError("health has more rows than steps")
        return self


def check_state(state: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the validated content of state.json. Raises CheckpointError for the first invalid value."""
    try:
        return CheckpointState.model_validate(state).model_dump()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "its content"
        reason = problem["msg"].removeprefix("Value error, ")
        value = "" if problem["type"] in {"missing", "value_error"} else f" is {printable(repr(problem['input']))}"
        raise CheckpointError(f"{file}: {printable(place)}{value}: {reason[:1].lower()}{reason[1:]}") from None
    except RecursionError:
        raise CheckpointError(f"{file} cannot be read: it is nested too deeply") from None


def printable(text: str) -> str:
    """Return untrusted text for a message: shortened, and without control characters."""
    cut = text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…"
    return cut if cut.isprintable() else repr(cut)


def printable_shape(shape: Sequence[int]) -> str:
    """Return an untrusted shape for a message."""
    return printable(str(tuple(shape[:MAX_TEXT_LENGTH])))


def _widen(value: Tensor) -> Tensor:
    """Return a tensor of a type that supports `isfinite`, which 8-bit floats do not."""
    return value.float() if value.element_size() == 1 else value


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key occurs twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
