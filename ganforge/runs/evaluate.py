"""Evaluation of a trained run: scores of a checkpoint's generator, and their row in evaluation.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from ganforge.components import Split
from ganforge.config import Layer, Section, nested
from ganforge.config.dotted import NOTHING
from ganforge.config.reload import LOCATIONS, reload_for_scoring, relocate
from ganforge.data.scoring import Scoring, build_scoring
from ganforge.errors import ConfigError, DataError, RunDirectoryError, UsageError
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.reference_statistics import ReferenceStatistics, check_saving, reference_scoring
from ganforge.evaluation.validation import check, check_metric, needs_extractor, score_directions, scored_split
from ganforge.runs.rebuild import rebuild_generator
from ganforge.schemas.rows import EVALUATIONS, EvaluationRow, Protocol, read_rows
from ganforge.training.precision import choose_device
from ganforge.training.run_directory import RunLock
from ganforge.utils.files import append_row, error_reason
from ganforge.utils.images import save_png
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.trained_run import TrainedRun

#: Default metrics, and those added for features with classes.
DEFAULT_METRICS, CLASS_METRICS = ("fid", "kid", "precision", "recall"), ("modes",)
DEFAULT_NUM_SAMPLES = 10_000
#: Sections that an evaluation may set; the others are the run's.
EVALUATION_SECTIONS: tuple[Section, ...] = ("metric", "features")
#: Entries of a row that do not distinguish evaluations.
INCIDENTAL = {"seconds", "source", "requested_metrics"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Parameters of an evaluation, as in `TrainedRun.evaluate`."""

    metrics: Sequence[str] | None = None
    num_samples: int | None = None
    checkpoint: int | Literal["newest", "best"] = "newest"
    split: Split | None = None
    features: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    device: str = "auto"
    ema: bool | None = None
    reference: Path | None = None
    save_reference: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredScores:
    """Scores with everything that they depend on.

    Attributes:
        scores: As in evaluation.jsonl, like reference, details, protocol and seconds.
        higher_is_better: Direction of each score.
        pictures: Files of the metrics' pictures, by name.
    """

    scores: dict[str, float | None]
    reference: dict[str, float | None]
    details: dict[str, Any]
    protocol: Protocol
    seconds: float
    higher_is_better: dict[str, bool]
    pictures: dict[str, Path]

    def measurement(self) -> dict[str, Any]:
        """Return the part of the document of `evaluate --json` that all scores have."""
        return {
            "scores": self.scores,
            "reference": self.reference,
            "details": self.details,
            "protocol": self.protocol.model_dump(mode="json"),
            "seconds": self.seconds,
            "pictures": {name: str(path) for name, path in self.pictures.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores(MeasuredScores):
    """Scores of a run.

    Attributes:
        run: The run directory.
        step: Step of the checkpoint.
        recorded: Whether evaluation.jsonl holds the scores.
    """

    run: Path
    step: int
    recorded: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `evaluate --json` prints."""
        return {"run": str(self.run), "step": self.step, **self.measurement(), "recorded": self.recorded}


def evaluate_run(
    trained: TrainedRun,
    request: EvaluationRequest,
    *,
    record: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> RunScores:
    """Score a run, and append a row to evaluation.jsonl. Raises the errors of `TrainedRun.evaluate`."""
    weights = trained.weights_file(ema=request.ema)
    device = choose_device(request.device)
    statistics = None if request.reference is None else ReferenceStatistics.load(request.reference)
    scoring = _scoring(trained, request, statistics)
    seed = trained.experiment.seed if request.seed is None else request.seed
    evaluator = make_evaluator(
        scoring, request, statistics, seed=seed, weights=weights, notice=trained.notices.append, progress=progress
    )
    checkpoint = trained.checkpoint(request.checkpoint)
    loaded = rebuild_generator(trained, checkpoint, weights)
    generator = loaded.generator.to(device).to(memory_format=torch.channels_last)
    evaluation = evaluator.evaluate(generator, loaded.latent)
    save_statistics(evaluator, evaluation, request)
    pictures, recorded = _record(trained, evaluation, checkpoint.step, request.metrics) if record else ({}, False)
    return RunScores(
        run=trained.path,
        step=checkpoint.step,
        **evaluation.row(),
        higher_is_better=score_directions(scoring),
        pictures=pictures,
        recorded=recorded,
    )


def _record(
    trained: TrainedRun, evaluation: Evaluation, step: int, metrics: Collection[str] | None
) -> tuple[dict[str, Path], bool]:
    """Write pictures, and a row unless an equal one exists; an unwritable folder is a notice.

    An evaluation with the default metrics, None, needs its own row: a sweep searches for it.
    """
    names = None if metrics is None else list(metrics)
    row = EvaluationRow(step=step, **evaluation.row(), source="evaluate", requested_metrics=names)
    run = trained.directory
    pictures: dict[str, Path] = {}
    try:
        for name, picture in evaluation.pictures.items():
            pictures[name] = run.evaluation_picture_path(name, step)
            save_png(picture, pictures[name])
        if not any(_is_same(row, earlier) for earlier in read_rows(run.evaluations, EVALUATIONS)):
            try:
                with RunLock(run):
                    append_row(run.evaluations, row.model_dump(mode="json"), torn=True)
            except RunDirectoryError:  # a training holds the lock of its run, but only appends, too
                append_row(run.evaluations, row.model_dump(mode="json"))
    except OSError as error:
        trained.notices.append(f"the scores are not recorded: {run.path} cannot be written ({error_reason(error)})")
        return {}, False
    if trained.report is not None and run.report.exists():  # a training run writes its report at its end
        try:
            trained.report(run.path)
        except RunDirectoryError as error:
            trained.notices.append(error.message)
    return pictures, True


def _is_same(row: EvaluationRow, earlier: EvaluationRow) -> bool:
    """Return whether a row repeats an earlier one. One of the default metrics repeats one of these only."""
    if row.requested_metrics is None and (earlier.source, earlier.requested_metrics) != ("evaluate", None):
        return False
    return row.model_dump(exclude=INCIDENTAL) == earlier.model_dump(exclude=INCIDENTAL)


def make_evaluator(
    scoring: Scoring,
    request: EvaluationRequest,
    statistics: ReferenceStatistics | None,
    *,
    seed: int,
    notice: Callable[[str], None],
    progress: Callable[[str], None],
    weights: str = "",
    images: int | None = None,
) -> Evaluator:
    """Return the evaluator of a request, after the checks of `validation`; unsuitable default metrics are left out.

    Arguments are those of `Evaluator`; `images` is the number of images to score, or None for a generator.
    Raises UsageError if a number is invalid, or a metric does not suit.
    """
    num_samples = request.num_samples
    if statistics is None:
        split = scored_split(scoring, request.split)
        default = min(DEFAULT_NUM_SAMPLES, scoring.info.sizes[split], images or DEFAULT_NUM_SAMPLES)
    else:
        split, default = scored_split(scoring, cast(Split, statistics.protocol.split)), statistics.protocol.real_images
    num_samples = default if num_samples is None else num_samples
    if num_samples < 1:
        raise UsageError(f"invalid number of images {num_samples}; the minimum is 1")
    if request.metrics is None:
        skip_unsuitable(scoring, num_samples, split, notice)
    if not scoring.metrics:
        raise ConfigError("no metric is chosen", fix="choose metrics that fit: --metric NAME,NAME")
    if statistics is not None and request.reference is not None:
        statistics.check(scoring, num_samples=num_samples, split=request.split, path=request.reference)
    check(scoring, num_samples=num_samples, split=split, with_generator=images is None)
    if request.save_reference is not None:
        check_saving(scoring)
    return Evaluator(
        scoring,
        num_samples=num_samples,
        split=split,
        seed=seed,
        weights=weights,
        sampling=request.sampling,
        notice=notice,
        progress=progress,
        statistics=statistics,
        keeps_training_images=request.save_reference is not None,
    )


def save_statistics(evaluator: Evaluator, evaluation: Evaluation, request: EvaluationRequest) -> None:
    """Write the features of the real images if a file is requested. Raises UsageError if it cannot be written."""
    if request.save_reference is None:
        return
    try:
        evaluator.real.statistics(evaluation.protocol).save(request.save_reference)
    except OSError as error:
        raise UsageError(f"{request.save_reference} cannot be written: {error_reason(error)}") from None


def _scoring(trained: TrainedRun, request: EvaluationRequest, statistics: ReferenceStatistics | None) -> Scoring:
    """Return the run's data, also where it has moved to, with the requested metrics and features."""
    options = dict(request.options)
    moved = {name: options.pop(key) for name in LOCATIONS if (key := f"data.{name}") in options}
    layers = evaluation_layers(replace(request, options=options), EVALUATION_SECTIONS, statistics)
    resolved = relocate(reload_for_scoring(trained.experiment, trained.registry, trained.manifest, layers), moved)
    scoring = build_scoring(resolved) if statistics is None else reference_scoring(resolved, statistics)
    if (difference := trained.manifest.data_difference(scoring.info)) is not None:
        raise DataError(f"{trained.path} {difference}", fix="provide the original data")
    trained.notices.extend([*resolved.notices, *data_notices(scoring, statistics)])
    return scoring


def data_notices(scoring: Scoring, statistics: ReferenceStatistics | None) -> Sequence[str]:
    """Return the notices of the dataset if it is read."""
    return scoring.notices(evaluates=True) if statistics is None else ()


def skip_unsuitable(scoring: Scoring, num_samples: int, split: Split, notice: Callable[[str], None]) -> None:
    """Skip default metrics that do not fit the features or the number. Raises UsageError if all are skipped."""
    if needs_extractor(scoring):
        scoring.extractor()
    reasons: list[UsageError] = []
    for name in list(scoring.metrics):
        try:
            check_metric(scoring, name, num_samples=num_samples, split=split)
        except UsageError as error:
            scoring.leave_out(name)
            reasons.append(error)
            if name not in CLASS_METRICS:
                notice(f"{name} is skipped: {error.message}")
    if reasons and not scoring.metrics:
        raise reasons[0]


def evaluation_layers(
    request: EvaluationRequest, sections: Collection[Section], statistics: ReferenceStatistics | None
) -> list[Layer]:
    """Return the default metrics, the features of statistics, and the request as layers of settings.

    Raises ConfigError if an option of the request belongs to none of the sections.
    """
    pairs = dict(request.options)
    for key in pairs:
        if key.partition(".")[0] not in sections:
            fix = "a run is scored on its own data" if key.partition(".")[0] == "data" else None
            known = [f"{section}.…" for section in sections]
            raise ConfigError(f"invalid option {key!r} of an evaluation{did_you_mean(key, known)}", fix=fix)
    if request.metrics is not None:
        pairs = {"metric": list(request.metrics)} | pairs
    if request.features is not None:
        pairs = {"features": request.features} | pairs
    layers = [Layer("default", {"metric": {"names": [*DEFAULT_METRICS, *CLASS_METRICS]}})]
    features = None if statistics is None else statistics.protocol.features
    if features is not None:
        options = {key: NOTHING if value is None else value for key, value in features.options.items()}
        options.pop("weights", None)  # a path; their SHA-256 is compared
        layers.append(Layer(str(request.reference), {"features": {"name": features.name, features.name: options}}))
    return [*layers, Layer("command line", nested(pairs.items()), loose=True)]
