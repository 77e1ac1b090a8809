"""Optimizers of the phases, and schedules of optimizers and terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import OptimizerFactory, Schedule
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.data.scoring import blame, instantiate
from ganforge.errors import ConfigError, PluginError
from ganforge.training.build import GANComponents


def create_optimizer(resolved: ResolvedComponent, parameters: Mapping[str, nn.Parameter]) -> Optimizer:
    """Return the optimizer of a phase's parameters, by name. Raises PluginError."""
    factory: OptimizerFactory = instantiate(resolved)
    with blame(resolved):
        optimizer: Any = factory.create(list(parameters.items()))
    if not isinstance(optimizer, Optimizer):
        raise PluginError(f"{resolved.entry} creates {type(optimizer).__name__}; a torch.optim.Optimizer is required")
    with blame(resolved, "save its state"):
        optimizer.state_dict()  # now rather than at the first checkpoint
    return optimizer


def make_capturable(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the learning rate and the step counts on the device, as CUDA graphs require."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True


class Schedules:
    """Schedules of an experiment's options: functions of the step alone, so resumed runs have the same values.

    Attributes:
        lr_scale: Factor of all learning rates, which rollbacks halve.
    """

    def __init__(self, resolved: ResolvedConfig, total_steps: int) -> None:
        self.total_steps = total_steps
        self._schedules: dict[str, Schedule] = {
            target: instantiate(item) for target, item in resolved.schedules.items()
        }
        self._optimizers = {phase: item.options for phase, item in resolved.optimizers.items()}
        self._initial: dict[str, list[dict[str, Any]]] = {}
        self.lr_scale = 1.0

    def factor(self, target: str, step: int) -> float:
        """Return the factor of a dotted option at a step; 1 for an option without a schedule."""
        schedule = self._schedules.get(target)
        return 1.0 if schedule is None else float(schedule.factor(step, self.total_steps))

    def halflife_scale(self, step: int) -> float | None:
        """Return the factor of the moving average's half-life, or None if it is not scheduled."""
        scheduled = "ema_halflife_images" in self._schedules
        return self.factor("ema_halflife_images", step) if scheduled else None

    def learning_rate(self, phase: str, step: int) -> float:
        """Return the learning rate of a phase at a step, counted from 0: warm-up, schedule and rollbacks included."""
        options: Any = self._optimizers[phase]
        warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
        rate: float = options.lr * warmup * self.factor(f"optimizer.{phase}.lr", step)
        return rate * self.lr_scale

    def targets(self, prefix: str) -> list[str]:
        """Return the scheduled options below a dotted prefix, without the prefix."""
        return [target.removeprefix(prefix) for target in self._schedules if target.startswith(prefix)]

    def register(self, phase: str, optimizer: Optimizer) -> None:
        """Save the initial values of an optimizer's groups, which schedules scale."""
        options: Any = self._optimizers[phase]
        for group in optimizer.param_groups:
            group["lr_scale"] = float(group["lr"]) / options.lr
        self._initial[phase] = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]

    def clip_norm(self, phase: str, step: int) -> float | None:
        """Return the maximum norm of a phase's gradient at a step, or None."""
        norm: float | None = getattr(self._optimizers[phase], "clip_norm", None)
        return None if norm is None else norm * self.factor(f"optimizer.{phase}.clip_norm", step)

    def apply(self, phase: str, optimizer: Optimizer, step: int) -> None:
        """Set an optimizer's scheduled options to their values at a step. Raises ConfigError for an unknown option."""
        set_learning_rate(optimizer, self.learning_rate(phase, step))
        prefix = f"optimizer.{phase}."
        for option in self.targets(prefix):
            if option in {"lr", "clip_norm"}:
                continue
            name, _, position = option.partition(".")
            factor = self.factor(prefix + option, step)
            for group, initial in zip(optimizer.param_groups, self._initial[phase], strict=True):
                if name not in group:
                    raise ConfigError(f"schedules.{prefix}{option}: the optimizer of {phase} has no option {name!r}")
                if position:
                    values = list(group[name])
                    values[int(position)] = initial[name][int(position)] * factor
                    group[name] = tuple(values)
                else:
                    group[name] = initial[name] * factor

    def term_factors(
        self, gan: GANComponents, phase: str, index: int, step: int, device: torch.device
    ) -> dict[str, float | Tensor]:
        """Return the factors, `weight` times `every`, of the terms due in a phase's `index`-th update.

        Scheduled factors are tensors on the device. The terms' scheduled options are set.
        """
        factors: dict[str, float | Tensor] = {}
        for name, term in gan.all_terms.items():
            if phase not in term.phases or index % term.options.every:
                continue
            weight = term.options.weight * term.options.every
            prefix = "loss." if name == "loss" else f"term.{name}."
            options = self.targets(prefix)
            if options:
                factors[name] = torch.tensor(weight * self.factor(f"{prefix}weight", step), device=device)
                initial = gan.owners()[name].options
                values = {
                    option: getattr(initial, option) * self.factor(prefix + option, step)
                    for option in options
                    if option != "weight"
                }
                if values:
                    term.options = term.options.model_copy(update=values)
            else:
                factors[name] = float(weight)
        return factors


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate; groups with other rates keep their ratio to it."""
    for group in optimizer.param_groups:
        scale = group.get("lr_scale", 1.0)
        value = rate if scale == 1.0 else rate * scale
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Disable the gradients of parameters within the block."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def check_grad_enabled() -> None:
    """Raise PluginError if a component has turned off gradients."""
    if not torch.is_grad_enabled():
        raise PluginError(
            "a component has turned off gradients, so that nothing learns",
            fix="in its code, use `with torch.no_grad():` in place of torch.set_grad_enabled(False)",
        )
