"""Laws of the expected time of large networks and of compiled ones."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ganforge.config.resolved import with_values
from ganforge.plugins.registry import Registry
from ganforge.runs.plan import plan
from ganforge.runs.setup import prepare
from ganforge.training.flops import Flops
from ganforge.training.trial_steps import MAX_TRIAL_FLOPS, TrialSteps
from tests.helpers.runs import tiny
from tests.helpers.updates import MLP


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "size"), [(64, 1, 4), (64, 4, 16), (60, 1, 4), (26, 1, 13), (7, 1, 7)]
)
def test_a_step_of_large_networks_is_timed_with_a_part_of_its_batch(
    batch_size: int, accumulation: int, size: int, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The expected time is that of a part, times their number; parts are equal, with four images or more."""
    settings = (f"batch_size={batch_size}", f"gradient_accumulation={accumulation}", "steps=10")
    prepared = prepare(tiny(registry, *MLP, *settings), registry)
    prepared.flops = Flops(1000 * MAX_TRIAL_FLOPS)
    now = 0.0
    timed: list[int] = []

    def run(trial: TrialSteps, count: int) -> None:
        nonlocal now
        now += 0.6 * count
        timed.append(len(trial.batches["disc"].images))

    monkeypatch.setattr(TrialSteps, "run", run)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert plan(prepared)["seconds_per_step"] == pytest.approx(0.6 * batch_size / size)
    assert timed == [size, size], "one step to warm up, one that is timed"


def test_a_compiled_run_is_timed_compiled(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The expected time is that of the networks that train."""
    prepared = prepare(tiny(registry, *MLP, "steps=10"), registry)
    prepared.gan.resolved = with_values(prepared.gan.resolved, "test", compile="on")
    kept: list[Any] = []
    original = TrialSteps.__init__

    def spy(trial: TrialSteps, *positional: Any, **settings: Any) -> None:
        kept.append(settings)
        original(trial, *positional, **settings | {"compile": "off"})

    monkeypatch.setattr(TrialSteps, "__init__", spy)
    plan(prepared)
    assert kept == [{"shares": 1, "compile": "on", "cuda_graphs": "off"}]
