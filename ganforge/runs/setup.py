"""Everything that happens before a run directory is made: resolve, build, check, choose a precision, plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ganforge.components import Dataset, Network
from ganforge.config import SECTIONS, ComponentRef, to_document
from ganforge.config.optimizers import NOTHING
from ganforge.config.resolved import ResolvedConfig, with_values
from ganforge.errors import ConfigError
from ganforge.evaluation.validation import check as check_evaluation
from ganforge.evaluation.validation import score_directions, scored_split
from ganforge.plugins.registry import Registry
from ganforge.training import autotune as tuning
from ganforge.training.build import GANComponents, build
from ganforge.training.choosing import acceleration, out_of_memory, share
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.memory import is_out_of_memory
from ganforge.training.precision import Precision, candidates, check, choose_device
from ganforge.training.preflight import preflight

THIS_MACHINE = "measured on this machine"


@dataclass(slots=True)
class Prepared:
    """Hold an gan that was checked, and where and how it will be trained.

    seconds_per_step is None where nothing needed to be measured.
    """

    registry: Registry
    gan: GANComponents
    device: torch.device
    precision: Precision
    seconds_per_step: float | None
    processes: Processes = ALONE

    @property
    def resolved(self) -> ResolvedConfig:
        """The experiment, with what was decided on this machine."""
        return self.gan.resolved


def prepare(
    resolved: ResolvedConfig,
    registry: Registry,
    *,
    estimate: bool = False,
    processes: Processes = ALONE,
    dataset: Dataset | None = None,
) -> Prepared:
    """Build and check an experiment's parts, and write down what the machine decides: device, precision, data source.

    estimate: measure the time of a step even where the precision is given. dataset: what the resolved's data is,
    where it has been made before.

    Raises what `build` and `preflight` raise, ConfigError for a device or precision that is not there, a `best` score
    that no metric gives, or a batch that the processes cannot share equally, and OutOfMemoryError for one that is too
    large.
    """
    _check_shares(resolved, processes)
    device = choose_device(resolved.experiment.device, processes.local_rank)
    gan = build(resolved, dataset)
    if gan.images("train") is None:
        gan.take("train", [0], "preflight")  # data that cannot be read is found before anything is written
    preflight(gan, processes.count)
    _check_evaluation(gan)
    wanted = resolved.experiment.precision
    seconds: float | None = None
    precision: Precision
    settings = share(gan, processes)
    long = device.type == "cuda" and resolved.experiment.compile == "auto"  # whether compiling pays must be known
    try:
        if wanted == "auto":
            precision, seconds = tuning.fastest(gan, device, resolved.notices.append, settings)
            resolved = with_values(resolved, THIS_MACHINE, precision=precision)
        else:
            precision = wanted
            check(precision, device)
            if estimate or long:
                seconds = tuning.seconds_per_step(gan, device, precision, settings)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        tried = candidates(device) if wanted == "auto" else [wanted]
        raise out_of_memory(error, gan, device, tried, step=1, processes=processes) from None
    decided = acceleration(gan, device, precision, seconds, resolved.notices.append, processes)
    changed = {key: value for key, value in decided.items() if getattr(resolved.experiment, key) != value}
    resolved = with_values(resolved, "decided for this machine", **changed)
    if resolved.experiment.device == "auto":
        name = device.type if processes.count > 1 else str(device)
        resolved = with_values(resolved, "found on this machine", device=name)
    gan.resolved = _with_found_data(resolved, gan)
    gan.resolved.notices.extend(gan.dataset.notices)
    return Prepared(registry, gan, device, precision, seconds, processes)


def _check_shares(resolved: ResolvedConfig, processes: Processes) -> None:
    """Raise ConfigError unless every process gets an equal part of each batch, and of its parts."""
    experiment = resolved.experiment
    if experiment.sync_batch_norm and processes.count == 1:
        resolved.notices.append("sync_batch_norm does nothing in one process")
    shares = processes.count * experiment.gradient_accumulation
    if experiment.batch_size % shares:
        nearest = max(experiment.batch_size // shares, 1) * shares
        parts = experiment.gradient_accumulation
        each = "" if parts == 1 else f", each in {parts} parts"
        raise ConfigError(
            f"a batch of {experiment.batch_size} cannot be shared equally by {processes.count} processes{each}",
            fix=f"pass --batch-size {nearest}; batch_size counts the images of all processes",
        )


def _with_found_data(resolved: ResolvedConfig, gan: GANComponents) -> ResolvedConfig:
    """Write down which data was found, so that repeating the run means the same images."""
    options = gan.dataset.resolved().model_dump(mode="json")
    spelled = {key: NOTHING if value is None else value for key, value in options.items()}
    data = resolved.experiment.data
    changed = [key for key, value in spelled.items() if data.options.get(key) != value]
    if not changed:
        return resolved
    found = with_values(resolved, "found on this machine", data=ComponentRef(name=data.name, options=spelled))
    found.origins["data"] = resolved.origin("data")
    return ResolvedConfig(
        found.experiment,
        found.chosen,
        {f"data.{key}": "found on this machine" for key in changed} | found.origins,
        found.notices,
    )


def _check_evaluation(gan: GANComponents) -> None:
    """Find what no evaluation would come to an end with, before anything is trained."""
    experiment = gan.resolved.experiment
    if experiment.best is not None and experiment.evaluate_every is None:
        gan.resolved.notices.append("best does nothing without evaluate_every: no score is ever taken")
    scores = score_directions(gan)
    if experiment.evaluate_every is not None:
        if not scores:
            raise ConfigError("evaluate_every is set, but no metric is chosen", fix="pass --metric NAME")
        count, split = experiment.num_samples, scored_split(gan)
        check_evaluation(gan, count=count, split=split, option="--num-samples")
    if experiment.best is not None and experiment.best not in scores:
        raise ConfigError(
            f"best = {experiment.best!r}: no chosen metric gives that score; they give {', '.join(scores)}"
        )


def plan(prepared: Prepared) -> dict[str, Any]:
    """Return what a run would do, as `run --dry-run --json` prints it."""
    gan, resolved = prepared.gan, prepared.resolved
    images = gan.info.sizes["train"]
    per_epoch, total = resolved.experiment.steps_per_epoch(images), resolved.experiment.total_steps(images)
    seconds = prepared.seconds_per_step
    return {
        "components": [
            {
                "kind": SECTIONS[section],
                "name": item.entry.component.name,
                "distribution": item.entry.source.distribution,
                "version": item.entry.source.version,
                "origin": resolved.origin(section),
            }
            for section, items in resolved.chosen.items()
            for item in items
        ],
        "parameters": {
            "generator": parameter_count(gan.generator),
            "discriminator": parameter_count(gan.discriminator),
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
        "seconds_per_epoch": None if seconds is None else seconds * per_epoch,
        "seconds_total": None if seconds is None else seconds * total,
        "experiment": to_document(resolved.experiment),
        "origins": resolved.origins,
        "notices": resolved.notices,
    }


def parameter_count(network: Network) -> int:
    """Return how many numbers a network learns."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
