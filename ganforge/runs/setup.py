"""Setup of a run before its directory exists: build, preflight, precision, compilation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from ganforge.components import Dataset
from ganforge.config import ComponentRef
from ganforge.config.dotted import NOTHING
from ganforge.config.resolved import ResolvedConfig, with_values
from ganforge.errors import ConfigError
from ganforge.evaluation.validation import check as check_evaluation
from ganforge.evaluation.validation import score_directions, scored_split
from ganforge.plugins.registry import Registry
from ganforge.runs.initial_weights import start_from_weights
from ganforge.schemas.manifest import InitialWeightsRecord
from ganforge.training.build import GANComponents, build
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.flops import Flops
from ganforge.training.memory import is_out_of_memory
from ganforge.training.precision import Precision, check_precision, choose_device, choose_precision
from ganforge.training.preflight import preflight
from ganforge.training.trial_steps import choose_acceleration, out_of_memory_error, trial_error, trial_shares
from ganforge.utils.process import kept_process

#: Origin of settings.
FOUND_HERE = "found on this machine"


@dataclass(slots=True)
class Prepared:
    """Checked experiment that is ready to train; `flops` are those of a step of all ranks, for all updates."""

    registry: Registry
    gan: GANComponents
    device: torch.device
    precision: Precision
    flops: Flops
    dist: DistContext = SINGLE_PROCESS
    init: InitialWeightsRecord | None = None

    @property
    def resolved(self) -> ResolvedConfig:
        """The experiment, including the decisions for this machine."""
        return self.gan.resolved


@kept_process()
def prepare(
    resolved: ResolvedConfig,
    registry: Registry,
    *,
    dist: DistContext = SINGLE_PROCESS,
    dataset: Dataset | None = None,
    initialize: bool = True,
) -> Prepared:
    """Build and check the components of an experiment, and record device, precision and data source.

    The decisions depend on configuration, hardware and versions alone, not on a clock. `dataset` is the configuration's
    dataset, if it is already instantiated. With `initialize`, components load initial weights.

    Raises:
        ConfigError: A device, precision, score or batch size is invalid.
        OutOfMemoryError: The batch is too large.
    """
    _check_batch_sizes(resolved, dist)
    _check_reused_fakes(resolved)
    device = choose_device(resolved.experiment.device, dist.local_rank)
    gan = build(resolved, dataset, initialize=initialize)
    init = start_from_weights(gan, initialize=initialize)
    flops = _step_flops(gan, preflight(gan, dist.world_size))
    _check_evaluation(gan)
    precision = resolved.experiment.precision
    reason: str | None = None
    if precision == "auto":
        precision, reason = choose_precision(device, flops * (1 / dist.world_size))
    check_precision(precision, device)
    try:
        if reason is not None and precision != "fp32":
            shares = max(dist.world_size, trial_shares(gan, device, flops))
            error = trial_error(gan, device, precision, shares)
            if error is not None:
                resolved.notices.append(f"precision {precision} is skipped: {error}")
                precision, reason = "fp32", f"{precision} fails"
        decided = choose_acceleration(gan, device, precision, flops, resolved.notices.append, dist)
    except Exception as shortage:
        if not is_out_of_memory(shortage):
            raise
        raise out_of_memory_error(shortage, gan, device, precision, step=1, dist=dist) from None
    if reason is not None:
        resolved = with_values(resolved, reason, precision=precision)
    changed = {key: value for key, value in decided.items() if getattr(resolved.experiment, key) != value}
    resolved = with_values(resolved, "decided for this machine", **changed)
    if resolved.experiment.device == "auto":
        name = device.type if dist.world_size > 1 else str(device)
        resolved = with_values(resolved, FOUND_HERE, device=name)
    gan.resolved = _with_data_source(resolved, gan)
    gan.resolved.notices.extend(gan.notices(evaluates=resolved.experiment.evaluate_every is not None))
    return Prepared(registry, gan, device, precision, flops, dist, init)


def _step_flops(gan: GANComponents, per_image: Mapping[str, Flops]) -> Flops:
    """Return the FLOPs of a step from those of an update of each phase, per image."""
    experiment = gan.resolved.experiment
    updates = {"disc": experiment.critic_steps / experiment.generator_steps}
    parts = (
        flops * (experiment.images_per_update(phase) * updates.get(phase, 1)) for phase, flops in per_image.items()
    )
    return sum(parts, Flops())


def _check_batch_sizes(resolved: ResolvedConfig, dist: DistContext) -> None:
    """Raise ConfigError unless batches split equally into ranks and accumulation steps."""
    experiment = resolved.experiment
    if experiment.sync_batch_norm and dist.world_size == 1:
        resolved.notices.append("sync_batch_norm has no effect in a single process")
    shares = dist.world_size * experiment.gradient_accumulation
    sizes = {"batch_size": experiment.batch_size, "generator_batch_size": experiment.images_per_update("gen")}
    for setting, size in sizes.items():
        if size % shares:
            nearest = max(size // shares, 1) * shares
            parts = experiment.gradient_accumulation
            each = "" if parts == 1 else f", each in {parts} parts"
            raise ConfigError(
                f"a batch of {size} cannot be shared equally by {dist.world_size} processes{each}",
                fix=f"pass --{setting.replace('_', '-')} {nearest}; {setting} counts the images of all processes",
            )


def _check_reused_fakes(resolved: ResolvedConfig) -> None:
    """Raise ConfigError if an optimizer would backpropagate through reused fakes twice."""
    evaluating = [phase for phase, item in resolved.optimizers.items() if item.cls.needs_closure]
    if resolved.experiment.reuse_fakes and evaluating:
        raise ConfigError(
            f"reuse_fakes is set, but the optimizer of {evaluating[0]} evaluates the gradient more than once",
            fix="leave --reuse-fakes out, or choose another optimizer",
        )


def _with_data_source(resolved: ResolvedConfig, gan: GANComponents) -> ResolvedConfig:
    """Record the data source that was found, so that a repeated run uses the same images."""
    options = gan.dataset.resolved().model_dump(mode="json")
    values = {key: NOTHING if value is None else value for key, value in options.items()}
    data = resolved.experiment.data
    changed = [key for key, value in values.items() if data.options.get(key) != value]
    if not changed:
        return resolved
    updated = with_values(resolved, FOUND_HERE, data=ComponentRef(name=data.name, options=values))
    origins = {f"data.{key}": FOUND_HERE for key in changed} | updated.origins
    return replace(updated, origins=origins | {"data": resolved.origin("data")})


def _check_evaluation(gan: GANComponents) -> None:
    """Raise ConfigError for evaluation settings that could never produce a score."""
    experiment = gan.resolved.experiment
    if experiment.best_metric is not None and experiment.evaluate_every is None:
        gan.resolved.notices.append("best_metric has no effect without evaluate_every: no score is computed")
    scores = score_directions(gan)
    if experiment.evaluate_every is not None:
        if not scores:
            raise ConfigError("evaluate_every is set, but no metric is chosen", fix="pass --metric NAME")
        count, split = experiment.num_samples, scored_split(gan)
        check_evaluation(gan, num_samples=count, split=split)
    if experiment.best_metric is not None and experiment.best_metric not in scores:
        raise ConfigError(
            f"invalid best_metric {experiment.best_metric!r}: not a score of the chosen metrics ({', '.join(scores)})"
        )
