"""How often and how much each transformation of ADA is applied."""

from __future__ import annotations

import math

import pytest
import torch
from ganforge_augment.ada import Ada
from ganforge_augment.laws import AMOUNTS, COLOURS, GEOMETRIC
from torch import Tensor

COUNT = 20_000
SMOOTH = [name for name, amount in AMOUNTS.items() if amount.law != "choice"]
OPTIONS = (*GEOMETRIC, *COLOURS)


def amounts(**options: object) -> dict[str, Tensor]:
    """Draw amounts for many images."""
    made = Ada(Ada.Options.model_validate(options))
    return made._amounts(torch.zeros(COUNT, 1, 1, 1), torch.Generator().manual_seed(5))


def share(applied: Tensor) -> float:
    """Return the share of images that something is applied to."""
    return float(applied.float().mean())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_each_is_applied_with_probability_p(p: float) -> None:
    """An image gets each transformation with probability p; it is rotated, before or after stretching, with p too."""
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


def test_both_shifts_go_together_and_others_apart() -> None:
    """A shift is applied in x and y at once; of two different transformations each decides for itself."""
    drawn = amounts(initial=0.5)
    for name in ("xint", "xfrac"):
        assert torch.equal(drawn[name][:, 0] != 0, drawn[name][:, 1] != 0)
    both = (drawn["scale"] != 0) & (drawn["aniso"] != 0)
    assert share(both) == pytest.approx(0.25, abs=0.02)


def test_amounts_have_the_papers_sizes() -> None:
    """At p = 1: standard deviations of normal amounts, and evenly filled ranges of uniform ones."""
    drawn = amounts(initial=1.0)
    normal = {"scale": 0.2, "aniso": 0.2, "xfrac": 1 / 8, "brightness": 0.2, "contrast": 0.5, "saturation": 1.0}
    for name, deviation in normal.items():
        assert float(drawn[name].mean()) == pytest.approx(0, abs=5 * deviation / math.sqrt(COUNT)), name
        assert float(drawn[name].std()) == pytest.approx(deviation, rel=0.03), name
        within = share(drawn[name].abs() < deviation)
        assert within == pytest.approx(0.6827, abs=0.02), name
    for name, most in {"xint": 1 / 8, "rotate_before": math.pi, "rotate_after": math.pi, "hue": math.pi}.items():
        counts = drawn[name][:, 0].histc(10, -most, most)
        assert float(counts.sum()) == COUNT
        assert counts.min() > 0.9 * COUNT / 10, name
    for name, kinds in {"xflip": 2, "rotate90": 4, "lumaflip": 2}.items():
        values, counts = drawn[name].unique(return_counts=True)
        assert values.tolist() == list(range(kinds))
        assert counts.min() > 0.9 * COUNT / kinds, name


@pytest.mark.parametrize("option", OPTIONS)
def test_each_is_switched_off_by_its_option(option: str) -> None:
    """At p = 1 all are applied but the one whose option is false."""
    drawn = amounts(initial=1.0, **{option: False})
    still = {AMOUNTS[name].option for name, amount in drawn.items() if not amount.any()}
    assert still == {option}


def test_options_and_amounts_name_the_same() -> None:
    """Every transformation has a switch, every switch a transformation, and all are on by default."""
    switches = {name for name, field in Ada.Options.model_fields.items() if field.annotation is bool}
    assert switches == set(OPTIONS) == {amount.option for amount in AMOUNTS.values()}
    options = Ada.Options()
    assert all(getattr(options, name) for name in switches)
