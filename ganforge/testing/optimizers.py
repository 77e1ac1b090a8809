"""Checks of optimizers and schedules."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from numbers import Real

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import Schedule
from ganforge.testing.checks import Checks, require, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.training.optim import create_optimizer

checks = Checks("optimizer", needs="lowers-quadratic")
schedule_checks = Checks("schedule", needs="factor-range")
STEPS, TOTAL_STEPS = 10, 1000


class Quadratic(nn.Module):
    """Least squares with two named weights; the minimum is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
        self.bias = nn.Parameter(torch.ones(3))

    def forward(self) -> Tensor:
        """Return half the squared distance to the minimum, `()`."""
        return (self.weight.square().sum() + (self.bias - 2).square().sum()) / 2


def create(fixture: Fixture, model: nn.Module) -> Optimizer:
    """Return the optimizer of a model's named weights."""
    return create_optimizer(fixture.resolved.optimizers["gen"], dict(model.named_parameters()))


def advance(fixture: Fixture, model: nn.Module, optimizer: Optimizer, steps: int = STEPS) -> int:
    """Take steps as the engine does, with a closure if the factory needs one; return the number of its calls."""
    calls = 0

    def closure() -> float:
        nonlocal calls
        calls += 1
        with torch.enable_grad():
            optimizer.zero_grad(set_to_none=True)
            loss = model()
            loss.backward()
        return loss.item()  # type: ignore[no-any-return]

    step: Callable[..., object] = optimizer.step
    for _ in range(steps):
        if fixture.cls.needs_closure:
            step(closure)
        else:
            closure()
            step()
    return calls


@checks.add("return a torch.optim.Optimizer of all weights that create(parameters) is given", needs="builds")
def creates_optimizer(fixture: Fixture) -> None:
    """`create` returns a torch optimizer that holds every weight once, each group with a learning rate."""
    model = Quadratic()
    optimizer = create(fixture, model)
    held = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    require(sorted(held) == sorted(map(id, model.parameters())), "its groups do not hold every weight exactly once")
    for group in optimizer.param_groups:
        lr = float(group.get("lr", math.nan))
        require(math.isfinite(lr) and lr > 0, f"a group has the learning rate {lr}; schedules scale group['lr']")


@checks.add(
    "follow the negative gradient; set needs_closure = False unless step(closure) calls the closure",
    needs="creates-optimizer",
)
def lowers_quadratic(fixture: Fixture) -> None:
    """Steps lower a quadratic, and stay finite; the closure is called if the factory declares that it needs one."""
    model = Quadratic()
    before = model().item()
    calls = advance(fixture, model, create(fixture, model))
    require(calls > 0, "it has needs_closure = True, but does not call the closure")
    after = model().item()
    require(math.isfinite(after), f"after {STEPS} steps on a quadratic the loss is {after}")
    require(after < before, f"{STEPS} steps on a quadratic change the loss from {before:.6g} to {after:.6g}")


@checks.add("read group['lr'] in each step: schedules, warm-up and rollbacks change it")
def follows_lr(fixture: Fixture) -> None:
    """Steps scale with the learning rates of the groups: with zero, weights stay unchanged."""
    model = Quadratic()
    optimizer = create(fixture, model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    with unchanged({f"{name}, with a learning rate of 0,": weight for name, weight in model.named_parameters()}):
        advance(fixture, model, optimizer)


@checks.add("keep state in optimizer.state[weight] and param_groups, as tensors and numbers; draw no random numbers")
def optimizer_resumes(fixture: Fixture) -> None:
    """Its state survives its state dict: loaded into a new optimizer, it continues with the same bits."""
    model = Quadratic()
    optimizer = create(fixture, model)
    advance(fixture, model, optimizer, STEPS // 2)
    twin = copy.deepcopy(model)
    other = create(fixture, twin)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    advance(fixture, model, optimizer)
    advance(fixture, twin, other)
    for (name, weight), expected in zip(twin.named_parameters(), model.parameters(), strict=True):
        require(torch.equal(weight, expected), f"resumed from its state dict, {name} ends otherwise")


# Schedules


def factors(schedule: Schedule, total: int, steps: Iterable[int]) -> dict[int, float]:
    """Return factors by step. Raises CheckFailed for a factor that is not a finite number, or negative."""
    values: dict[int, float] = {}
    for step in steps:
        factor, where = schedule.factor(step, total), f"factor({step}, {total})"
        require(isinstance(factor, Real), f"{where} is a {type(factor).__name__}; a float is needed")
        require(math.isfinite(factor) and factor >= 0, f"{where} is {factor}")
        values[step] = factor
    return values


@schedule_checks.add("return a float that is finite and not negative", needs="builds")
def factor_range(fixture: Fixture) -> None:
    """`factor(step, total_steps)` is a finite number, not negative, at every step."""
    factors(fixture.make(), TOTAL_STEPS, range(TOTAL_STEPS))


@schedule_checks.add("mind divisions by total_steps - 1 and by the length of a part: it may be 0")
def short_trainings(fixture: Fixture) -> None:
    """Trainings of one, two or three steps have factors, too."""
    for total in (1, 2, 3):
        factors(fixture.make(), total, range(total))


@schedule_checks.add("compute the factor from step and total_steps only: a resumed run begins at any step")
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


@schedule_checks.add("draw no random numbers in factor", needs="pure-function")
def no_random_numbers(fixture: Fixture) -> None:
    """The factor draws no random numbers, which belong to the training."""
    with no_global_draws():
        factors(fixture.make(), TOTAL_STEPS, (0, 1, TOTAL_STEPS - 1))
