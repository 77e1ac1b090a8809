"""Scores of a run, written into its evaluation.jsonl, with pictures and the report."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.errors import RunDirectoryError
from ganforge.evaluation.evaluator import Evaluation
from ganforge.schemas.rows import EVALUATIONS, EvaluationRow, read_rows
from ganforge.training.run_directory import RunLock
from ganforge.utils.files import append_row
from ganforge.utils.images import save_png

if TYPE_CHECKING:
    from ganforge.runs.trained_run import TrainedRun

#: Entries of a row that do not distinguish evaluations.
INCIDENTAL = {"seconds", "source", "requested_metrics"}


def record_scores(
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
