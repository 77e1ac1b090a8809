"""Getting an gan's parts ready to be trained on a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ganforge.components import Network
from ganforge.training.build import GANComponents
from ganforge.training.compile import accelerate
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.ema import GeneratorEma
from ganforge.training.memory import keep_freed_memory
from ganforge.training.optim import make_optimizer
from ganforge.training.precision import Precision
from ganforge.training.step import Side, Steps
from ganforge.training.sync_batchnorm import synchronise


def prepare_steps(
    gan: GANComponents,
    *,
    device: torch.device,
    precision: Precision,
    processes: Processes = ALONE,
    notice: Callable[[str], None] = lambda _: None,
) -> tuple[Steps, GeneratorEma | None]:
    """Move an gan's networks to a device, in the layout its convolutions like, and make its step functions."""
    experiment = gan.resolved.experiment
    if device.type == "cpu":
        keep_freed_memory()
    networks: dict[Side, Network] = {"gen": gan.generator, "disc": gan.discriminator}
    parts: list[nn.Module] = [*networks.values(), *gan.augmentations.values()]
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
    steps = Steps(gan, optimizers=optimizers, device=device, precision=precision, processes=processes)
    accelerate(steps, gan, notice)
    halflife = experiment.ema_halflife_images
    return steps, None if halflife is None else GeneratorEma(gan.generator, halflife)
