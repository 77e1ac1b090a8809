"""The share of a run's time that evaluations may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ganforge.utils.files import number_in

#: What a row of evaluation.jsonl says of who made it: the training, or `ganforge evaluate`.
TRAINING = "training"


class EvaluationBudget:
    """Skip evaluations while those before have taken more than their share of a run's time.

    seconds: what evaluations have taken so far, in earlier sessions too. skipped: how many were left out in this one.
    notice: hears of the first one that is.
    """

    def __init__(self, share: float, notice: Callable[[str], None]) -> None:
        self.share = share
        self.seconds = 0.0
        self.skipped = 0
        self._made = 0
        self._notice = notice

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count what the rows of evaluation.jsonl say of the training's own evaluations."""
        known = list(rows)
        self._made = sum(map(_own, known))
        self.seconds = evaluation_seconds(known)

    def allows(self, elapsed_seconds: float, *, last: bool) -> bool:
        """Whether an evaluation is to be made now: the first and the last one always are."""
        if last or self._made == 0 or self.seconds <= self.share * elapsed_seconds:
            return True
        if not self.skipped:
            taken = self.seconds / max(elapsed_seconds, 1e-9)
            self._notice(
                f"evaluations have taken {100 * taken:.0f}% of the time so far, more than max_eval_time_fraction = "
                f"{self.share:g}: some are left out; compare fewer images (--num-samples), or less often"
            )
        self.skipped += 1
        return False

    def spend(self, seconds: float) -> None:
        """Count an evaluation that was made."""
        self._made += 1
        self.seconds += seconds


def evaluation_seconds(rows: Iterable[Mapping[str, Any]]) -> float:
    """Return how long the training's own evaluations among rows of evaluation.jsonl took."""
    return sum(number_in(row, "seconds") for row in rows if _own(row))


def _own(row: Mapping[str, Any]) -> bool:
    return bool(row.get("made_by", TRAINING) == TRAINING)
