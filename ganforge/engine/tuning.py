"""Measuring the real step on this machine, to choose a precision and to foretell how long an epoch takes."""

from __future__ import annotations

import copy
import dataclasses
import math
import statistics
import time
from collections.abc import Callable

import torch

from ganforge.assembly import Assembly
from ganforge.engine.feed import Batch
from ganforge.engine.precision import Precision, candidates, matrix_products
from ganforge.engine.trainer import prepare_steps

#: Seconds given to all candidates together, after a first step of each that is not counted.
BUDGET_SECONDS = 0.7
FEWEST_ROUNDS = 2
MOST_ROUNDS = 20
#: float32 is kept unless another precision is faster by this factor: an accident of the clock shall not decide.
WORTH_IT = 1.1


class Trial:
    """Take steps with copies of an assembly's parts in one precision; nothing outside is changed."""

    def __init__(self, assembly: Assembly, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision = precision
        self.critic_steps = assembly.resolution.experiment.critic_steps
        copied = dataclasses.replace(
            assembly,
            generator=copy.deepcopy(assembly.generator),
            discriminator=copy.deepcopy(assembly.discriminator),
            augmentations=copy.deepcopy(assembly.augmentations),
        )
        self.steps, _ = prepare_steps(copied, device=device, precision=precision)
        # What the images show does not change how long a step takes.
        image, count = assembly.info.image, assembly.resolution.experiment.batch_size
        images = torch.zeros(count, image.channels, image.height, image.width, device=device)
        labels = None if image.classes is None else torch.zeros(count, dtype=torch.int64, device=device)
        self.batch = Batch(images, labels)
        self.seconds: list[float] = []
        self.finite = True

    def step(self) -> None:
        """Take one step, wait for the device, and keep the time."""
        devices = [self.device] if self.device.type == "cuda" else []
        with matrix_products(self.precision), torch.random.fork_rng(devices):
            begun = time.perf_counter()
            for index in range(self.critic_steps):
                self.steps.discriminator(self.batch, index)
            made = self.steps.generator_step(self.batch, 0).tolist()
            self.finite = self.finite and all(map(math.isfinite, made))
            self.seconds.append(time.perf_counter() - begun)


def measure(
    assembly: Assembly, device: torch.device, precisions: list[Precision], notice: Callable[[str], None]
) -> dict[Precision, list[float]]:
    """Return seconds of steps in each precision; a step is one generator update and its discriminator updates.

    The precisions take turns, so that whatever else the machine does meanwhile slows down all of them. A precision
    other than the first in which an operation fails, or a loss is not finite, is left out, and `notice` hears why.
    """
    trials = []
    for precision in precisions:
        trial = Trial(assembly, device, precision)
        try:
            trial.step()  # memory is touched, kernels are chosen
        except Exception as error:
            if precision == precisions[0]:
                raise
            notice(f"precision {precision} is left out: {' '.join(str(error).split())}")
            continue
        if not trial.finite and precision != precisions[0]:
            notice(f"precision {precision} is left out: a loss is not finite in it")
            continue
        trial.seconds.clear()
        trials.append(trial)
    begun = time.perf_counter()
    for turn in range(MOST_ROUNDS):
        if turn >= FEWEST_ROUNDS and time.perf_counter() - begun > BUDGET_SECONDS:
            break
        for trial in trials:
            trial.step()
    return {trial.precision: trial.seconds for trial in trials}


def fastest(assembly: Assembly, device: torch.device, notice: Callable[[str], None]) -> tuple[Precision, float]:
    """Return the fastest safe precision and its median seconds per step."""
    measured = measure(assembly, device, candidates(device), notice)
    quickest = {precision: min(seconds) for precision, seconds in measured.items()}  # what noise disturbs least
    best = min(quickest, key=lambda precision: quickest[precision])
    if quickest["fp32"] < quickest[best] * WORTH_IT:
        best = "fp32"
    return best, statistics.median(measured[best])


def seconds_per_step(assembly: Assembly, device: torch.device, precision: Precision) -> float:
    """Return the median seconds of a step in one precision."""
    return statistics.median(measure(assembly, device, [precision], lambda _: None)[precision])
