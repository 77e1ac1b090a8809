"""Schemas of a checkpoint's JSON files: state.json and checksums.json."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from ganforge.schemas.manifest import BestScore, FailureMode
from ganforge.utils.schema import Count, Finite, StrictModel

#: Alerts that are kept; beyond, the oldest resolved ones are dropped.
MAX_ALERTS = 100
MAX_FLOAT32 = (2 - 2**-23) * 2**127

#: Number in the range of float32.
Float32 = Annotated[float, Field(ge=-MAX_FLOAT32, le=MAX_FLOAT32, allow_inf_nan=False)]
#: Content of checksums.json: SHA-256 of each file, by name.
CHECKSUMS = TypeAdapter(dict[str, str], config=ConfigDict(strict=True))


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


class ScalerState(StrictModel):
    """State of a phase's loss scaler in float16.

    Attributes:
        scale: Factor of the loss.
        growth_tracker: Updates without an overflow since the scale changed.
        overflows: Updates whose gradients overflowed.
    """

    scale: Annotated[Float32, Field(gt=0)]
    growth_tracker: Annotated[Count, Field(lt=2**31)]
    overflows: Count


class CheckpointState(StrictModel):
    """Content of state.json. It has no times, so equal trainings write equal files.

    Attributes:
        last_stats: Numbers of the last update in which each column was computed.
        frozen: SHA-256 of the weights of each frozen submodule.
        optimizers: Numbers in the parameter groups of each phase's optimizer.
        scalers: Loss scaler of each phase in float16; none in other precisions.
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
    scalers: dict[str, ScalerState] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.best is not None and self.best.step > self.step:
            raise ValueError("best is of a later step")
        if self.health.rows > self.step:
            raise ValueError("health has more rows than steps")
        return self
