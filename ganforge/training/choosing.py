"""What is decided on this machine before a run starts: how large a batch may be, what is compiled and recorded."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import torch

from ganforge.errors import OutOfMemoryError
from ganforge.training import autotune as tuning
from ganforge.training.build import GANComponents
from ganforge.training.compile import compile_hindrance, graph_hindrance
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.precision import Precision

#: Compiling takes half a minute or more; a training that is expected to be this long is worth it.
COMPILING_PAYS_SECONDS = 600.0


def share(gan: GANComponents, processes: Processes) -> dict[str, object]:
    """Return what is otherwise for one of several processes, whose step is measured alone: its part of each batch."""
    return {"batch_size": gan.resolved.experiment.batch_size // processes.count}


def acceleration(
    gan: GANComponents,
    device: torch.device,
    precision: Precision,
    seconds: float | None,
    notice: Callable[[str], None],
    processes: Processes = ALONE,
) -> dict[str, str]:
    """Return what the settings `compile` and `cuda_graphs` become here: on or off. `notice` hears what is refused.

    seconds: how long a step takes, where that was measured.
    """
    experiment = gan.resolved.experiment
    decided: dict[str, str] = {"compile": experiment.compile, "cuda_graphs": experiment.cuda_graphs}
    hindrances = {"compile": compile_hindrance(gan), "cuda_graphs": graph_hindrance(gan, device)}
    for setting, hindrance in hindrances.items():
        if decided[setting] == "on" and hindrance is not None:
            notice(f"{setting} is off: {hindrance}")
        if hindrance is not None:
            decided[setting] = "off"
    if decided["cuda_graphs"] == "auto":
        decided["cuda_graphs"] = "on"
    if decided["compile"] == "auto":
        total_steps = experiment.total_steps(gan.info.sizes["train"])
        long = seconds is not None and seconds * total_steps > COMPILING_PAYS_SECONDS
        decided["compile"] = "on" if device.type == "cuda" and long else "off"
    if decided["compile"] == "on":
        reason = tuning.why_not_compiled(gan, device, precision, share(gan, processes))
        if reason is not None:
            notice(f"compile is off: {reason}")
            decided["compile"] = "off"
    return decided


def out_of_memory(
    error: BaseException,
    gan: GANComponents,
    device: torch.device,
    precisions: list[Precision],
    *,
    step: int,
    processes: Processes = ALONE,
) -> OutOfMemoryError:
    """Return the error for a step that found no memory, with the largest batch that does.

    error: what was raised; the tensors of the step that raised it are let go first.
    """
    traceback.clear_frames(error.__traceback__)
    experiment = gan.resolved.experiment
    parts = tuning.parts_that_fit(gan, device, precisions, share(gan, processes))
    message = f"step {step}: {device} has not enough memory for batches of {experiment.batch_size:,} images"
    if parts is None:
        return OutOfMemoryError(f"{message}, and not for one image either", fix="choose smaller networks")
    fitting = experiment.batch_size // processes.count // parts * processes.count
    in_parts = f", or --gradient-accumulation {parts}, which computes the same batch in parts"
    return OutOfMemoryError(
        f"{message}; {fitting:,} fit",
        fix=f"pass --batch-size {fitting}{in_parts if fitting * parts == experiment.batch_size else ''}",
    )
