"""How p follows the signs of real logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganforge_augment.ada import Ada
from torch import Tensor

SURE, UNSURE = torch.full((50,), 3.0), torch.full((50,), -0.1)


def ada(**options: Any) -> Ada:
    """Return an augmentation whose p moves by a fifth with each change, given 50 logits at a time."""
    return Ada(Ada.Options(**{"ramp_images": 1000, **options}))


def after(augmentation: Ada, *heard: Tensor) -> float:
    """Let it hear logits and return p."""
    for logits in heard:
        augmentation.observe(logits)
    return float(augmentation.p)


def test_p_rises_by_the_images_of_an_interval_over_the_ramp() -> None:
    """Four updates of 50 sure logits raise p by exactly 200/1000, and not before the fourth."""
    made = ada()
    assert [after(made, SURE) for _ in range(9)] == pytest.approx([0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4], abs=1e-7)


def test_p_falls_by_the_same_step() -> None:
    """Logits below 0 lower p as much."""
    assert after(ada(initial=0.7), *[UNSURE] * 4) == pytest.approx(0.5, abs=1e-7)


def test_p_stays_between_0_and_1() -> None:
    """However long it hears the same, p is 0 or 1 exactly at the end."""
    assert after(ada(initial=0.9), *[SURE] * 40) == 1
    assert after(ada(initial=0.1), *[UNSURE] * 40) == 0


@pytest.mark.parametrize(("batch", "interval"), [(64, 4), (1, 1), (7, 3)])
def test_p_reaches_1_after_ramp_images(batch: int, interval: int) -> None:
    """From 0 to 1 takes ramp_images images, whatever the batch and the interval: rounding does not add up."""
    changes = 400
    ramp = batch * interval * changes
    made = Ada(Ada.Options(ramp_images=ramp, interval=interval))
    logits = torch.ones(batch)
    assert after(made, *[logits] * (interval * (changes - 1))) == pytest.approx(1 - 1 / changes, abs=1e-4)
    assert after(made, *[logits] * interval) == pytest.approx(1, abs=1e-4)


def test_the_papers_speed_is_the_default() -> None:
    """By default p moves by 4 · batch / 500,000 every 4 updates, towards r = 0.6, from 0."""
    assert after(Ada(Ada.Options()), *[torch.ones(60)] * 4) == pytest.approx(4 * 60 / 500_000)
    eight, seven = torch.tensor([1.0] * 81 + [-1.0] * 19), torch.tensor([1.0] * 79 + [-1.0] * 21)
    assert after(Ada(Ada.Options(initial=0.5)), *[eight] * 4) > 0.5  # r = 0.62
    assert after(Ada(Ada.Options(initial=0.5)), *[seven] * 4) < 0.5  # r = 0.58


def test_r_is_the_mean_over_the_interval() -> None:
    """All logits of an interval count, not those of its last update; and those before it do not."""
    made = ada(initial=0.5)
    assert after(made, UNSURE, UNSURE, SURE, SURE) == pytest.approx(0.3, abs=1e-6)
    assert after(made, SURE, SURE, SURE, SURE) == pytest.approx(0.5, abs=1e-6)


def test_on_target_p_rests() -> None:
    """Where r is the target, p stays; only signs matter, not how large logits are."""
    logits = torch.tensor([100.0, 0.001, 2.0, -50.0])  # r = 0.5
    assert after(ada(initial=0.4, target=0.5), *[logits] * 4) == pytest.approx(0.4)


def test_without_a_target_p_is_fixed() -> None:
    """`target = none` keeps p, whatever the discriminator says."""
    made = Ada(Ada.Options.model_validate({"target": "none", "initial": 0.3, "interval": 1, "ramp_images": 10}))
    assert after(made, SURE, UNSURE, SURE) == pytest.approx(0.3)


def test_its_state_goes_on_within_an_interval() -> None:
    """Saved after two of four updates and loaded into a fresh one, it goes on as if nothing had been."""
    straight, first, second = ada(), ada(), ada()
    after(first, SURE, SURE, SURE, SURE, UNSURE, SURE)
    second.load_state_dict(first.state_dict())
    after(straight, SURE, SURE, SURE, SURE, UNSURE, SURE)
    heard = (SURE, SURE)
    assert after(second, *heard) == after(straight, *heard) == pytest.approx(0, abs=1e-7)  # 0.2 up, 0.2 down: r was 0.5


def test_its_state_is_four_numbers() -> None:
    """What is saved is p and what it has heard since p last changed, in place, so that it stays on its device."""
    made = ada()
    before = {name: value.data_ptr() for name, value in made.state_dict().items()}
    after(made, *[SURE] * 5)
    assert {name: value.data_ptr() for name, value in made.state_dict().items()} == before
    state = {name: float(value) for name, value in made.state_dict().items()}
    assert state == pytest.approx({"p": 0.2, "signs": 50, "heard": 50, "updates": 1})


def test_logits_in_low_precision_are_counted_exactly() -> None:
    """300 bfloat16 logits are 300 signs, although bfloat16 cannot count that far."""
    made = ada()
    made.observe(torch.ones(301, dtype=torch.bfloat16))
    assert float(made.signs) == 301


@pytest.mark.parametrize(
    "options",
    [{"target": 1.0}, {"target": -0.1}, {"initial": 1.1}, {"interval": 0}, {"ramp_images": 0}, {"flip": True}],
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    """A p beyond 1, a target that cannot be passed, and steps of nothing are errors."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Ada.Options(**options)
