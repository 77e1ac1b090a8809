"""Scores of a run that its training computes: every few steps, and at its end."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.components import Generator
from ganforge.errors import GanforgeError
from ganforge.evaluation.evaluator import Evaluator
from ganforge.evaluation.validation import score_directions, scored_split
from ganforge.runs.evaluate import EvaluationRequest, RunScores, evaluate_run
from ganforge.runs.setup import Prepared
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.callbacks import EvaluationResult
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.signals import Interruption, WaitInterrupted
from ganforge.utils.tracebacks import summarize_exception

#: Metrics and images of the score at the end.
METRICS = ("fid", "precision", "recall")
NUM_SAMPLES = 2_000
#: Training images from which the score takes less than about 5% of the time. A number rather than a clock, so that
#: equal commands leave equal files.
MIN_IMAGES_SEEN = 60_000
#: Tag of feature extractors that ship with their weights and take milliseconds for a batch.
CLASSIFIER = "classifier"


def make_scorer(prepared: Prepared, notice: Callable[[str], None]) -> Callable[[Generator], EvaluationResult]:
    """Return a function that scores a generator with the experiment's metrics.

    The scores of a metric that raises are missing; the training continues.
    """
    gan, experiment = prepared.gan, prepared.resolved.experiment
    directions = score_directions(gan)
    metric = experiment.best_metric or next(iter(directions))
    evaluator = Evaluator(
        gan,
        num_samples=experiment.num_samples,
        split=scored_split(gan),
        seed=experiment.seed,
        weights="generator" if experiment.ema_halflife_images is None else "generator_ema",
        keep_going=True,
        notice=notice,
    )

    def score(generator: Generator) -> EvaluationResult:
        evaluation = evaluator.evaluate(generator, gan.latent)
        return EvaluationResult(evaluation.row(), evaluation.pictures, metric, directions[metric])

    return score


def score_at_end(
    run: RunDirectory,
    prepared: Prepared,
    images_seen: int,
    notice: Callable[[str], None],
    interruption: Interruption,
) -> RunScores | None:
    """Score the last weights of a finished run if its data have a small classifier; a failure or signal is a notice.

    None if the run evaluates during the training, is short, or has other features.
    """
    experiment = prepared.resolved.experiment
    features = prepared.resolved.one("features").entry.component
    is_wanted = experiment.evaluate == "auto" and experiment.evaluate_every is None
    if not is_wanted or images_seen < MIN_IMAGES_SEEN or CLASSIFIER not in features.tags:
        return None
    trained = TrainedRun(run, prepared.registry)
    request = EvaluationRequest(
        metrics=METRICS,
        num_samples=min(NUM_SAMPLES, *prepared.gan.info.sizes.values()),
        device=str(prepared.device),
    )
    try:
        with interruption.waiting():
            return evaluate_run(trained, request)
    except WaitInterrupted:
        notice(f"a signal ended the scores of the finished run; compute them: {run.command('evaluate', run.path)}")
    except GanforgeError as error:
        notice(f"the run is not scored: {error.message}")
    except Exception as error:  # noqa: BLE001 - the training is complete without a score
        notice(f"the run is not scored: {summarize_exception(error)}")
    return None
