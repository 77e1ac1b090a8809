"""Callbacks of a run, and the context that connects a trainer with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ganforge.components import Generator


class Callback:
    """In-process callbacks of a run, for a terminal, a notebook or a test; every method does nothing by default.

    Plugins get the events of a run in a process of their own, through hooks. Callbacks run in the training process; an
    exception ends the run.

    Attributes:
        wants_previews: Whether `on_sample` is also called between the steps at which grids are saved.
    """

    wants_previews: bool = False

    def on_train_start(self, *, step: int, total_steps: int) -> None:
        """Called before the first update.

        Args:
            step: Steps already done; above 0 in a resumed run.
            total_steps: Step at which training ends.
        """

    def on_log(self, row: Mapping[str, float]) -> None:
        """Called with each row of metrics.jsonl.

        Args:
            row: Values by column, such as `loss/generator`.
        """

    def on_alert(self, failures: Sequence[str]) -> None:
        """Called when an alert is raised or resolved.

        Args:
            failures: Failure modes of all active alerts, such as `collapse`.
        """

    def on_evaluate(self, step: int, scores: Mapping[str, float | None], reference: Mapping[str, float | None]) -> None:
        """Called after each evaluation.

        Args:
            step: Step of the generator.
            scores: Scores by name; None for a score that is not finite.
            reference: Scores of real training images in place of the fakes.
        """

    def on_sample(self, images: Tensor) -> None:
        """Called with the fixed samples of the current generator.

        Args:
            images: `(N, C, H, W)` uint8 on the CPU.
        """

    def on_message(self, message: str) -> None:
        """Called with a line for the user, such as a warning."""

    def on_train_end(self, status: str) -> None:
        """Called at the end of the run.

        Args:
            status: `finished`, `interrupted`, `diverged` or `failed`.
        """


class CallbackList(Callback):
    """Several callbacks as one; each gets every event, in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = tuple(callbacks)
        self.wants_previews = any(callback.wants_previews for callback in callbacks)

    def on_train_start(self, *, step: int, total_steps: int) -> None:
        """Pass the start on."""
        for callback in self._callbacks:
            callback.on_train_start(step=step, total_steps=total_steps)

    def on_log(self, row: Mapping[str, float]) -> None:
        """Pass a row on."""
        for callback in self._callbacks:
            callback.on_log(row)

    def on_alert(self, failures: Sequence[str]) -> None:
        """Pass changed alerts on."""
        for callback in self._callbacks:
            callback.on_alert(failures)

    def on_evaluate(self, step: int, scores: Mapping[str, float | None], reference: Mapping[str, float | None]) -> None:
        """Pass an evaluation on."""
        for callback in self._callbacks:
            callback.on_evaluate(step, scores, reference)

    def on_sample(self, images: Tensor) -> None:
        """Pass samples on."""
        for callback in self._callbacks:
            callback.on_sample(images)

    def on_message(self, message: str) -> None:
        """Pass a message on."""
        for callback in self._callbacks:
            callback.on_message(message)

    def on_train_end(self, status: str) -> None:
        """Pass the end on."""
        for callback in self._callbacks:
            callback.on_train_end(status)


class SendEvent(Protocol):
    """Function that passes an event of the run to listening plugins."""

    def __call__(self, event: str, **arguments: Any) -> None:  # noqa: ANN401, D102 - arguments of any hook
        ...


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Scores of a generator during training.

    Attributes:
        row: Row of evaluation.jsonl without the step: scores, reference, details, protocol, seconds.
        pictures: Pictures by name, `(C, H, W)` uint8.
        metric: Name of the score that selects the best checkpoint.
        higher_is_better: Whether a higher value of that score is better.
    """

    row: Mapping[str, Any]
    pictures: Mapping[str, Tensor]
    metric: str
    higher_is_better: bool

    @property
    def scores(self) -> Mapping[str, float | None]:
        """Scores by name; None for a score that is not finite."""
        scores: Mapping[str, float | None] = self.row["scores"]
        return scores

    def better_than(self, best: Mapping[str, Any] | None, step: int) -> dict[str, Any] | None:
        """Return the new best score, as state.json holds it, or None if `best` stays the best."""
        value = self.scores[self.metric]
        if value is None:
            return None
        if best is not None and best["metric"] == self.metric:
            better = value > best["value"] if self.higher_is_better else value < best["value"]
            if not better:
                return None
        return {"metric": self.metric, "value": value, "step": step}


@dataclass(slots=True)
class TrainerContext:
    """Surroundings of a trainer.

    Attributes:
        callback: In-process callbacks.
        send: Sender of events to plugins.
        evaluate: Evaluation of a generator, or None if no evaluation is configured.
    """

    callback: Callback = field(default_factory=Callback)
    send: SendEvent = field(default=lambda event, **arguments: None)
    evaluate: Callable[[Generator], EvaluationResult] | None = None
