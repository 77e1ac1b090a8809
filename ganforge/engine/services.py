"""What a trainer calls and does not own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ganforge.engine.observer import Observer
from ganforge.interfaces import Generator


class Send(Protocol):
    """Pass an event on to the plugins that listen."""

    def __call__(self, event: str, **arguments: Any) -> None:  # noqa: ANN401, D102 - whatever the hook takes
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold what an evaluation gave, and which score decides about the best checkpoint.

    scores: by name, None where one is not finite. passport: everything that must agree before scores are compared.
    """

    scores: Mapping[str, float | None]
    passport: Mapping[str, Any]
    metric: str
    higher_is_better: bool


@dataclass(slots=True)
class Services:
    """Hold what a trainer calls and does not own: who watches, who listens, and how scores are made."""

    observer: Observer = field(default_factory=Observer)
    send: Send = field(default=lambda event, **arguments: None)
    evaluate: Callable[[Generator], Scored] | None = None
