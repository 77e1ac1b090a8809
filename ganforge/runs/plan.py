"""Plan of a run: its components, sizes and expected time."""

from __future__ import annotations

import statistics
import time
from typing import Any

from ganforge.config import to_document
from ganforge.runs.setup import Prepared
from ganforge.training.compile import WARMUP_UPDATES
from ganforge.training.memory import is_out_of_memory
from ganforge.training.trial_steps import TrialSteps, out_of_memory_error, trial_shares

#: Time in which steps are measured.
MEASURED_SECONDS = 0.5
#: Steps on a GPU between two synchronizations, as in training.
STEPS_PER_SYNC = 10


def plan(prepared: Prepared) -> dict[str, Any]:
    """Return the plan of a run, the document that `run --dry-run --json` prints; a few steps are timed for it.

    Raises OutOfMemoryError if a batch does not fit into memory.
    """
    seconds = _seconds_per_step(prepared)
    gan, resolved = prepared.gan, prepared.resolved
    images = gan.info.sizes["train"]
    per_epoch, total = resolved.experiment.steps_per_epoch(images), resolved.experiment.total_steps(images)
    return {
        "components": [
            {
                "kind": item.entry.component.kind,
                "for": key,
                "name": item.entry.component.name,
                "distribution": item.entry.source.distribution,
                "version": item.entry.source.version,
                "origin": resolved.origin(key),
            }
            for key, items in resolved.components().items()
            for item in items
        ],
        "parameters": {
            name: sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
            for name, network in (("generator", gan.generator), ("discriminator", gan.discriminator))
        },
        "data": {
            "name": gan.info.name,
            "image": str(gan.info.image),
            "classes": gan.info.image.num_classes,
            "sizes": gan.info.sizes,
            "fingerprint": gan.info.fingerprint,
            "source": gan.info.source,
        },
        "device": str(prepared.device),
        "precision": prepared.precision,
        "steps_per_epoch": per_epoch,
        "total_steps": total,
        "seconds_per_step": seconds,
        "seconds_per_epoch": seconds * per_epoch,
        "seconds_total": seconds * total,
        "experiment": to_document(resolved.experiment),
        "origins": resolved.origins,
        "notices": resolved.notices,
    }


def _seconds_per_step(prepared: Prepared) -> float:
    """Return the median time of a step on copies of the components, as the run will compile and record it."""
    gan, device, precision = prepared.gan, prepared.device, prepared.precision
    experiment, on_gpu = gan.resolved.experiment, device.type == "cuda"
    steps, shares = STEPS_PER_SYNC if on_gpu else 1, trial_shares(gan, device, prepared.flops)
    settings = {"compile": experiment.compile, "cuda_graphs": experiment.cuda_graphs}
    seconds: list[float] = []
    try:
        trial = TrialSteps(gan, device, precision, shares=shares, **settings)
        trial.run(WARMUP_UPDATES + 1 if on_gpu or experiment.compile == "on" else 1)
        while sum(seconds) < MEASURED_SECONDS:
            start = time.perf_counter()
            trial.run(steps)
            seconds.append(time.perf_counter() - start)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory_error(error, gan, device, precision, step=1) from None
    return statistics.median(seconds) / steps * shares
