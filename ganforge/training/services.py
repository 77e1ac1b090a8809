"""What a trainer calls and does not own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ganforge.components import Generator
from ganforge.training.callbacks import Observer


class Send(Protocol):
    """Pass an event on to the plugins that listen."""

    def __call__(self, event: str, **arguments: Any) -> None:  # noqa: ANN401, D102 - whatever the hook takes
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold what an evaluation gave, and which score decides about the best checkpoint.

    row: what goes into evaluation.jsonl, but for the step: scores, floor, details, protocol, seconds. pictures: by
    name, uint8, `(C, H, W)`.
    """

    row: Mapping[str, Any]
    pictures: Mapping[str, Tensor]
    metric: str
    higher_is_better: bool

    @property
    def scores(self) -> Mapping[str, float | None]:
        """By name; None where one is not finite."""
        scores: Mapping[str, float | None] = self.row["scores"]
        return scores

    def better_than(self, best: Mapping[str, Any] | None, step: int) -> dict[str, Any] | None:
        """Return what `best` becomes where this is the best so far, else None."""
        value = self.scores[self.metric]
        if value is None:
            return None
        if best is not None and best["metric"] == self.metric:
            better = value > best["value"] if self.higher_is_better else value < best["value"]
            if not better:
                return None
        return {"metric": self.metric, "value": value, "step": step}


@dataclass(slots=True)
class Services:
    """Hold what a trainer calls and does not own: who watches, who listens, and how scores are made."""

    observer: Observer = field(default_factory=Observer)
    send: Send = field(default=lambda event, **arguments: None)
    evaluate: Callable[[Generator], Scored] | None = None
