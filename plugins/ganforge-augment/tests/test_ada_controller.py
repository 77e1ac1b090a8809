"""Adaptation of ADA's p to the signs of real logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganforge_augment.ada import Ada
from torch import Tensor

SURE, UNSURE = torch.full((50,), 3.0), torch.full((50,), -0.1)


def ada(**options: Any) -> Ada:
    """Return an augmentation whose p changes by a fifth each time, for 50 logits per update."""
    return Ada(Ada.Options(**{"ramp_images": 1000, **options}))


def after(augmentation: Ada, *updates: Tensor) -> float:
    """Return p after updates with real logits."""
    for logits in updates:
        augmentation.observe(logits)
    return float(augmentation.p)


def test_p_rises_by_the_images_of_an_interval_over_the_ramp() -> None:
    """Four updates of 50 positive logits raise p by exactly 200/1000, and not before the fourth."""
    augmentation = ada()
    expected = [0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4]
    assert [after(augmentation, SURE) for _ in range(9)] == pytest.approx(expected, abs=1e-7)


def test_p_falls_by_the_same_step() -> None:
    """Negative logits lower p as much."""
    assert after(ada(initial=0.7), *[UNSURE] * 4) == pytest.approx(0.5, abs=1e-7)


def test_p_stays_between_0_and_1() -> None:
    """After many equal updates, p is exactly 0 or 1."""
    assert after(ada(initial=0.9), *[SURE] * 40) == 1
    assert after(ada(initial=0.1), *[UNSURE] * 40) == 0


@pytest.mark.parametrize(("batch", "interval"), [(64, 4), (1, 1), (7, 3)])
def test_p_reaches_1_after_ramp_images(batch: int, interval: int) -> None:
    """The way from 0 to 1 takes `ramp_images` images for any batch size and interval: rounding does not add up."""
    changes = 400
    ramp = batch * interval * changes
    augmentation = Ada(Ada.Options(ramp_images=ramp, interval=interval))
    logits = torch.ones(batch)
    assert after(augmentation, *[logits] * (interval * (changes - 1))) == pytest.approx(1 - 1 / changes, abs=1e-4)
    assert after(augmentation, *[logits] * interval) == pytest.approx(1, abs=1e-4)


def test_the_papers_speed_is_the_default() -> None:
    """By default p moves by 4 · batch / 500,000 every 4 updates, towards r = 0.6, from 0."""
    assert after(Ada(Ada.Options()), *[torch.ones(60)] * 4) == pytest.approx(4 * 60 / 500_000)
    above, below = torch.tensor([1.0] * 81 + [-1.0] * 19), torch.tensor([1.0] * 79 + [-1.0] * 21)
    assert after(Ada(Ada.Options(initial=0.5)), *[above] * 4) > 0.5  # r = 0.62
    assert after(Ada(Ada.Options(initial=0.5)), *[below] * 4) < 0.5  # r = 0.58


def test_r_is_the_mean_over_the_interval() -> None:
    """All logits of an interval count, not only those of its last update; earlier ones do not."""
    augmentation = ada(initial=0.5)
    assert after(augmentation, UNSURE, UNSURE, SURE, SURE) == pytest.approx(0.3, abs=1e-6)
    assert after(augmentation, SURE, SURE, SURE, SURE) == pytest.approx(0.5, abs=1e-6)


def test_p_rests_on_target() -> None:
    """If r is the target, p stays; only signs matter, not the size of logits."""
    logits = torch.tensor([100.0, 0.001, 2.0, -50.0])  # r = 0.5
    assert after(ada(initial=0.4, target=0.5), *[logits] * 4) == pytest.approx(0.4)


def test_several_logits_per_image() -> None:
    """With logits `(N, K)`, r is the mean sign, and p moves by the number of images, not of logits."""
    logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, -0.1, 5.0]]).repeat(25, 1)  # r = 2/3
    assert after(ada(target=0.6), *[logits] * 4) == pytest.approx(0.2, abs=1e-7)
    assert after(ada(target=0.7, initial=0.5), *[logits] * 4) == pytest.approx(0.3, abs=1e-7)


def test_without_a_target_p_is_fixed() -> None:
    """`target = none` keeps p."""
    augmentation = Ada(Ada.Options.model_validate({"target": "none", "initial": 0.3, "interval": 1, "ramp_images": 10}))
    assert after(augmentation, SURE, UNSURE, SURE) == pytest.approx(0.3)


def test_its_state_resumes_within_an_interval() -> None:
    """Saved after two of four updates and loaded into a new one, it continues as without interruption."""
    straight, first, second = ada(), ada(), ada()
    after(first, SURE, SURE, SURE, SURE, UNSURE, SURE)
    second.load_state_dict(first.state_dict())
    after(straight, SURE, SURE, SURE, SURE, UNSURE, SURE)
    rest = (SURE, SURE)
    assert after(second, *rest) == after(straight, *rest) == pytest.approx(0, abs=1e-7)  # 0.2 up, 0.2 down: r was 0.5


def test_its_state_is_four_numbers() -> None:
    """The state is p and three sums since its last change, updated in place, so that it stays on its device."""
    augmentation = ada()
    before = {name: value.data_ptr() for name, value in augmentation.state_dict().items()}
    after(augmentation, *[SURE] * 5)
    assert {name: value.data_ptr() for name, value in augmentation.state_dict().items()} == before
    state = {name: float(value) for name, value in augmentation.state_dict().items()}
    assert state == pytest.approx({"p": 0.2, "signs": 50, "images": 50, "updates": 1})


def test_logits_in_low_precision_are_counted_exactly() -> None:
    """301 bfloat16 logits are 301 signs, although bfloat16 cannot count that far."""
    augmentation = ada()
    augmentation.observe(torch.ones(301, dtype=torch.bfloat16))
    assert float(augmentation.signs) == 301


@pytest.mark.parametrize(
    "options",
    [{"target": 1.0}, {"target": -0.1}, {"initial": 1.1}, {"interval": 0}, {"ramp_images": 0}, {"flip": True}],
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    """A p beyond 1, a target that cannot be exceeded, intervals of 0 and unknown options are errors."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Ada.Options(**options)
