"""Time budget of evaluations during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ganforge.schemas.rows import EvaluationRow


class EvaluationBudget:
    """Limit on the fraction of a run's time that evaluations take; `seconds` includes earlier sessions."""

    def __init__(self, max_fraction: float, notice: Callable[[str], None]) -> None:
        """Create an unused budget; `notice` receives one line when an evaluation is skipped for the first time."""
        self.max_fraction = max_fraction
        self.seconds = 0.0
        self.skipped = 0
        self._count = 0
        self._notice = notice

    def restore(self, rows: Iterable[EvaluationRow]) -> None:
        """Restore the counters from the rows of evaluation.jsonl."""
        seconds = [row.seconds for row in rows if row.source == "training"]
        self._count, self.seconds = len(seconds), sum(seconds)

    def allows(self, elapsed_seconds: float, *, last: bool) -> bool:
        """Return whether the budget allows an evaluation now; the first and the last one are always allowed."""
        if last or self._count == 0 or self.seconds <= self.max_fraction * elapsed_seconds:
            return True
        if not self.skipped:
            fraction = self.seconds / max(elapsed_seconds, 1e-9)
            self._notice(
                f"evaluations took {100 * fraction:.0f}% of the time so far, more than max_eval_time_fraction = "
                f"{self.max_fraction:g}: some are skipped; reduce --num-samples, or evaluate less often"
            )
        self.skipped += 1
        return False

    def spend(self, seconds: float) -> None:
        """Count an evaluation."""
        self._count += 1
        self.seconds += seconds
