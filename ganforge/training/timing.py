"""Times of a training: the throughput meter, and the time budget of evaluations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ganforge.schemas.rows import EvaluationRow

#: Windows at the start of a run that do not count, while caches fill and memory is allocated.
WARMUP_WINDOWS = 2


class ThroughputMeter:
    """Meter of the training speed, without the time of sample grids, checkpoints and evaluations."""

    def __init__(self, elapsed_before: float = 0.0) -> None:
        self._before = elapsed_before
        self._start = time.perf_counter()
        self._window_start = self._start
        self._rates: list[float] = []

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the run, earlier sessions included."""
        return self._before + time.perf_counter() - self._start

    @property
    def images_per_second(self) -> float | None:
        """Median over the windows after the first ones, or None before the first window."""
        rates = self._rates[WARMUP_WINDOWS:] or self._rates
        return statistics.median(rates) if rates else None

    def window(self, images: int) -> float:
        """End a window of some real images, and return its images per second."""
        now = time.perf_counter()
        rate = images / max(now - self._window_start, 1e-9)
        self._rates.append(rate)
        self._window_start = now
        return rate

    def restart_window(self) -> None:
        """Start the window now."""
        self._window_start = time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of the block from the window, not from the elapsed time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._window_start += time.perf_counter() - start


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
