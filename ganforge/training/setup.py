"""Set-up of the training step on a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ganforge.errors import IncompatibleError, PluginError
from ganforge.training.build import GANComponents
from ganforge.training.compile import accelerate
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.ema import GeneratorEma
from ganforge.training.memory import keep_freed_memory
from ganforge.training.optim import create_optimizer, make_capturable
from ganforge.training.precision import Precision
from ganforge.training.step import GANStep
from ganforge.training.sync_batchnorm import convert_sync_batchnorm


def setup_training(
    gan: GANComponents,
    *,
    device: torch.device,
    precision: Precision,
    dist: DistContext = SINGLE_PROCESS,
    notice: Callable[[str], None] = lambda _: None,
) -> tuple[GANStep, GeneratorEma | None]:
    """Move the components to a device, in channels-last layout, and create the training step and the moving average.

    A notice has the reason if updates cannot be recorded.
    """
    experiment = gan.resolved.experiment
    if device.type == "cpu":
        keep_freed_memory()
    for component in gan.modules().values():
        if experiment.sync_batch_norm and dist.world_size > 1:
            convert_sync_batchnorm(component, dist.world_size)
        component.to(device).to(memory_format=torch.channels_last)
        dist.broadcast_([*component.parameters(), *component.buffers()])
    phases = phase_parameters(gan)
    optimizers = {name: create_optimizer(gan.resolved.optimizers[name], weights) for name, weights in phases.items()}
    if experiment.cuda_graphs == "on" and device.type == "cuda":
        for optimizer in optimizers.values():
            make_capturable(optimizer, device)
    gan_step = GANStep(gan, phases=phases, optimizers=optimizers, device=device, precision=precision, dist=dist)
    accelerate(gan_step, gan, notice)
    halflife = experiment.ema_halflife_images
    return gan_step, None if halflife is None else GeneratorEma(gan.generator, halflife)


def phase_parameters(gan: GANComponents) -> dict[str, dict[str, nn.Parameter]]:
    """Return the trained weights of each phase, by name, in the order of the updates.

    Raises PluginError if trained weights belong to no phase, and IncompatibleError if a phase has no weights.
    """
    assigned: set[int] = set()

    def assign(prefix: str, value: nn.Module | nn.Parameter) -> dict[str, nn.Parameter]:
        """Return the trained weights of a module that are not assigned yet."""
        weights = {prefix: value} if isinstance(value, nn.Parameter) else dict(value.named_parameters(prefix))
        new = {name: weight for name, weight in weights.items() if weight.requires_grad and id(weight) not in assigned}
        assigned.update(map(id, new.values()))
        return new

    optimized: dict[str, dict[str, nn.Parameter]] = {name: {} for name in gan.resolved.phases}
    for name, (phase, value) in gan.optimized_modules().items():
        optimized[phase] |= assign(name, value)
    networks = {"gen": assign("generator", gan.generator), "disc": assign("discriminator", gan.discriminator)}
    phases = {name: networks.get(name, {}) | weights for name, weights in optimized.items()}
    for name, component in gan.modules().items():
        unassigned = next(iter(assign("", component)), None)
        if unassigned is not None:
            raise PluginError(
                f"{gan.owners()[name].entry} has weights in no optimizer, such as {unassigned}",
                fix=f'declare optimized_in = {{"{unassigned.partition(".")[0]}": "gen"}}, or freeze them',
            )
    for name, weights in phases.items():
        if not weights:
            owner = {"gen": "generator", "disc": "discriminator"}.get(name)
            subject = f"phase {name!r}" if owner is None else str(gan.owners()[owner].entry)
            raise IncompatibleError(f"{subject} has no weights to train")
    return phases
