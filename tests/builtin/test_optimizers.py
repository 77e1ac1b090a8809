"""Built-in optimizers and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim import Optimizer

from ganforge.builtin.optimizers import Adam, AdamW, RMSprop, Sgd
from ganforge.builtin.schedules import Constant, Cosine, Linear
from ganforge.components import OptimizerFactory

Torch = Callable[[list[nn.Parameter]], Optimizer]

#: Options, and the optimizer that they mean.
CASES: dict[str, tuple[type[OptimizerFactory], dict[str, Any], Torch]] = {
    "adam": (Adam, {}, lambda p: torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999), eps=1e-8, fused=True)),
    "adam-options": (
        Adam,
        {"lr": 1e-3, "betas": (0.0, 0.9), "eps": 1e-6, "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.0, 0.9), eps=1e-6, weight_decay=0.1, fused=True),
    ),
    "adamw": (AdamW, {}, lambda p: torch.optim.AdamW(p, lr=2e-4, betas=(0.5, 0.999), weight_decay=1e-2, fused=True)),
    "rmsprop": (RMSprop, {}, lambda p: torch.optim.RMSprop(p, lr=5e-5, alpha=0.99, eps=1e-8)),
    "rmsprop-options": (
        RMSprop,
        {"lr": 1e-3, "alpha": 0.5, "momentum": 0.9, "weight_decay": 0.1},
        lambda p: torch.optim.RMSprop(p, lr=1e-3, alpha=0.5, momentum=0.9, weight_decay=0.1),
    ),
    "sgd": (Sgd, {}, lambda p: torch.optim.SGD(p, lr=1e-2, fused=True)),
    "sgd-options": (
        Sgd,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, fused=True),
    ),
}


def updated(make: Callable[[nn.Module], Optimizer]) -> list[torch.Tensor]:
    """Return the weights of a small network after five updates."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = make(network)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(6, 4)).square().mean().backward()
        optimizer.step()
    return [weight.detach() for weight in network.parameters()]


@pytest.mark.parametrize("case", CASES)
def test_optimizers_are_those_of_torch(case: str) -> None:
    """Every built-in optimizer has the bits of torch's, with its defaults or other options."""
    cls, options, make = CASES[case]
    found = updated(lambda network: cls(cls.Options(**options)).create(network.named_parameters()))
    expected = updated(lambda network: make(list(network.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("cls", [Adam, AdamW, RMSprop, Sgd])
def test_built_in_optimizers_only_read_gradients(cls: type[OptimizerFactory]) -> None:
    """They need no closure, and options of the engine do not reach torch."""
    assert not cls.needs_closure
    options = cls.Options(warmup_steps=5, clip_norm=1.0)
    (group,) = cls(options).create(nn.Linear(2, 2).named_parameters()).param_groups
    assert group.keys().isdisjoint({"warmup_steps", "clip_norm", "param_names"})


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Adam, {"lr": 0}),
        (Adam, {"lr": math.inf}),
        (Adam, {"betas": (0.5, 1.0)}),
        (AdamW, {"weight_decay": -1}),
        (RMSprop, {"momentum": 1}),
        (Sgd, {"nesterov": True}),
        (Sgd, {"betas": (0.5, 0.9)}),
        (Sgd, {"clip_norm": 0}),
    ],
)
def test_invalid_options_of_optimizers(cls: type[OptimizerFactory], options: dict[str, Any]) -> None:
    """Options outside their bounds, and those of another optimizer, are refused."""
    with pytest.raises(ValidationError):
        cls.Options(**options)


def test_constant_schedule() -> None:
    """The factor of a constant schedule is 1 at every step."""
    assert {Constant(Constant.Options()).factor(step, 10) for step in range(12)} == {1.0}


@pytest.mark.parametrize("cls", [Linear, Cosine])
@pytest.mark.parametrize(("start", "final"), [(0.0, 0.0), (0.5, 0.0), (0.25, 0.1), (0.0, 1.1)])
def test_decays_begin_at_one_and_end_at_final(cls: type[Linear | Cosine], start: float, final: float) -> None:
    """The factor is 1 up to `start`, halfway between there and the end it is in the middle, then `final`."""
    schedule = cls(cls.Options(start=start, final=final))
    begin = round(start * 1000)
    assert {schedule.factor(step, 1000) for step in range(0, begin + 1, 10)} == {1.0}
    assert schedule.factor((begin + 1000) // 2, 1000) == pytest.approx((1 + final) / 2)
    assert schedule.factor(1000, 1000) == schedule.factor(1200, 1000) == pytest.approx(final)
    factors = [schedule.factor(step, 1000) for step in range(1001)]
    assert factors == sorted(factors, reverse=final < 1)


def test_formulas_of_decays() -> None:
    """A linear decay loses equal parts; a cosine decay is half a cosine: eq. 5 of SGDR."""
    linear, cosine = Linear(Linear.Options()), Cosine(Cosine.Options())
    for step in range(7):
        assert linear.factor(step, 7) == pytest.approx(1 - step / 7)
        assert cosine.factor(step, 7) == pytest.approx(0.5 * (1 + math.cos(math.pi * step / 7)))
