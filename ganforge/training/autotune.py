"""Decisions that depend on the machine: precision, compilation, CUDA graphs, and batches that fit into memory.

The real training step is timed on copies of the components.
"""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Callable, Mapping

import torch

from ganforge.config.resolved import with_values
from ganforge.data.loader import Batch
from ganforge.errors import OutOfMemoryError
from ganforge.training.build import GANComponents, set_training_mode
from ganforge.training.compile import WARMUP_UPDATES, compile_conflict, graph_conflict
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.memory import is_out_of_memory, release_cached_memory
from ganforge.training.precision import Precision, supported_precisions
from ganforge.training.setup import setup_training
from ganforge.utils.images import normalize
from ganforge.utils.matmul import float32_matmul

#: Time for all precisions together, after their warm-up.
BUDGET_SECONDS = 0.5
MIN_ROUNDS, MAX_ROUNDS = 2, 20
#: Minimum speed-up over float32; it guards against noise.
MIN_SPEEDUP = 1.1
#: Training time from which compiling, which takes half a minute or more, pays.
MIN_COMPILED_SECONDS = 600.0
MAX_MESSAGE_LENGTH = 200
#: Steps on a GPU between two synchronizations, since training synchronizes rarely as well.
STEPS_PER_SYNC = 5

Settings = Mapping[str, object]
#: Default settings of a benchmark: compiling takes longer than its steps.
UNCOMPILED: Settings = {"compile": "off"}


class StepBenchmark:
    """Timer of training steps on copies of the components, in one precision.

    Updates are recorded as CUDA graphs if those of the run will be: otherwise the launches of a small network's kernels
    would take longer than the kernels, in every precision.

    Attributes:
        seconds: Seconds of each timed step.
        finite: Whether all numbers were finite.
    """

    def __init__(
        self, gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNCOMPILED
    ) -> None:
        """Copy the components and set them up.

        Args:
            gan: The components; left unchanged.
            device: Device of the run.
            precision: Precision of the networks.
            settings: Settings that replace those of the experiment.
        """
        self.device = device
        self.precision = precision
        off = gan.resolved.experiment.cuda_graphs == "off" or graph_conflict(gan, device) is not None
        graphs = {"cuda_graphs": "off" if off else "on"}
        resolved = with_values(gan.resolved, "benchmark", **{**UNCOMPILED, **graphs, **settings})
        self.experiment = resolved.experiment
        copies = gan.copy()
        copies.resolved = resolved
        self.gan_step, _ = setup_training(copies, device=device, precision=precision)
        set_training_mode(copies.modules())
        sizes = {"gen": self.experiment.images_per_generator_update}
        self.batches = {
            name: _repeated_batch(gan, sizes.get(name, self.experiment.batch_size), device)
            for name in self.gan_step.phases
        }
        self.steps_per_sync = STEPS_PER_SYNC if device.type == "cuda" else 1
        self.disc_updates = self.steps = 0
        self.seconds: list[float] = []
        self.finite = True

    def warm_up(self) -> None:
        """Run untimed steps, which allocate memory, choose kernels and record CUDA graphs."""
        for _ in range(1 if self.experiment.cuda_graphs == "off" else WARMUP_UPDATES + 1):
            self.step()
        self.seconds.clear()

    def step(self) -> None:
        """Run and time a step, or as many as there are between two discriminator updates."""
        devices = [self.device] if self.device.type == "cuda" else []
        with float32_matmul(tf32=self.precision == "tf32"), torch.random.fork_rng(devices):
            start = time.perf_counter()
            for _ in range(self.steps_per_sync):
                for _ in range(self.experiment.critic_steps):
                    self.gan_step.update("disc", self.batches["disc"], self.disc_updates, self.steps)
                    self.disc_updates += 1
                for _ in range(self.experiment.generator_steps):
                    for name in self.gan_step.phases:
                        if name != "disc":
                            stats = self.gan_step.update(name, self.batches[name], self.steps, self.steps)
                    self.steps += 1
            self.finite = self.finite and all(math.isfinite(float(value)) for value in stats.values())  # synchronizes
            seconds = time.perf_counter() - start
            self.seconds.append(seconds / self.experiment.generator_steps / self.steps_per_sync)


def _repeated_batch(gan: GANComponents, count: int, device: torch.device) -> Batch:
    """Return a batch of the first two images, repeated: their content does not change the time of a step."""
    size = gan.info.sizes["train"]
    images = gan.take("train", [number % min(size, 2) for number in range(count)], "preflight")
    condition = None if images.condition is None else normalize(images.condition).to(device)
    extras = {name: values.to(device) for name, values in images.extras.items()}
    return Batch(normalize(images.images).to(device), condition, extras)


def measure(
    gan: GANComponents,
    device: torch.device,
    precisions: list[Precision],
    notice: Callable[[str], None],
    settings: Settings = UNCOMPILED,
) -> dict[Precision, list[float]]:
    """Return the seconds of steps in each precision; a step is one generator update and its discriminator updates.

    The precisions take turns, so that other load on the machine slows down all of them. A precision other than the
    first one is skipped, with a notice, if an operation fails or a loss is not finite.
    """
    benchmarks = []
    for precision in precisions:
        benchmark = StepBenchmark(gan, device, precision, settings)
        try:
            benchmark.warm_up()
        except Exception as error:
            if precision == precisions[0]:
                raise
            notice(f"precision {precision} is skipped: {' '.join(str(error).split())}")
            continue
        if not benchmark.finite and precision != precisions[0]:
            notice(f"precision {precision} is skipped: a loss is not finite")
            continue
        benchmarks.append(benchmark)
    start = time.perf_counter()
    for number in range(MAX_ROUNDS):
        if number >= MIN_ROUNDS and time.perf_counter() - start > BUDGET_SECONDS:
            break
        for benchmark in benchmarks:
            benchmark.step()
    return {benchmark.precision: benchmark.seconds for benchmark in benchmarks}


def fastest_precision(
    gan: GANComponents, device: torch.device, notice: Callable[[str], None], settings: Settings = UNCOMPILED
) -> tuple[Precision, float]:
    """Return the fastest precision and its median seconds per step."""
    seconds = measure(gan, device, supported_precisions(device), notice, settings)
    best = min(seconds, key=lambda precision: min(seconds[precision]))  # noise changes the minimum least
    if min(seconds["fp32"]) < min(seconds[best]) * MIN_SPEEDUP:
        best = "fp32"
    return best, statistics.median(seconds[best])


def seconds_per_step(
    gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNCOMPILED
) -> float:
    """Return the median seconds of a step."""
    return statistics.median(measure(gan, device, [precision], lambda _: None, settings)[precision])


def compile_error(
    gan: GANComponents, device: torch.device, precision: Precision, settings: Settings = UNCOMPILED
) -> str | None:
    """Compile the losses and run a step; return the error message, or None."""
    try:
        StepBenchmark(gan, device, precision, {**settings, "compile": "on"}).step()
    except Exception as error:  # noqa: BLE001 - compilers raise nearly any error; its message is shown
        return " ".join(str(error).split())[:MAX_MESSAGE_LENGTH]
    return None


def per_rank_settings(gan: GANComponents, dist: DistContext) -> dict[str, object]:
    """Return the settings of a benchmark on one rank: its part of the batch."""
    return {"batch_size": gan.resolved.experiment.batch_size // dist.world_size}


def choose_acceleration(
    gan: GANComponents,
    device: torch.device,
    precision: Precision,
    step_seconds: float | None,
    notice: Callable[[str], None],
    dist: DistContext = SINGLE_PROCESS,
) -> dict[str, str]:
    """Return `compile` and `cuda_graphs` as `on` or `off`.

    Args:
        gan: The components.
        device: Device of the run.
        precision: Precision of the networks.
        step_seconds: Seconds per step, or None if not measured.
        notice: Receives one line for each setting that is on but impossible.
        dist: This rank.
    """
    experiment = gan.resolved.experiment
    chosen: dict[str, str] = {"compile": experiment.compile, "cuda_graphs": experiment.cuda_graphs}
    conflicts = {"compile": compile_conflict(gan), "cuda_graphs": graph_conflict(gan, device)}
    for setting, conflict in conflicts.items():
        if chosen[setting] == "on" and conflict is not None:
            notice(f"{setting} is off: {conflict}")
        if conflict is not None:
            chosen[setting] = "off"
    if chosen["cuda_graphs"] == "auto":
        chosen["cuda_graphs"] = "on"
    if chosen["compile"] == "auto":
        total_steps = experiment.total_steps(gan.info.sizes["train"])
        long = step_seconds is not None and step_seconds * total_steps > MIN_COMPILED_SECONDS
        chosen["compile"] = "on" if device.type == "cuda" and long else "off"
    if chosen["compile"] == "on":
        reason = compile_error(gan, device, precision, per_rank_settings(gan, dist))
        if reason is not None:
            notice(f"compile is off: {reason}")
            chosen["compile"] = "off"
    return chosen


def parts_that_fit(
    gan: GANComponents, device: torch.device, precisions: list[Precision], settings: Settings = UNCOMPILED
) -> int | None:
    """Return the smallest power of two of parts of a batch such that one part fits into memory, or None.

    Args:
        gan: The components.
        device: Device of the run.
        precisions: Precisions that the run compares at its start, so that their copies must fit together.
        settings: Settings that replace those of the experiment.
    """
    batch_size = with_values(gan.resolved, "benchmark", **settings).experiment.batch_size
    parts = 2
    while batch_size // parts >= 1:
        release_cached_memory(device)
        try:
            part = {"batch_size": batch_size // parts, "gradient_accumulation": 1}
            measure(gan, device, precisions, lambda _: None, part)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            parts *= 2
            continue
        return parts
    return None


def out_of_memory_error(
    error: BaseException,
    gan: GANComponents,
    device: torch.device,
    precisions: list[Precision],
    *,
    step: int,
    dist: DistContext = SINGLE_PROCESS,
) -> OutOfMemoryError:
    """Return the error for a step that ran out of memory, with the largest batch size that fits.

    Args:
        error: Original error; the tensors in its frames are released.
        gan: The components.
        device: Device of the run.
        precisions: As in `parts_that_fit`.
        step: Number of the failed step, for the message.
        dist: This rank.
    """
    traceback.clear_frames(error.__traceback__)
    experiment = gan.resolved.experiment
    parts = parts_that_fit(gan, device, precisions, per_rank_settings(gan, dist))
    message = f"step {step}: {device} has not enough memory for batches of {experiment.batch_size:,} images"
    if parts is None:
        return OutOfMemoryError(f"{message}, nor for one image", fix="choose smaller networks")
    fitting = experiment.batch_size // dist.world_size // parts * dist.world_size
    in_parts = f", or --gradient-accumulation {parts}, which computes the same batch in parts"
    return OutOfMemoryError(
        f"{message}; {fitting:,} fit",
        fix=f"pass --batch-size {fitting}{in_parts if fitting * parts == experiment.batch_size else ''}",
    )
