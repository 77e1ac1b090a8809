"""Checks of schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

from ganforge.components import Schedule
from ganforge.testing.checks import Checks, require
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws

checks = Checks("schedule", needs="factor-range")
TOTAL_STEPS = 1000


def factors(schedule: Schedule, total: int, steps: Iterable[int]) -> dict[int, float]:
    """Return factors by step. Raises CheckFailed for a factor that is not a finite number, or negative."""
    values: dict[int, float] = {}
    for step in steps:
        factor, where = schedule.factor(step, total), f"factor({step}, {total})"
        require(isinstance(factor, Real), f"{where} is a {type(factor).__name__}; a float is needed")
        require(math.isfinite(factor) and factor >= 0, f"{where} is {factor}")
        values[step] = factor
    return values


@checks.add("return a float that is finite and not negative", needs="builds")
def factor_range(fixture: Fixture) -> None:
    """`factor(step, total_steps)` is a finite number, not negative, at every step."""
    factors(fixture.make(), TOTAL_STEPS, range(TOTAL_STEPS))


@checks.add("mind divisions by total_steps - 1 and by the length of a part: it may be 0")
def short_trainings(fixture: Fixture) -> None:
    """Trainings of one, two or three steps have factors, too."""
    for total in (1, 2, 3):
        factors(fixture.make(), total, range(total))


@checks.add("compute the factor from step and total_steps only: a resumed run begins at any step")
def pure_function(fixture: Fixture) -> None:
    """The factor is a function of step and total steps: the same in any order of calls."""
    steps = range(0, TOTAL_STEPS, 97)
    schedule: Schedule = fixture.make()
    forwards = factors(schedule, TOTAL_STEPS, steps)
    backwards = factors(fixture.make(), TOTAL_STEPS, reversed(steps))
    again = factors(schedule, TOTAL_STEPS, steps)
    for step in steps:
        values = {forwards[step], backwards[step], again[step]}
        require(len(values) == 1, f"factor({step}, {TOTAL_STEPS}) depends on earlier calls: {sorted(values)}")


@checks.add("draw no random numbers in factor", needs="pure-function")
def no_random_numbers(fixture: Fixture) -> None:
    """The factor draws no random numbers, which belong to the training."""
    with no_global_draws():
        factors(fixture.make(), TOTAL_STEPS, (0, 1, TOTAL_STEPS - 1))
