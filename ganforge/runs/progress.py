"""Progress of a run: position, metrics, speed and remaining time."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from ganforge.utils.format import format_clock, format_loss, format_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Length of the window in which the speed is measured.
WINDOW_SECONDS = 30.0
#: Minimum distance between two marks of the window.
MARK_SECONDS = 0.5
#: Marks that a speed needs.
MIN_MARKS = 2
#: Rows that are closer together were flushed together.
BURST_SECONDS = 0.002
#: Speed from which no decimals are shown.
FAST = 10


class Progress:
    """Position of a run and its newest row.

    Attributes:
        step: The newest step.
        total_steps: Step at which training ends, or None before its start.
        row: The newest row of metrics.jsonl.
        alerts: Failure modes of the active alerts.
        remaining_seconds: Estimate, or None while it is unknown.
    """

    def __init__(self, epochs: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Create the progress of a run that has not started, with its length if it is given in epochs."""
        self.step = 0
        self.total_steps: int | None = None
        self.row: Mapping[str, float] = {}
        self.alerts: Sequence[str] = ()
        self.remaining_seconds: float | None = None
        self._epochs = epochs
        self._clock = clock
        self._started_at: float | None = None
        self._stopped_at: float | None = None
        self._updated_at = 0.0
        self._marks: deque[tuple[float, int]] = deque()  # (time, step) at the end of a burst of rows

    def start(self, *, step: int, total_steps: int) -> None:
        """Start the clock at a step, which is above 0 in a resumed run."""
        self._started_at = self._updated_at = self._clock()
        self._marks.append((self._started_at, step))
        self.step, self.total_steps = step, total_steps

    def update(self, row: Mapping[str, float]) -> None:
        """Set the newest row and update the estimate of the remaining time."""
        now = self._clock()
        seconds_per_step = self._seconds_per_step(now)
        self.row, self.step, self._updated_at = row, int(row["step"]), now
        if self.total_steps is not None and seconds_per_step is not None:
            self.remaining_seconds = seconds_per_step * max(0, self.total_steps - self.step)

    def _seconds_per_step(self, now: float) -> float | None:
        # Rows arrive in bursts, and only the last row of a burst belongs to the time of its arrival. So a mark is set
        # when the next burst begins.
        marks, updated_at = self._marks, self._updated_at
        if not marks:
            return None
        if now - updated_at >= BURST_SECONDS and updated_at - marks[-1][0] >= MARK_SECONDS:
            marks.append((updated_at, self.step))
        # The first steps are slower, so the start is dropped as soon as there are two other marks.
        while len(marks) > MIN_MARKS and (marks[0][0] == self._started_at or marks[1][0] <= now - WINDOW_SECONDS):
            marks.popleft()
        (begin, first), (end, last) = marks[0], marks[-1]
        return (end - begin) / (last - first) if last > first else None

    def stop(self) -> None:
        """Stop the clock."""
        self._stopped_at = self._clock()

    @property
    def elapsed_seconds(self) -> float:
        """Training time of this process."""
        if self._started_at is None:
            return 0.0
        return (self._clock() if self._stopped_at is None else self._stopped_at) - self._started_at

    def position(self) -> list[str]:
        """Return step and epoch as text."""
        parts = [f"step {self.step:,}" + ("" if self.total_steps is None else f"/{self.total_steps:,}")]
        if "epoch" in self.row:
            # The column counts completed epochs: 6.3 is within the seventh. The subtraction is for rounding errors.
            epoch = max(1, math.ceil(self.row["epoch"] - 1e-6))
            parts.append(f"epoch {epoch}" + ("" if self._epochs is None else f"/{self._epochs}"))
        return parts

    def metrics(self) -> list[str]:
        """Return losses, D(x), D(G(z)) and terms as text; columns that a method does not have are left out."""
        row = self.row
        losses = {"D": "loss/discriminator", "G": "loss/generator"}
        probabilities = {"D(x)": "prob/real", "D(G(z))": "prob/fake"}
        groups = [
            ["loss", *(f"{name} {format_loss(row[key])}" for name, key in losses.items() if key in row)],
            [f"{name} {row[key]:.2f}" for name, key in probabilities.items() if key in row],
            *([f"{key.removeprefix('term/')} {format_loss(row[key])}"] for key in row if key.startswith("term/")),
        ]
        return [" ".join(group) for group in groups if group not in ([], ["loss"])]

    def speed(self) -> list[str]:
        """Return images per second as text."""
        speed = self.row.get("images_per_second")
        return [] if speed is None else [f"{speed:,.0f} images/s" if speed >= FAST else f"{speed:.2g} images/s"]

    def remaining(self) -> list[str]:
        """Return the remaining time as text, if it is known."""
        return [] if self.remaining_seconds is None else [f"{format_clock(self.remaining_seconds)} left"]


def format_evaluation(
    step: int, scores: Mapping[str, float | None], reference: Mapping[str, float | None], separator: str
) -> str:
    """Return an evaluation as a line: each score with its reference in parentheses."""
    parts = []
    for name, value in scores.items():
        real = reference.get(name)
        parts.append(f"{name} {format_number(value)}" + ("" if real is None else f" (reference {format_number(real)})"))
    return f"step {step:,} scores: {separator.join(parts)}"
