"""Know how far a run is and when it will end, and say it in a few words."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from ganforge.utils.format import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RECENT_SECONDS = 30.0  # the speed that the remaining time is worked out from
SPACING_SECONDS = 0.5  # between two moments that are remembered
FEWEST = 2  # moments that make a speed
BURST_SECONDS = 0.002  # rows closer than this were handed over together


class Progress:
    """Follow a run's steps and its newest row.

    epochs: how many the run has, where it counts in epochs. clock: seconds since any moment.
    """

    def __init__(self, epochs: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.step = 0
        self.total_steps: int | None = None
        self.row: Mapping[str, float] = {}
        self.ailments: Sequence[str] = ()  # what is wrong with the training at the moment, a word each
        self.remaining_seconds: float | None = None
        self._epochs = epochs
        self._clock = clock
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._heard_at = 0.0
        self._moments: deque[tuple[float, int]] = deque()  # the end of a burst of rows: when, and after which step

    def started(self, *, step: int, total_steps: int) -> None:
        """Begin to measure after `step` steps, which were not done now if the run is resumed."""
        self._started_at = self._heard_at = self._clock()
        self._moments.append((self._started_at, step))
        self.step, self.total_steps = step, total_steps

    def logged(self, row: Mapping[str, float]) -> None:
        """Take over a row of metrics.jsonl, and estimate the remaining time from the speed of the last half minute."""
        now = self._clock()
        seconds_per_step = self._recent_seconds_per_step(now)
        self.row, self.step, self._heard_at = row, int(row["step"]), now
        if self.total_steps is not None and seconds_per_step is not None:
            self.remaining_seconds = seconds_per_step * max(0, self.total_steps - self.step)

    def _recent_seconds_per_step(self, now: float) -> float | None:
        # The engine hands over many rows at a time, and only the last of them tells how far the run was at that moment.
        # So a moment is remembered when the next burst begins.
        moments, heard_at = self._moments, self._heard_at
        if not moments:
            return None
        if now - heard_at >= BURST_SECONDS and heard_at - moments[-1][0] >= SPACING_SECONDS:
            moments.append((heard_at, self.step))
        # Warming up takes longer than what follows, and would spoil the estimate for half a minute.
        while len(moments) > FEWEST and (moments[0][0] == self._started_at or moments[1][0] <= now - RECENT_SECONDS):
            moments.popleft()
        (begin, first), (end, last) = moments[0], moments[-1]
        return (end - begin) / (last - first) if last > first else None

    def ended(self) -> None:
        """Stop the clock."""
        self._ended_at = self._clock()

    @property
    def elapsed_seconds(self) -> float:
        """Return for how long this process has trained."""
        if self._started_at is None:
            return 0.0
        return (self._clock() if self._ended_at is None else self._ended_at) - self._started_at

    def where(self) -> list[str]:
        """Say the step and the epoch."""
        words = [f"step {self.step:,}" + ("" if self.total_steps is None else f"/{self.total_steps:,}")]
        if "epoch" in self.row:
            # The row counts what is completed: 6.3 is within the seventh epoch. The little less is for rounding errors.
            epoch = max(1, math.ceil(self.row["epoch"] - 1e-6))
            words.append(f"epoch {epoch}" + ("" if self._epochs is None else f"/{self._epochs}"))
        return words

    def measures(self) -> list[str]:
        """Say the losses, the mean scores of real and fake images, and the penalties."""
        words = [
            _group("loss", self.row, {"loss/discriminator": "D", "loss/generator": "G"}, loss_number),
            _group("scores", self.row, {"score/real": "real", "score/fake": "fake"}, "{:.2f}".format),
            *(
                f"{key.removeprefix('penalty/')} {loss_number(value)}"
                for key, value in self.row.items()
                if key.startswith("penalty/")
            ),
        ]
        return [word for word in words if word]

    def speed(self) -> list[str]:
        """Say the images per second."""
        speed = self.row.get("images_per_second")
        return [] if speed is None else [f"{speed:,.0f} images/s" if speed >= 10 else f"{speed:.2g} images/s"]  # noqa: PLR2004

    def remaining(self) -> list[str]:
        """Say how much time is left, once that is known."""
        return [] if self.remaining_seconds is None else [f"{clock_time(self.remaining_seconds)} left"]


def clock_time(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds, 00:02:10, with days in front where there are any."""
    days, rest = divmod(math.ceil(seconds), 24 * 3600)
    hours, rest = divmod(rest, 3600)
    return (f"{days}d " if days else "") + f"{hours:02}:{rest // 60:02}:{rest % 60:02}"


def loss_number(value: float) -> str:
    """Write a number without bounds so that it keeps its width while it changes: 0.712, 12.30, 431.8, 1.2e+04."""
    for limit, pattern in ((10, "{:.3f}"), (100, "{:.2f}"), (1000, "{:.1f}")):
        if abs(value) < limit:
            return pattern.format(value)
    return f"{value:.1e}"


def _group(title: str, row: Mapping[str, float], names: Mapping[str, str], write: Callable[[float], str]) -> str:
    words = [f"{name} {write(row[key])}" for key, name in names.items() if key in row]
    return " ".join([title, *words]) if words else ""


def evaluation_in_words(
    step: int, scores: Mapping[str, float | None], floor: Mapping[str, float | None], separator: str
) -> str:
    """Return an evaluation as a line: every score, and in brackets what real images score."""
    words = []
    for name, value in scores.items():
        real = floor.get(name)
        words.append(f"{name} {number(value)}" + ("" if real is None else f" (real images {number(real)})"))
    return f"step {step:,} scores: {separator.join(words)}"
