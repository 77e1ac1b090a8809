"""The numbers that a run measures of itself: losses on the device, speed on the clock."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ganforge.training.distributed import ALONE, Processes

#: Losses stay on the device this many steps; only then does the processor wait for them.
FLUSH_EVERY = 10
#: The first windows of a run, in which caches fill and memory is first touched, say nothing about its speed.
WARM_UP_WINDOWS = 2


class Ledger:
    """Collect each step's numbers on the device and read them a few steps late, all at once."""

    def __init__(self, columns: Sequence[str], device: torch.device, processes: Processes = ALONE) -> None:
        self.columns = tuple(columns)
        self._processes = processes
        self._rows = torch.zeros(FLUSH_EVERY, len(self.columns), device=device)
        self._steps: list[int] = []

    def record(self, step: int, values: Tensor) -> None:
        """Keep a step's numbers, `(columns,)`, without waiting for the device."""
        self._rows[len(self._steps)].copy_(values)
        self._steps.append(step)

    def flush(self) -> dict[int, dict[str, float]]:
        """Wait for the device and return the rows kept since the last time, by step: means over all processes."""
        kept = self._rows[: len(self._steps)]
        if self._steps:
            self._processes.average([kept])
        values = kept.tolist()
        rows = {step: dict(zip(self.columns, row, strict=True)) for step, row in zip(self._steps, values, strict=True)}
        self._steps.clear()
        return rows

    def forget(self) -> None:
        """Drop what was kept: the run goes back to before it."""
        self._steps.clear()


def first_not_finite(rows: dict[int, dict[str, float]]) -> tuple[int, str] | None:
    """Return the first step and column whose number is not finite, or None."""
    for step, row in rows.items():
        for name, value in row.items():
            if not math.isfinite(value):
                return step, name
    return None


class Stopwatch:
    """Measure training alone: time spent on sample grids, checkpoints and evaluations is left out of the speed."""

    def __init__(self, elapsed_before: float = 0.0) -> None:
        self._before = elapsed_before
        self._begun = time.perf_counter()
        self._window_begun = self._begun
        self._rates: list[float] = []

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of the whole run, earlier sessions included."""
        return self._before + time.perf_counter() - self._begun

    @property
    def images_per_second(self) -> float | None:
        """The steady speed: the median over windows, without the first ones; None before there is one."""
        rates = self._rates[WARM_UP_WINDOWS:] or self._rates
        return statistics.median(rates) if rates else None

    def window(self, images: int) -> float:
        """End a window in which so many real images were seen; return its images per second."""
        now = time.perf_counter()
        rate = images / max(now - self._window_begun, 1e-9)
        self._rates.append(rate)
        self._window_begun = now
        return rate

    def restart_window(self) -> None:
        """Begin the window now."""
        self._window_begun = time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what is done meanwhile out of the window; it still counts as elapsed."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._window_begun += time.perf_counter() - begun
