"""Everything that happens before a run directory is made: resolve, build, check, choose a precision, plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ganforge.assembly import Assembly, Resolution, build, preflight
from ganforge.assembly.resolution import with_values
from ganforge.config import SECTIONS, Selection, to_document
from ganforge.config.optimizers import NOTHING
from ganforge.engine import tuning
from ganforge.engine.memory import is_out_of_memory
from ganforge.engine.precision import Precision, candidates, check, choose_device
from ganforge.engine.processes import ALONE, Processes
from ganforge.errors import ConfigError
from ganforge.evaluation import check as check_evaluation
from ganforge.evaluation import score_directions, scored_split
from ganforge.experiments.choosing import acceleration, out_of_memory, share
from ganforge.interfaces import Dataset, Network
from ganforge.registry import Registry

THIS_MACHINE = "measured on this machine"


@dataclass(slots=True)
class Prepared:
    """Hold an assembly that was checked, and where and how it will be trained.

    seconds_per_step is None where nothing needed to be measured.
    """

    registry: Registry
    assembly: Assembly
    device: torch.device
    precision: Precision
    seconds_per_step: float | None
    processes: Processes = ALONE

    @property
    def resolution(self) -> Resolution:
        """The experiment, with what was decided on this machine."""
        return self.assembly.resolution


def prepare(
    resolution: Resolution,
    registry: Registry,
    *,
    estimate: bool = False,
    processes: Processes = ALONE,
    dataset: Dataset | None = None,
) -> Prepared:
    """Build and check an experiment's parts, and write down what the machine decides: device, precision, data source.

    estimate: measure the time of a step even where the precision is given. dataset: what the resolution's data is,
    where it has been made before.

    Raises what `build` and `preflight` raise, ConfigError for a device or precision that is not there, a `best` score
    that no metric gives, or a batch that the processes cannot share equally, and OutOfMemoryError for one that is too
    large.
    """
    _check_shares(resolution, processes)
    device = choose_device(resolution.experiment.device, processes.local_rank)
    assembly = build(resolution, dataset)
    if assembly.images("train") is None:
        assembly.take("train", [0], "preflight")  # data that cannot be read is found before anything is written
    preflight(assembly, processes.count)
    _check_evaluation(assembly)
    wanted = resolution.experiment.precision
    seconds: float | None = None
    precision: Precision
    settings = share(assembly, processes)
    long = device.type == "cuda" and resolution.experiment.compile == "auto"  # whether compiling pays must be known
    try:
        if wanted == "auto":
            precision, seconds = tuning.fastest(assembly, device, resolution.notices.append, settings)
            resolution = with_values(resolution, THIS_MACHINE, precision=precision)
        else:
            precision = wanted
            check(precision, device)
            if estimate or long:
                seconds = tuning.seconds_per_step(assembly, device, precision, settings)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        tried = candidates(device) if wanted == "auto" else [wanted]
        raise out_of_memory(error, assembly, device, tried, step=1, processes=processes) from None
    decided = acceleration(assembly, device, precision, seconds, resolution.notices.append, processes)
    changed = {key: value for key, value in decided.items() if getattr(resolution.experiment, key) != value}
    resolution = with_values(resolution, "decided for this machine", **changed)
    if resolution.experiment.device == "auto":
        name = device.type if processes.count > 1 else str(device)
        resolution = with_values(resolution, "found on this machine", device=name)
    assembly.resolution = _with_found_data(resolution, assembly)
    assembly.resolution.notices.extend(assembly.dataset.notices)
    return Prepared(registry, assembly, device, precision, seconds, processes)


def _check_shares(resolution: Resolution, processes: Processes) -> None:
    """Raise ConfigError unless every process gets an equal part of each batch, and of its parts."""
    experiment = resolution.experiment
    if experiment.sync_batch_norm and processes.count == 1:
        resolution.notices.append("sync_batch_norm does nothing in one process")
    shares = processes.count * experiment.gradient_accumulation
    if experiment.batch_size % shares:
        nearest = max(experiment.batch_size // shares, 1) * shares
        parts = experiment.gradient_accumulation
        each = "" if parts == 1 else f", each in {parts} parts"
        raise ConfigError(
            f"a batch of {experiment.batch_size} cannot be shared equally by {processes.count} processes{each}",
            fix=f"pass --batch-size {nearest}; batch_size counts the images of all processes",
        )


def _with_found_data(resolution: Resolution, assembly: Assembly) -> Resolution:
    """Write down which data was found, so that repeating the run means the same images."""
    options = assembly.dataset.resolved().model_dump(mode="json")
    spelled = {key: NOTHING if value is None else value for key, value in options.items()}
    data = resolution.experiment.data
    changed = [key for key, value in spelled.items() if data.options.get(key) != value]
    if not changed:
        return resolution
    found = with_values(resolution, "found on this machine", data=Selection(name=data.name, options=spelled))
    found.origins["data"] = resolution.origin("data")
    return Resolution(
        found.experiment,
        found.chosen,
        {f"data.{key}": "found on this machine" for key in changed} | found.origins,
        found.notices,
    )


def _check_evaluation(assembly: Assembly) -> None:
    """Find what no evaluation would come to an end with, before anything is trained."""
    experiment = assembly.resolution.experiment
    if experiment.best is not None and experiment.evaluate_every is None:
        assembly.resolution.notices.append("best does nothing without evaluate_every: no score is ever taken")
    scores = score_directions(assembly)
    if experiment.evaluate_every is not None:
        if not scores:
            raise ConfigError("evaluate_every is set, but no metric is chosen", fix="pass --metric NAME")
        count, split = experiment.evaluation_images, scored_split(assembly)
        check_evaluation(assembly, count=count, split=split, option="--evaluation-images")
    if experiment.best is not None and experiment.best not in scores:
        raise ConfigError(
            f"best = {experiment.best!r}: no chosen metric gives that score; they give {', '.join(scores)}"
        )


def plan(prepared: Prepared) -> dict[str, Any]:
    """Return what a run would do, as `run --dry-run --json` prints it."""
    assembly, resolution = prepared.assembly, prepared.resolution
    images = assembly.info.sizes["train"]
    per_epoch, total = resolution.experiment.steps_per_epoch(images), resolution.experiment.total_steps(images)
    seconds = prepared.seconds_per_step
    return {
        "components": [
            {
                "kind": SECTIONS[section],
                "name": item.entry.component.name,
                "distribution": item.entry.source.distribution,
                "version": item.entry.source.version,
                "origin": resolution.origin(section),
            }
            for section, items in resolution.chosen.items()
            for item in items
        ],
        "parameters": {
            "generator": parameter_count(assembly.generator),
            "discriminator": parameter_count(assembly.discriminator),
        },
        "data": {
            "name": assembly.info.name,
            "image": str(assembly.info.image),
            "classes": assembly.info.image.classes,
            "sizes": assembly.info.sizes,
            "fingerprint": assembly.info.fingerprint,
            "source": assembly.info.source,
        },
        "device": str(prepared.device),
        "precision": prepared.precision,
        "steps_per_epoch": per_epoch,
        "total_steps": total,
        "seconds_per_step": seconds,
        "seconds_per_epoch": None if seconds is None else seconds * per_epoch,
        "seconds_total": None if seconds is None else seconds * total,
        "experiment": to_document(resolution.experiment),
        "origins": resolution.origins,
        "notices": resolution.notices,
    }


def parameter_count(network: Network) -> int:
    """Return how many numbers a network learns."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
