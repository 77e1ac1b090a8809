"""Short whole trainings: the component works in a run, and resumes exactly."""

from __future__ import annotations

import math
import shutil
import signal
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch

from ganforge.runs import launch
from ganforge.runs.session import Outcome
from ganforge.runs.setup import prepare
from ganforge.schemas.rows import EVALUATIONS, METRICS, read_rows
from ganforge.testing.checks import UPDATES, CheckFailed, Checks, require
from ganforge.testing.fixture import EVALUATED, HALF, STEPS, Fixture
from ganforge.testing.metrics import enough_images
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory

checks = Checks()
TIMES = ("images_per_second", "elapsed_seconds")


@checks.add(
    "see the message of the run; `ganforge run` shows the same",
    # Checks without which a training cannot succeed
    needs="builds options-round-trip initialized-weights image-range gradients images-matter own-weights stage-key "
    "batch-independent order-equivariant loss-finite gradient-signs reaches-weights differentiable creates-optimizer "
    "lowers-quadratic factor-range short-trainings images-as-declared sizes-as-declared features-as-declared "
    f"logits-as-declared scores-as-declared details-and-images {UPDATES}",
)
def trains(fixture: Fixture) -> None:
    """In twenty steps with small partners both networks change, and everything stays finite."""
    run = fixture.once(_trained)
    first, last = (checkpoints.load(run.checkpoint_path(step)) for step in (HALF, STEPS))
    for network in ("generator", "discriminator"):
        before, after = first.tensors[network], last.tensors[network]
        moved = any(not torch.equal(value, after[name]) for name, value in before.items())
        require(moved, f"the {network} does not learn")
    for row in read_rows(run.metrics, METRICS):
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        require(not bad, f"step {row['step']}: {', '.join(bad)} is not finite")
    for evaluation in read_rows(run.evaluations, EVALUATIONS) if fixture.kind in EVALUATED else ():
        errors = [details["error"] for details in evaluation.details.values() if "error" in details]
        require(not errors, f"step {evaluation.step}: {', '.join(errors)}")
        bad = [name for name, value in evaluation.scores.items() if value is None]
        require(not bad, f"step {evaluation.step}: the score {', '.join(bad)} is not finite")


@checks.add(
    "keep state in parameters and buffers, and draw random numbers only from the generators that are passed",
    # Checks without which a training cannot resume exactly
    needs="trains same-seed-same-weights registered-state state-round-trip python-state module-globals "
    "same-value-twice draws-from-rng augments-from-rng parameters-decide state-is-saved latents-from-rng "
    "frozen-networks copy-is-independent optimizer-resumes pure-function no-random-numbers same-images-twice "
    "resolved-options same-score-twice same-features-twice state-is-whole",
)
def resumes_exactly(fixture: Fixture) -> None:
    """Stopped in the middle and resumed, it ends with the same bits and the same rows."""
    straight = fixture.once(_trained)
    with tempfile.TemporaryDirectory() as folder:
        stopped = RunDirectory(Path(folder, "run"))
        shutil.copytree(straight.path, stopped.path)
        shutil.rmtree(stopped.checkpoint_path(STEPS))
        outcome = launch.resume_run(stopped, fixture.registry, callback=lambda _: Callback())
        _require_finished(outcome, "resumed in the middle it", straight)
        ours, theirs = (checkpoints.load(run.checkpoint_path(STEPS)).tensors for run in (straight, stopped))
        for part, tensors in ours.items():
            for name, value in tensors.items():
                same = name in theirs[part] and torch.equal(value, theirs[part][name])
                require(same, f"resumed in the middle, {part} {name} ends otherwise")
        require(_rows(straight) == _rows(stopped), "resumed in the middle, the rows of metrics.jsonl differ")
        require(_scores(straight) == _scores(stopped), "resumed in the middle, the scores differ")


def _rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(run.metrics, METRICS)]


def _scores(run: RunDirectory) -> list[tuple[int, dict[str, float | None]]]:
    return [(row.step, row.scores) for row in read_rows(run.evaluations, EVALUATIONS)]


def _trained(fixture: Fixture) -> RunDirectory:
    """Train a component; the folder lives as long as the fixture."""
    folder = Path(tempfile.mkdtemp(prefix="ganforge-check-"))
    weakref.finalize(fixture, shutil.rmtree, folder, ignore_errors=True)
    resolved = (fixture.once(enough_images) if fixture.kind == "metric" else fixture).resolved
    outcome = launch.start_run(prepare(resolved, fixture.registry), out=folder / "run", callback=Callback())
    _require_finished(outcome, "a short training")
    return outcome.run


def _require_finished(outcome: Outcome, subject: str, *others: RunDirectory) -> None:
    """Raise CheckFailed unless a run finished. A signal that stopped the run is meant for the whole process."""
    if outcome.signal is not None:
        for run in (outcome.run, *others):
            shutil.rmtree(run.path.parent, ignore_errors=True)
        signal.raise_signal(outcome.signal)
    if outcome.status != "finished":
        raise CheckFailed(f"{subject} ended as {outcome.status}: {outcome.error}")
