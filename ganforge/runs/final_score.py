"""Score at the end of a run whose data have a small classifier of their own."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.errors import GanforgeError
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import EvaluationRequest, RunScores, evaluate_run
from ganforge.runs.setup import Prepared
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.tracebacks import summarize_exception

METRICS = ("fid", "precision", "recall")
NUM_SAMPLES = 2_000
#: Training images from which the score takes less than about 5% of the time. A number rather than a clock, so that
#: equal commands leave equal files.
MIN_IMAGES_SEEN = 60_000
#: Tag of feature extractors that ship with their weights and take milliseconds for a batch.
CLASSIFIER = "classifier"


def score_at_end(
    run: RunDirectory, prepared: Prepared, registry: Registry, images_seen: int, notice: Callable[[str], None]
) -> RunScores | None:
    """Score the last weights of a finished run if the score is cheap; a failure is a notice.

    Args:
        run: The finished run.
        prepared: Its experiment.
        registry: Installed components.
        images_seen: Real images of the whole training.
        notice: Function that gets a line if the score fails.

    Returns:
        The scores, or None if the run evaluates during the training, is short, or has other features.
    """
    experiment = prepared.resolved.experiment
    features = prepared.resolved.one("features").entry.component
    is_wanted = experiment.evaluate == "auto" and experiment.evaluate_every is None
    if not is_wanted or images_seen < MIN_IMAGES_SEEN or CLASSIFIER not in features.tags:
        return None
    trained = TrainedRun(run, registry)
    request = EvaluationRequest(
        metrics=METRICS,
        num_samples=min(NUM_SAMPLES, *prepared.gan.info.sizes.values()),
        device=str(prepared.device),
    )
    try:
        return evaluate_run(trained, request)
    except GanforgeError as error:
        notice(f"the run is not scored: {error.message}")
    except Exception as error:  # noqa: BLE001 - the training is complete without a score
        notice(f"the run is not scored: {summarize_exception(error)}")
    return None
