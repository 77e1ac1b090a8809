"""Getting an assembly's parts ready to be trained on a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ganforge.assembly import Assembly
from ganforge.engine.acceleration import accelerate
from ganforge.engine.batch_norm import synchronise
from ganforge.engine.ema import GeneratorEma
from ganforge.engine.memory import keep_freed_memory
from ganforge.engine.optimizers import make_optimizer
from ganforge.engine.precision import Precision
from ganforge.engine.processes import ALONE, Processes
from ganforge.engine.steps import Side, Steps
from ganforge.interfaces import Network


def prepare_steps(
    assembly: Assembly,
    *,
    device: torch.device,
    precision: Precision,
    processes: Processes = ALONE,
    notice: Callable[[str], None] = lambda _: None,
) -> tuple[Steps, GeneratorEma | None]:
    """Move an assembly's networks to a device, in the layout its convolutions like, and make its step functions."""
    experiment = assembly.resolution.experiment
    if device.type == "cpu":
        keep_freed_memory()
    networks: dict[Side, Network] = {"gen": assembly.generator, "disc": assembly.discriminator}
    parts: list[nn.Module] = [*networks.values(), *assembly.augmentations.values()]
    for part in parts:
        if experiment.sync_batch_norm and processes.count > 1:
            synchronise(part, processes.count)
        part.to(device).to(memory_format=torch.channels_last)
        processes.copy_from_first([*part.parameters(), *part.buffers()])
    recorded = experiment.cuda_graphs == "on" and device.type == "cuda"
    optimizers = {
        side: make_optimizer(experiment.optimizer.of(side), network.parameters(), device, recorded=recorded)
        for side, network in networks.items()
    }
    steps = Steps(assembly, optimizers=optimizers, device=device, precision=precision, processes=processes)
    accelerate(steps, assembly, notice)
    halflife = experiment.ema_halflife_images
    return steps, None if halflife is None else GeneratorEma(assembly.generator, halflife)
