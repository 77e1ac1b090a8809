"""Trial training steps on copies of the components: what fails on this machine, and batches that fit into memory."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable

import torch

from ganforge.config.resolved import with_values
from ganforge.data.loader import Batch
from ganforge.errors import OutOfMemoryError
from ganforge.training.build import GANComponents, set_training_mode
from ganforge.training.compile import compile_conflict, graph_conflict
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.flops import Flops
from ganforge.training.memory import is_out_of_memory, release_cached_memory
from ganforge.training.precision import Precision
from ganforge.training.setup import setup_training
from ganforge.utils.devices import float32_matmul

#: FLOPs of a training from which compiling, which takes half a minute or more, pays: ten minutes of DCGAN on an H200.
MIN_COMPILED_FLOPS = 1e16
#: FLOPs of the longest trial step on a processor: about a second of two cores.
MAX_TRIAL_FLOPS = 1e11
#: Images of the smallest share of a batch.
MIN_TRIAL_IMAGES = 4
MAX_MESSAGE_LENGTH = 200


class TrialSteps:
    """Training steps on copies of the components, with the first two images of the data repeated."""

    def __init__(
        self, gan: GANComponents, device: torch.device, precision: Precision, *, shares: int = 1, **settings: object
    ) -> None:
        """Copy the components and set them up; a step gets one of several equal shares of a batch."""
        self.device, self.precision = device, precision
        copies = gan.copy()
        copies.resolved = with_values(gan.resolved, "trial", **{"compile": "off", "cuda_graphs": "off", **settings})
        self.experiment = copies.resolved.experiment
        self.gan_step, _ = setup_training(copies, device=device, precision=precision)
        set_training_mode(copies.modules())
        self.batches = {
            phase: _repeated_batch(gan, self.experiment.images_per_update(phase) // shares, device)
            for phase in self.gan_step.phases
        }
        self.steps = 0

    def run(self, steps: int = 1) -> bool:
        """Run steps, wait for the device, and return whether all numbers are finite."""
        devices = [self.device] if self.device.type == "cuda" else []
        with float32_matmul(tf32=self.precision == "tf32"), torch.random.fork_rng(devices):
            for _ in range(steps):
                updates = self.experiment.batches(self.steps + 1) - self.experiment.batches(self.steps)
                batches = {name: [batch] * (updates if name == "disc" else 1) for name, batch in self.batches.items()}
                self.gan_step.update_all(batches, self.steps)
                self.steps += 1
            return all(math.isfinite(float(value)) for value in self.gan_step.last_stats.values())


def trial_shares(gan: GANComponents, device: torch.device, flops: Flops) -> int:
    """Return the number of equal shares of a batch such that a processor needs about a second for a step with one.

    Only a GPU needs a whole batch, to find out whether it fits into memory; `flops` are those of a step.
    """
    if device.type != "cpu":
        return 1
    experiment = gan.resolved.experiment
    sizes, parts = [experiment.images_per_update(phase) for phase in ("disc", "gen")], experiment.gradient_accumulation
    most = max(min(sizes) // (MIN_TRIAL_IMAGES * parts), 1)
    equal = [shares for shares in range(1, most + 1) if not any(size % (shares * parts) for size in sizes)]
    return next((shares for shares in equal if flops.total <= MAX_TRIAL_FLOPS * shares), equal[-1])


def _repeated_batch(gan: GANComponents, count: int, device: torch.device) -> Batch:
    """Return a batch of the first two images, repeated."""
    size = gan.info.sizes["train"]
    images = gan.take("train", [number % min(size, 2) for number in range(count)], "preflight")
    return Batch.of(images).map(lambda values: values.to(device))


def trial_error(
    gan: GANComponents, device: torch.device, precision: Precision, shares: int, **settings: object
) -> str | None:
    """Run a step with one of several shares of a batch, and return why it fails, or None. Raises if memory runs out."""
    try:
        finite = TrialSteps(gan, device, precision, shares=shares, **settings).run()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return " ".join(str(error).split())[:MAX_MESSAGE_LENGTH]
    return None if finite else "a number is not finite"


def choose_acceleration(
    gan: GANComponents,
    device: torch.device,
    precision: Precision,
    flops: Flops,
    notice: Callable[[str], None],
    dist: DistContext = SINGLE_PROCESS,
) -> dict[str, str]:
    """Return `compile` and `cuda_graphs` as `on` or `off`, given the FLOPs of a step.

    A notice names each setting that is on but impossible.
    """
    experiment = gan.resolved.experiment
    chosen: dict[str, str] = {"compile": experiment.compile, "cuda_graphs": experiment.cuda_graphs}
    conflicts = {"compile": compile_conflict(gan), "cuda_graphs": graph_conflict(gan, device, precision)}
    for setting, conflict in conflicts.items():
        if chosen[setting] == "on" and conflict is not None:
            notice(f"{setting} is off: {conflict}")
        if conflict is not None:
            chosen[setting] = "off"
    if chosen["cuda_graphs"] == "auto":
        chosen["cuda_graphs"] = "on"
    if chosen["compile"] == "auto":
        long = flops.total * experiment.total_steps(gan.info.sizes["train"]) >= MIN_COMPILED_FLOPS
        chosen["compile"] = "on" if device.type == "cuda" and long else "off"
    if chosen["compile"] == "on":
        reason = trial_error(gan, device, precision, dist.world_size, compile="on")
        if reason is not None:
            notice(f"compile is off: {reason}")
            chosen["compile"] = "off"
    return chosen


def parts_that_fit(
    gan: GANComponents, device: torch.device, precision: Precision, dist: DistContext = SINGLE_PROCESS
) -> int | None:
    """Return the smallest power of two of parts of a rank's batch such that one part fits into memory, or None."""
    parts = 2
    while gan.resolved.experiment.batch_size // (dist.world_size * parts) >= 1:
        release_cached_memory(device)
        try:
            # The second step has the state of the optimizers as well.
            TrialSteps(gan, device, precision, shares=dist.world_size * parts, gradient_accumulation=1).run(steps=2)
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
    precision: Precision,
    *,
    step: int,
    dist: DistContext = SINGLE_PROCESS,
) -> OutOfMemoryError:
    """Return the error for a step that ran out of memory, with the largest batch size that fits.

    The tensors in the frames of the original error are released.
    """
    traceback.clear_frames(error.__traceback__)
    batch_size = gan.resolved.experiment.batch_size
    parts = parts_that_fit(gan, device, precision, dist)
    message = f"step {step}: {device} has not enough memory for batches of {batch_size:,} images"
    if parts is None:
        return OutOfMemoryError(f"{message}, nor for one image", fix="choose smaller networks")
    fitting = batch_size // dist.world_size // parts * dist.world_size
    in_parts = f", or --gradient-accumulation {parts}, which computes the same batch in parts"
    return OutOfMemoryError(
        f"{message}; {fitting:,} fit",
        fix=f"pass --batch-size {fitting}{in_parts if fitting * parts == batch_size else ''}",
    )
