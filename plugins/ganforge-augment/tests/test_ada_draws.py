"""Frequency and size of ADA's transformations."""

from __future__ import annotations

import math

import pytest
import torch
from augment_parts import sample
from ganforge_augment.ada import Ada
from ganforge_augment.transforms import AMOUNTS, COLORS, COLUMNS, GEOMETRIC
from torch import Tensor

COUNT = 20_000
SMOOTH = [name for name, amount in AMOUNTS.items() if amount.law != "choice"]
OPTIONS = (*GEOMETRIC, *COLORS)


def amounts(**options: object) -> dict[str, Tensor]:
    """Return amounts for many images."""
    parameters = sample(Ada(Ada.Options.model_validate(options)), torch.zeros(COUNT, 1, 1, 1), seed=5)
    return dict(zip(AMOUNTS, torch.split(parameters, COLUMNS, 1), strict=True))


def share(applied: Tensor) -> float:
    """Return the share of True."""
    return float(applied.float().mean())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_each_is_applied_with_probability_p(p: float) -> None:
    """An image gets each transformation with probability p; the two rotations together have p as well."""
    drawn = amounts(initial=p)
    error = 5 * math.sqrt(p * (1 - p) / COUNT)
    for name in SMOOTH:
        if AMOUNTS[name].option != "rotate":
            assert share(drawn[name][:, 0] != 0) == pytest.approx(p, abs=error), name
    rotated = (drawn["rotate_before"] != 0) | (drawn["rotate_after"] != 0)
    assert share(rotated) == pytest.approx(p, abs=error)
    assert share(drawn["rotate_before"] != 0) == pytest.approx(1 - math.sqrt(1 - p), abs=error)
    assert share(drawn["xflip"] != 0) == pytest.approx(p / 2, abs=error)
    assert share(drawn["lumaflip"] != 0) == pytest.approx(p / 2, abs=error)
    assert share(drawn["rotate90"] != 0) == pytest.approx(p * 3 / 4, abs=error)


def test_both_shifts_are_applied_together_and_others_independently() -> None:
    """A shift is applied in x and y at once; two different transformations are independent."""
    drawn = amounts(initial=0.5)
    for name in ("xint", "xfrac"):
        assert torch.equal(drawn[name][:, 0] != 0, drawn[name][:, 1] != 0)
    both = (drawn["scale"] != 0) & (drawn["aniso"] != 0)
    assert share(both) == pytest.approx(0.25, abs=0.02)


def test_amounts_have_the_papers_sizes() -> None:
    """At p = 1, normal amounts have their standard deviations, and uniform ones fill their ranges evenly."""
    drawn = amounts(initial=1.0)
    normal = {"scale": 0.2, "aniso": 0.2, "xfrac": 1 / 8, "brightness": 0.2, "contrast": 0.5, "saturation": 1.0}
    for name, deviation in normal.items():
        assert float(drawn[name].mean()) == pytest.approx(0, abs=5 * deviation / math.sqrt(COUNT)), name
        assert float(drawn[name].std()) == pytest.approx(deviation, rel=0.03), name
        within = share(drawn[name].abs() < deviation)
        assert within == pytest.approx(0.6827, abs=0.02), name
    for name, limit in {"xint": 1 / 8, "rotate_before": math.pi, "rotate_after": math.pi, "hue": math.pi}.items():
        counts = drawn[name][:, 0].histc(10, -limit, limit)
        assert float(counts.sum()) == COUNT
        assert counts.min() > 0.9 * COUNT / 10, name
    for name, kinds in {"xflip": 2, "rotate90": 4, "lumaflip": 2}.items():
        counts = drawn[name].long().flatten().bincount()
        assert torch.equal(drawn[name], drawn[name].round())
        assert len(counts) == kinds
        assert counts.min() > 0.9 * COUNT / kinds, name


def test_amounts_are_independent() -> None:
    """At p = 1, no two columns of amounts are correlated, and an amount does not decide its own chance."""
    drawn = torch.cat(list(amounts(initial=1.0).values()), 1)
    correlations = torch.corrcoef(drawn.T) - torch.eye(sum(COLUMNS))
    assert float(correlations.abs().max()) < 5 / math.sqrt(COUNT)
    half = amounts(initial=0.5)["hue"]
    applied = half[half != 0]
    assert float(applied.mean()) == pytest.approx(0, abs=0.1)
    assert float(applied.std()) == pytest.approx(2 * math.pi / math.sqrt(12), rel=0.03)


@pytest.mark.parametrize("option", OPTIONS)
def test_each_is_switched_off_by_its_option(option: str) -> None:
    """At p = 1, all are applied except the one whose option is false."""
    drawn = amounts(initial=1.0, **{option: False})
    still = {AMOUNTS[name].option for name, amount in drawn.items() if not amount.any()}
    assert still == {option}


def test_options_and_amounts_have_the_same_names() -> None:
    """Every transformation has a switch, every switch a transformation, and all are on by default."""
    switches = {name for name, field in Ada.Options.model_fields.items() if field.annotation is bool}
    assert switches == set(OPTIONS) == {amount.option for amount in AMOUNTS.values()}
    options = Ada.Options()
    assert all(getattr(options, name) for name in switches)
