"""Progress: how far a run is, when it will end, and the words for it."""

from __future__ import annotations

import pytest

from ganforge.cli.progress import Progress, clock_time, loss_number


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_remaining_time_is_right_after_a_resume() -> None:
    """Steps from before the resume do not count as done now: 10 steps a second leave 50 seconds for 500 steps."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.started(step=100_000, total_steps=101_000)
    clock.now += 1
    progress.logged({"step": 100_010})
    clock.now += 1
    progress.logged({"step": 100_020})
    assert progress.remaining_seconds == pytest.approx(98)
    for step in range(100_030, 100_510, 10):
        clock.now += 1
        progress.logged({"step": step})
    assert progress.remaining_seconds == pytest.approx(50)
    assert progress.elapsed_seconds == pytest.approx(50)


def test_rows_that_come_in_bursts_do_not_mislead() -> None:
    """Where fifty rows arrive at once every five seconds, no row makes the estimate better or worse than the truth."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.started(step=0, total_steps=10_000)
    for burst in range(20):
        clock.now += 5
        for step in range(50 * burst + 1, 50 * burst + 51):
            clock.now += 1e-6
            progress.logged({"step": step})
            expected = None if burst == 0 else pytest.approx(0.1 * (10_000 - step), rel=1e-4)
            assert progress.remaining_seconds == expected


@pytest.mark.parametrize("interval", [0.01, 1.0, 45.0])
def test_the_remaining_time_follows_the_recent_speed(interval: float) -> None:
    """Neither a slow first step nor a slow first half count once half a minute has passed at the new speed."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.started(step=0, total_steps=100_000)
    clock.now += 300
    progress.logged({"step": 1})
    for step in range(2, 62):
        clock.now += interval
        progress.logged({"step": step})
    assert progress.remaining_seconds == pytest.approx(interval * (100_000 - 61))
    for step in range(62, 66 + round(4 * 35 / interval)):
        clock.now += interval / 4
        progress.logged({"step": step})
    assert progress.remaining_seconds == pytest.approx(interval / 4 * (100_000 - progress.step))


@pytest.mark.parametrize(
    ("completed", "said"), [(0.0, 1), (0.01, 1), (6.3, 7), (7.0, 7), (7.0 + 1e-12, 7), (7.01, 8), (20.0, 20)]
)
def test_the_epoch_is_the_one_that_the_step_was_in(completed: float, said: int) -> None:
    """The epoch shown is the one that the row's step belongs to, its last step included."""
    progress = Progress(20)
    progress.started(step=0, total_steps=9)
    progress.logged({"step": 1, "epoch": completed})
    assert progress.where() == ["step 1/9", f"epoch {said}/20"]


def test_numbers_keep_their_width() -> None:
    """A loss takes five characters from 0 to 1000 and its sign more, so that a line does not jump; all can be shown."""
    assert {len(loss_number(value)) for value in (0.0, 1e-9, 0.5, 9.9, 10.04, 99.9, 123.4, 999.0)} == {5}
    assert [loss_number(value) for value in (-0.5, 12345.0, float("nan"), float("inf"))] == [
        "-0.500", "1.2e+04", "nan", "inf",
    ]  # fmt: skip
    assert [clock_time(seconds) for seconds in (0, 0.2, 130, 3600 * 30)] == [
        "00:00:00", "00:00:01", "00:02:10", "1d 06:00:00",
    ]  # fmt: skip
