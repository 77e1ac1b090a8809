"""Device-side buffer of training metrics, and the throughput meter."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.loss_scaling import MIN_SCALE, SCALE

#: Steps between two flushes, at which the CPU waits for the device.
FLUSH_EVERY = 10
#: Windows at the start of a run that do not count, while caches fill and memory is allocated.
WARMUP_WINDOWS = 2


class MetricsBuffer:
    """Buffer of metrics on the device, which are read several steps at a time."""

    def __init__(self, dist: DistContext = SINGLE_PROCESS) -> None:
        self._dist = dist
        self._rows: list[tuple[int, tuple[str, ...], Tensor]] = []

    def record(self, step: int, stats: Mapping[str, Tensor]) -> None:
        """Store the metrics of a step, each `()`, without waiting for the device."""
        self._rows.append((step, tuple(stats), torch.stack([value.float() for value in stats.values()])))

    def flush(self) -> dict[int, dict[str, float]]:
        """Wait for the device, and return the rows since the last flush by step, averaged over all ranks."""
        if not self._rows:
            return {}
        flat = torch.cat([values for _, _, values in self._rows])
        self._dist.all_reduce_mean([flat])
        numbers = iter(flat.tolist())
        rows = {step: {name: next(numbers) for name in names} for step, names, _ in self._rows}
        self._rows.clear()
        return rows

    def reset(self) -> None:
        """Drop all rows, as a rollback does."""
        self._rows.clear()


def first_not_finite(rows: dict[int, dict[str, float]]) -> tuple[int, str] | None:
    """Return the first step with a number that is not finite, and a message; None if there is none.

    A loss scale below the smallest one means gradients that are not finite at any.
    """
    for step, row in rows.items():
        for name, value in row.items():
            if not math.isfinite(value):
                return step, f"{name} is not a finite number"
            if name.startswith(SCALE) and value < MIN_SCALE:
                return step, f"gradients of {name.removeprefix(SCALE)} are not finite, at any loss scale"
    return None


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
