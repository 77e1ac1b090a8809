"""Laws of progress: position, remaining time, metrics as text."""

from __future__ import annotations

import pytest

from ganforge.runs.progress import Progress, format_evaluation
from ganforge.utils.format import format_clock, format_loss


class Clock:
    """Clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_remaining_time_is_right_after_a_resume() -> None:
    """Steps from before the resume do not count as done now: 10 steps a second leave 50 seconds for 500 steps."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.start(step=100_000, total_steps=101_000)
    clock.now += 1
    progress.update({"step": 100_010})
    clock.now += 1
    progress.update({"step": 100_020})
    assert progress.remaining_seconds == pytest.approx(98)
    for step in range(100_030, 100_510, 10):
        clock.now += 1
        progress.update({"step": step})
    assert progress.remaining_seconds == pytest.approx(50)
    assert progress.elapsed_seconds == pytest.approx(50)


def test_rows_that_come_in_bursts_do_not_mislead() -> None:
    """With bursts of fifty rows every five seconds, the estimate is right at every row."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.start(step=0, total_steps=10_000)
    for burst in range(20):
        clock.now += 5
        for step in range(50 * burst + 1, 50 * burst + 51):
            clock.now += 1e-6
            progress.update({"step": step})
            expected = None if burst == 0 else pytest.approx(0.1 * (10_000 - step), rel=1e-4)
            assert progress.remaining_seconds == expected


@pytest.mark.parametrize("interval", [0.01, 1.0, 45.0])
def test_the_remaining_time_follows_the_recent_speed(interval: float) -> None:
    """A slow first step and a slow first half no longer count after half a minute at the new speed."""
    clock = Clock()
    progress = Progress(None, clock)
    progress.start(step=0, total_steps=100_000)
    clock.now += 300
    progress.update({"step": 1})
    for step in range(2, 62):
        clock.now += interval
        progress.update({"step": step})
    assert progress.remaining_seconds == pytest.approx(interval * (100_000 - 61))
    for step in range(62, 66 + round(4 * 35 / interval)):
        clock.now += interval / 4
        progress.update({"step": step})
    assert progress.remaining_seconds == pytest.approx(interval / 4 * (100_000 - progress.step))


@pytest.mark.parametrize(
    ("completed", "shown"), [(0.0, 1), (0.01, 1), (6.3, 7), (7.0, 7), (7.0 + 1e-12, 7), (7.01, 8), (20.0, 20)]
)
def test_the_epoch_is_the_one_that_the_step_was_in(completed: float, shown: int) -> None:
    """The epoch shown is the one that the step of the row belongs to, its last step included."""
    progress = Progress(20)
    progress.start(step=0, total_steps=9)
    progress.update({"step": 1, "epoch": completed})
    assert progress.position() == ["step 1/9", f"epoch {shown}/20"]


def test_numbers_keep_their_width() -> None:
    """A loss takes five characters from 0 to 1000, plus its sign, so that a line does not jump."""
    assert {len(format_loss(value)) for value in (0.0, 1e-9, 0.5, 9.9, 10.04, 99.9, 123.4, 999.0)} == {5}
    assert [format_loss(value) for value in (-0.5, 12345.0, float("nan"), float("inf"))] == [
        "-0.500", "1.2e+04", "nan", "inf",
    ]  # fmt: skip
    assert [format_clock(seconds) for seconds in (0, 0.2, 130, 3600 * 30)] == [
        "00:00:00", "00:00:01", "00:02:10", "1d 06:00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (
            {
                "loss/discriminator": 0.7,
                "loss/generator": 2.0,
                "logits/real": 1.2,
                "prob/real": 0.76,
                "prob/fake": 0.36,
            },
            ["loss D 0.700 G 2.000", "D(x) 0.76 D(G(z)) 0.36"],
        ),
        (
            {
                "loss/discriminator": 0.7,
                "loss/generator": 2.0,
                "term/r1": 0.03,
                "term/acgan/gen": 12.0,
                "zcr/mean": 4.0,
            },
            ["loss D 0.700 G 2.000", "r1 0.030", "acgan/gen 12.00"],
        ),
        ({"prob/real": 0.5}, ["D(x) 0.50"]),
        ({}, []),
    ],
)
def test_metrics_are_shown_as_tutorials_show_them(row: dict[str, float], shown: list[str]) -> None:
    """Losses, D(x) and D(G(z)), and terms by name; a method without discriminator outputs has no probabilities."""
    progress = Progress(None)
    progress.update({"step": 1, **row})
    assert progress.metrics() == shown


def test_an_evaluation_shows_scores_with_their_references() -> None:
    """A score without a reference stands alone, and one that is missing is named so."""
    line = format_evaluation(500, {"fid": 29.5, "ppl": 120.25, "kid": None}, {"fid": 2.125, "kid": 0.5}, " | ")
    assert line == "step 500 scores: fid 29.50 (reference 2.125) | ppl 120.2 | kid missing (reference 0.5000)"


def test_time_stands_still_after_the_end() -> None:
    """The training time of a stopped clock stays, and is 0 before the start."""
    clock = Clock()
    progress = Progress(None, clock)
    assert progress.elapsed_seconds == 0.0
    progress.start(step=0, total_steps=10)
    clock.now += 7
    progress.stop()
    clock.now += 100
    assert progress.elapsed_seconds == 7.0
