"""Score a run that was trained: which checkpoint, with which metrics and features, and a row that says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ganforge.components import Split
from ganforge.config import SECTIONS, Layer, nested
from ganforge.config.reload import reload_for_scoring
from ganforge.data.scoring import Scoring, build_scoring
from ganforge.errors import ConfigError, DataError, RunDirectoryError, UsageError
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.validation import check, check_metric, needs_extractor, score_directions, scored_split
from ganforge.report import report_run
from ganforge.training.precision import choose_device
from ganforge.training.run_directory import RunDirectory, RunLock
from ganforge.utils.files import append_row, read_rows
from ganforge.utils.images import save_png
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.trained import TrainedRun

#: What is scored unless metrics are named, and what is added where the features tell classes apart.
USUAL, OF_CLASSES = ("fid", "kid", "precision", "recall"), ("modes",)
SAMPLES = 10_000
#: Settings that an evaluation has of its own; the others are the run's.
CHOSEN = ("metric", "features")
#: What does not make two rows different: who made them, how long it took, and how they were asked for.
BESIDE = ("seconds", "made_by", "asked")


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what is asked of an evaluation; None is what `TrainedRun.evaluate` says."""

    metrics: Sequence[str] | None = None
    samples: int | None = None
    step: int | Literal["best"] | None = None
    split: Split | None = None
    features: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    device: str = "auto"
    ema: bool | None = None


@dataclass(frozen=True, slots=True)
class RunScores:
    """Hold how a run scored.

    scores, floor, details, protocol and seconds: as in `evaluation.jsonl`. better: which direction is, for each score.
    pictures: where those of the metrics lie, by name. recorded: whether evaluation.jsonl says all this.
    """

    run: Path
    step: int
    scores: dict[str, float | None]
    floor: dict[str, float | None]
    details: dict[str, Any]
    protocol: dict[str, Any]
    seconds: float
    better: dict[str, Literal["lower", "higher"]]
    pictures: dict[str, Path]
    recorded: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as `evaluate --json` prints it."""
        return {
            "run": str(self.run),
            "step": self.step,
            "scores": self.scores,
            "floor": self.floor,
            "details": self.details,
            "protocol": self.protocol,
            "seconds": self.seconds,
            "pictures": {name: str(path) for name, path in self.pictures.items()},
            "recorded": self.recorded,
        }


def evaluate_run(
    trained: TrainedRun, asked: Asked, *, record: bool = True, progress: Callable[[str], None] = lambda _: None
) -> RunScores:
    """Score a run as asked, and add a row to its evaluation.jsonl. Raises as `TrainedRun.evaluate` says."""
    experiment = trained.experiment
    name = trained.weights_file(ema=asked.ema)
    device = choose_device(asked.device)
    scoring = _scoring(trained, asked)
    split = scored_split(scoring, asked.split)
    count = min(SAMPLES, scoring.info.sizes[split]) if asked.samples is None else asked.samples
    if count < 1:
        raise UsageError(f"{count} images cannot be compared; 1 is the fewest")
    if asked.metrics is None:
        _without_unsuitable(scoring, count, trained.notices.append)
    if not scoring.metrics:
        raise ConfigError("no metric is chosen", fix="name some that suit: --metrics NAME,NAME")
    check(scoring, count=count, split=split, option="--samples")
    checkpoint = trained.checkpoint(asked.step)
    generator = trained.generator_of(checkpoint, name).to(device).to(memory_format=torch.channels_last)
    evaluator = Evaluator(
        scoring,
        count=count,
        split=split,
        seed=experiment.seed if asked.seed is None else asked.seed,
        weights=name,
        notice=trained.notices.append,
        progress=progress,
    )
    found = evaluator.evaluate(generator)
    if evaluator.why_no_floor is not None:
        trained.notices.append(evaluator.why_no_floor)
    step = checkpoint.step
    pictures, recorded = _record(trained, found, step, asked) if record else ({}, False)
    return RunScores(
        run=trained.path,
        step=step,
        scores=found.scores,
        floor=found.floor,
        details=found.details,
        protocol=found.protocol,
        seconds=found.seconds,
        better=score_directions(scoring),
        pictures=pictures,
        recorded=recorded,
    )


def _scoring(trained: TrainedRun, asked: Asked) -> Scoring:
    """Return the run's data, with the metrics and features that are asked for."""
    layers = [Layer("usual", {"metric": {"names": [*USUAL, *OF_CLASSES]}}), _layer(asked)]
    resolved = reload_for_scoring(trained.experiment, trained.registry, trained.manifest, layers)
    scoring = build_scoring(resolved)
    before, here = trained.data_info(), scoring.info
    if before.fingerprint != here.fingerprint:
        raise DataError(
            f"{trained.path} was trained on other data: {before.source or before.name} (fingerprint "
            f"{before.fingerprint[:12]}); here is {here.source or here.name} ({here.fingerprint[:12]})",
            fix="give it the data it had",
        )
    trained.notices.extend([*resolved.notices, *scoring.dataset.notices])
    return scoring


def _without_unsuitable(scoring: Scoring, count: int, notice: Callable[[str], None]) -> None:
    """Leave out what nobody has asked for and what does not suit: the usual metrics are for usual data.

    Raises the first reason where none is left, and what the extractor says that they all need.
    """
    if needs_extractor(scoring):
        scoring.extractor()
    reasons: list[UsageError] = []
    for name in list(scoring.metrics):
        try:
            check_metric(scoring, name, count=count)
        except UsageError as error:
            scoring.leave_out(name)
            reasons.append(error)
            if name not in OF_CLASSES:
                notice(f"{name} is left out: {error.message}")
    if reasons and not scoring.metrics:
        raise reasons[0]


def _layer(asked: Asked) -> Layer:
    """Return what is asked as a layer of settings. Raises ConfigError for a setting that is no evaluation's."""
    pairs = dict(asked.options)
    for key in pairs:
        if key.partition(".")[0] not in CHOSEN:
            known = [f"{section}.…" for section in SECTIONS if section in CHOSEN]
            raise ConfigError(f"{key!r} is no option of an evaluation{did_you_mean(key, known)}")
    if asked.metrics is not None:
        pairs = {"metric": list(asked.metrics)} | pairs
    if asked.features is not None:
        pairs = {"features": asked.features} | pairs
    return Layer("command line", nested(pairs.items()), loose=True)


def _record(trained: TrainedRun, found: Evaluation, step: int, asked: Asked) -> tuple[dict[str, Path], bool]:
    """Write pictures, and a row unless there is one that says the same. A folder that cannot be written is a notice.

    Where the usual metrics were asked for, it must say so: a matrix looks for it.
    """
    names = None if asked.metrics is None else list(asked.metrics)
    run, row = trained.directory, {"step": step, **found.row(), "made_by": "evaluate", "asked": names}
    pictures: dict[str, Path] = {}
    try:
        for name, picture in found.pictures.items():
            pictures[name] = run.evaluation_picture_path(name, step)
            save_png(picture, pictures[name])
        known = (other for other in read_rows(run.evaluations) if names is not None or other.get("asked", ()) is None)
        if not any(_says(row) == _says(other) for other in known):
            _append(run, row)
    except OSError as error:
        trained.notices.append(f"the scores are not kept: {run.path} cannot be written ({error.strerror or error})")
        return {}, False
    if run.report.exists():  # a run that trains still will have the row in it at its end
        try:
            report_run(run.path)
        except RunDirectoryError as error:
            trained.notices.append(error.message)
    return pictures, True


def _says(row: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in row.items() if key not in BESIDE}, sort_keys=True)


def _append(run: RunDirectory, row: Mapping[str, Any]) -> None:
    """Add a row. A run that is training keeps its lock, and only ever appends meanwhile, as this does."""
    try:
        with RunLock(run):
            append_row(run.evaluations, row, torn=True)
    except RunDirectoryError:
        append_row(run.evaluations, row)
