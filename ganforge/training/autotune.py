"""Measuring the real step on this machine, to choose a precision and to foretell how long an epoch takes."""

from __future__ import annotations

import copy
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from ganforge.config.resolved import with_values
from ganforge.data.loader import Batch
from ganforge.training.build import GANComponents
from ganforge.training.compile import WARM_UP, graph_hindrance
from ganforge.training.memory import give_back, is_out_of_memory
from ganforge.training.precision import Precision, candidates, matrix_products
from ganforge.training.setup import prepare_steps

#: Seconds given to all candidates together, after a first step of each that is not counted.
BUDGET_SECONDS = 0.5
FEWEST_ROUNDS = 2
MOST_ROUNDS = 20
#: float32 is kept unless another precision is faster by this factor: an accident of the clock shall not decide.
WORTH_IT = 1.1
#: Characters of a compiler's complaint that are passed on.
MOST_WORDS = 200
#: Steps that a GPU is given before the processor waits for it: a trial shall wait as seldom as training does.
STEPS_AT_ONCE = 5
Settings = Mapping[str, object]
#: Trials do not compile unless they are told to: it takes longer than all their steps.
UNDECIDED: Settings = {"compile": "off"}


class Trial:
    """Train for a moment with copies of an gan's parts in one precision; nothing outside is changed.

    settings: those of the experiment that are others here. Updates are recorded where those of the run will be: without
    that, launching a small network's operations takes longer than they do, in every precision.
    """

    def __init__(
        self, gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNDECIDED
    ) -> None:
        self.device = device
        self.precision = precision
        off = gan.resolved.experiment.cuda_graphs == "off" or graph_hindrance(gan, device) is not None
        graphs = {"cuda_graphs": "off" if off else "on"}
        resolved = with_values(gan.resolved, "tried", **{**UNDECIDED, **graphs, **settings})
        experiment = resolved.experiment
        self.experiment = experiment
        self.updates = 0
        self.taken = 0
        self.at_once = STEPS_AT_ONCE if device.type == "cuda" else 1
        copied = dataclasses.replace(
            gan,
            resolved=resolved,
            generator=copy.deepcopy(gan.generator),
            discriminator=copy.deepcopy(gan.discriminator),
            augmentations=copy.deepcopy(gan.augmentations),
        )
        self.steps, _ = prepare_steps(copied, device=device, precision=precision)
        # What the images show does not change how long a step takes.
        image, count = gan.info.image, experiment.batch_size
        images = torch.zeros(count, image.channels, image.height, image.width, device=device)
        labels = None if image.num_classes is None else torch.zeros(count, dtype=torch.int64, device=device)
        self.batch = Batch(images, labels)
        self.seconds: list[float] = []
        self.finite = True

    def warm_up(self) -> None:
        """Touch memory, let kernels be chosen, and record what will be recorded; none of it is counted."""
        for _ in range(1 if self.experiment.cuda_graphs == "off" else WARM_UP + 1):
            self.step()
        self.seconds.clear()

    def step(self) -> None:
        """Take a step, or as many as there are between two discriminator updates; wait, and keep the time of one."""
        devices = [self.device] if self.device.type == "cuda" else []
        with matrix_products(self.precision), torch.random.fork_rng(devices):
            begun = time.perf_counter()
            for _ in range(self.at_once):
                for _ in range(self.experiment.critic_steps):
                    self.steps.discriminator(self.batch, self.updates)
                    self.updates += 1
                for _ in range(self.experiment.generator_steps):
                    made = self.steps.generator_step(self.batch, self.taken)
                    self.taken += 1
            self.finite = self.finite and all(map(math.isfinite, made.tolist()))
            self.seconds.append((time.perf_counter() - begun) / self.experiment.generator_steps / self.at_once)


def measure(
    gan: GANComponents,
    device: torch.device,
    precisions: list[Precision],
    notice: Callable[[str], None],
    settings: Settings = UNDECIDED,
) -> dict[Precision, list[float]]:
    """Return seconds of steps in each precision; a step is one generator update and its discriminator updates.

    The precisions take turns, so that whatever else the machine does meanwhile slows down all of them. A precision
    other than the first in which an operation fails, or a loss is not finite, is left out, and `notice` hears why.
    """
    trials = []
    for precision in precisions:
        trial = Trial(gan, device, precision, settings)
        try:
            trial.warm_up()
        except Exception as error:
            if precision == precisions[0]:
                raise
            notice(f"precision {precision} is left out: {' '.join(str(error).split())}")
            continue
        if not trial.finite and precision != precisions[0]:
            notice(f"precision {precision} is left out: a loss is not finite in it")
            continue
        trials.append(trial)
    begun = time.perf_counter()
    for turn in range(MOST_ROUNDS):
        if turn >= FEWEST_ROUNDS and time.perf_counter() - begun > BUDGET_SECONDS:
            break
        for trial in trials:
            trial.step()
    return {trial.precision: trial.seconds for trial in trials}


def fastest(
    gan: GANComponents, device: torch.device, notice: Callable[[str], None], settings: Settings = UNDECIDED
) -> tuple[Precision, float]:
    """Return the fastest safe precision and its median seconds per step."""
    measured = measure(gan, device, candidates(device), notice, settings)
    quickest = {precision: min(seconds) for precision, seconds in measured.items()}  # what noise disturbs least
    best = min(quickest, key=lambda precision: quickest[precision])
    if quickest["fp32"] < quickest[best] * WORTH_IT:
        best = "fp32"
    return best, statistics.median(measured[best])


def seconds_per_step(
    gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNDECIDED
) -> float:
    """Return the median seconds of a step in one precision."""
    return statistics.median(measure(gan, device, [precision], lambda _: None, settings)[precision])


def why_not_compiled(
    gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNDECIDED
) -> str | None:
    """Compile an experiment's networks on trial; return why that fails, or None."""
    try:
        Trial(gan, device, precision, {**settings, "compile": "on"}).step()
    except Exception as error:  # noqa: BLE001 - compilers raise nearly anything; it is shown
        return " ".join(str(error).split())[:MOST_WORDS]
    return None


def parts_that_fit(
    gan: GANComponents, device: torch.device, precisions: list[Precision], settings: Settings = UNDECIDED
) -> int | None:
    """Return into how many parts, a power of two, a batch must be divided until memory suffices, or None.

    precisions: what is tried side by side, as it will be when the run is started with such batches.
    """
    batch_size = with_values(gan.resolved, "tried", **settings).experiment.batch_size
    parts = 2
    while batch_size // parts >= 1:
        give_back(device)
        try:
            smaller = {"batch_size": batch_size // parts, "gradient_accumulation": 1}
            measure(gan, device, precisions, lambda _: None, smaller)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            parts *= 2
            continue
        return parts
    return None
