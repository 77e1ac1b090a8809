"""Laws of the plan of a run."""

from __future__ import annotations

import time

import pytest

from ganforge.plugins.registry import Registry
from ganforge.runs.plan import plan
from ganforge.runs.setup import prepare
from ganforge.training.trial_steps import TrialSteps
from tests.helpers.runs import tiny
from tests.helpers.updates import MLP


def test_expected_time_is_that_of_the_median_step(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are timed one by one until half a second is measured; those that warm up do not count."""
    prepared = prepare(tiny(registry, *MLP, "steps=10"), registry)
    now, durations = 0.0, iter((100.0, 0.1, 0.3, 0.2))

    def run(_: TrialSteps, count: int) -> None:
        nonlocal now
        now += next(durations)

    monkeypatch.setattr(TrialSteps, "run", run)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    document = plan(prepared)
    assert document["seconds_per_step"] == pytest.approx(0.2)
    assert document["seconds_total"] == pytest.approx(2.0)
    assert list(durations) == []
