"""Evaluation of a trained run: scores of a checkpoint's generator, and their row in evaluation.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ganforge.components import Split
from ganforge.config import Layer, Section, nested
from ganforge.config.reload import reload_for_scoring
from ganforge.data.scoring import Scoring, build_scoring
from ganforge.errors import ConfigError, DataError, RunDirectoryError, UsageError
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.validation import check, check_metric, needs_extractor, score_directions, scored_split
from ganforge.schemas.rows import EVALUATIONS, EvaluationRow, Protocol, read_rows
from ganforge.training.precision import choose_device
from ganforge.training.run_directory import RunDirectory, RunLock
from ganforge.utils.files import append_row
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredScores:
    """Scores with everything that they depend on.

    Attributes:
        scores: As in evaluation.jsonl, like reference, details, protocol and seconds.
        higher_is_better: Direction of each score.
    """

    scores: dict[str, float | None]
    reference: dict[str, float | None]
    details: dict[str, Any]
    protocol: Protocol
    seconds: float
    higher_is_better: dict[str, bool]

    def measurement(self) -> dict[str, Any]:
        """Return the part of the document of `evaluate --json` that all scores have."""
        names = ("scores", "reference", "details", "seconds")
        return {name: getattr(self, name) for name in names} | {"protocol": self.protocol.model_dump(mode="json")}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores(MeasuredScores):
    """Scores of a run.

    Attributes:
        run: The run directory.
        step: Step of the checkpoint.
        pictures: Files of the metrics' pictures, by name.
        recorded: Whether evaluation.jsonl holds the scores.
    """

    run: Path
    step: int
    pictures: dict[str, Path]
    recorded: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `evaluate --json` prints."""
        pictures = {name: str(path) for name, path in self.pictures.items()}
        of_run = {"run": str(self.run), "step": self.step, "pictures": pictures, "recorded": self.recorded}
        return of_run | self.measurement()


def evaluate_run(
    trained: TrainedRun,
    request: EvaluationRequest,
    *,
    record: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> RunScores:
    """Score a run, and append a row to evaluation.jsonl. Raises the errors of `TrainedRun.evaluate`."""
    experiment = trained.experiment
    weights = trained.weights_file(ema=request.ema)
    device = choose_device(request.device)
    scoring = _scoring(trained, request)
    split = scored_split(scoring, request.split)
    num_samples = checked_count(scoring, request, split, trained.notices.append)
    checkpoint = trained.checkpoint(request.checkpoint)
    generator = trained.generator_of(checkpoint, weights).to(device).to(memory_format=torch.channels_last)
    evaluator = Evaluator(
        scoring,
        num_samples=num_samples,
        split=split,
        seed=experiment.seed if request.seed is None else request.seed,
        weights=weights,
        sampling=request.sampling,
        notice=trained.notices.append,
        progress=progress,
    )
    evaluation = evaluator.evaluate(generator, trained.latent_of(checkpoint))
    pictures, recorded = _record(trained, evaluation, checkpoint.step, request) if record else ({}, False)
    return RunScores(
        run=trained.path,
        step=checkpoint.step,
        scores=evaluation.scores,
        reference=evaluation.reference,
        details=evaluation.details,
        protocol=evaluation.protocol,
        seconds=evaluation.seconds,
        higher_is_better=score_directions(scoring),
        pictures=pictures,
        recorded=recorded,
    )


def checked_count(
    scoring: Scoring, request: EvaluationRequest, split: Split, notice: Callable[[str], None], images: int | None = None
) -> int:
    """Return the number of images to compare, after the checks of `validation`.

    Args:
        scoring: Data, metrics and features; default metrics that do not suit are left out.
        request: The request.
        split: Split of the real images.
        notice: Callback for messages about them.
        images: Number of images to score, or None for a generator, which draws any number.

    Raises:
        UsageError: A number is invalid, or a metric does not suit.
    """
    num_samples = request.num_samples
    if num_samples is None:
        num_samples = min(DEFAULT_NUM_SAMPLES, scoring.info.sizes[split], images or DEFAULT_NUM_SAMPLES)
    if num_samples < 1:
        raise UsageError(f"invalid number of images {num_samples}; the minimum is 1")
    if request.metrics is None:
        skip_unsuitable(scoring, num_samples, notice)
    if not scoring.metrics:
        raise ConfigError("no metric is chosen", fix="choose metrics that fit: --metric NAME,NAME")
    check(scoring, num_samples=num_samples, split=split, with_generator=images is None)
    return num_samples


def _scoring(trained: TrainedRun, request: EvaluationRequest) -> Scoring:
    """Return the run's data, with the requested metrics and features."""
    layers = evaluation_layers(request, EVALUATION_SECTIONS)
    resolved = reload_for_scoring(trained.experiment, trained.registry, trained.manifest, layers)
    scoring = build_scoring(resolved)
    recorded, current = trained.dataset_info(), scoring.info
    if recorded.fingerprint != current.fingerprint:
        raise DataError(
            f"{trained.path} was trained on other data: {recorded.source or recorded.name} (fingerprint "
            f"{recorded.fingerprint[:12]}); here is {current.source or current.name} ({current.fingerprint[:12]})",
            fix="provide the original data",
        )
    trained.notices.extend([*resolved.notices, *scoring.notices(evaluates=True)])
    return scoring


def skip_unsuitable(scoring: Scoring, num_samples: int, notice: Callable[[str], None]) -> None:
    """Skip default metrics that do not fit the features or the number of samples.

    Raises:
        UsageError: All metrics are skipped; the first reason.
    """
    if needs_extractor(scoring):
        scoring.extractor()
    reasons: list[UsageError] = []
    for name in list(scoring.metrics):
        try:
            check_metric(scoring, name, num_samples=num_samples)
        except UsageError as error:
            scoring.leave_out(name)
            reasons.append(error)
            if name not in CLASS_METRICS:
                notice(f"{name} is skipped: {error.message}")
    if reasons and not scoring.metrics:
        raise reasons[0]


def evaluation_layers(request: EvaluationRequest, sections: Collection[Section]) -> list[Layer]:
    """Return the default metrics and the request as layers of settings.

    Args:
        request: The request.
        sections: Sections that its options may set.

    Raises:
        ConfigError: An option belongs to another section.
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
    default = Layer("default", {"metric": {"names": [*DEFAULT_METRICS, *CLASS_METRICS]}})
    return [default, Layer("command line", nested(pairs.items()), loose=True)]


def _record(
    trained: TrainedRun, evaluation: Evaluation, step: int, request: EvaluationRequest
) -> tuple[dict[str, Path], bool]:
    """Write pictures, and a row unless an equal one exists; an unwritable folder is a notice.

    An evaluation with the default metrics needs its own row: a sweep searches for it.
    """
    names = None if request.metrics is None else list(request.metrics)
    row = EvaluationRow(step=step, **evaluation.row(), source="evaluate", requested_metrics=names)
    run = trained.directory
    pictures: dict[str, Path] = {}
    try:
        for name, picture in evaluation.pictures.items():
            pictures[name] = run.evaluation_picture_path(name, step)
            save_png(picture, pictures[name])
        earlier = read_rows(run.evaluations, EVALUATIONS)
        if not any(_is_same(row, old) for old in earlier):
            _append(run, row)
    except OSError as error:
        trained.notices.append(f"the scores are not recorded: {run.path} cannot be written ({error.strerror or error})")
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


def _append(run: RunDirectory, row: EvaluationRow) -> None:
    """Append a row. A training holds the lock of its run, but only appends, too."""
    try:
        with RunLock(run):
            append_row(run.evaluations, row.model_dump(mode="json"), torn=True)
    except RunDirectoryError:
        append_row(run.evaluations, row.model_dump(mode="json"))
