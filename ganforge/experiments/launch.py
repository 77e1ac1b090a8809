"""Start a run, or go on with one; whatever ends it, its manifest says so."""

from __future__ import annotations

import shutil
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.assembly import reload
from ganforge.config import Experiment, to_document
from ganforge.engine import checkpoint as checkpoints
from ganforge.engine.interruption import Interruption
from ganforge.engine.observer import Observer
from ganforge.engine.services import Scored, Services
from ganforge.engine.trainer import Trainer
from ganforge.errors import DivergedError, GanforgeError, RunDirectoryError
from ganforge.evaluation import evaluate, score_directions
from ganforge.experiments.manifest import check_same, first_manifest
from ganforge.experiments.prepare import Prepared, prepare
from ganforge.plugins.relay import ListenerRelay
from ganforge.plugins.sources import explain
from ganforge.registry import Registry
from ganforge.runs import RunDirectory, RunLock
from ganforge.runs.directory import now
from ganforge.runs.provenance import command, versions

if TYPE_CHECKING:
    from ganforge.interfaces import Generator


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how a run ended.

    signal: what interrupted it, or None. error: why it diverged or failed, or None; cause: the exception behind that.
    """

    run: RunDirectory
    status: str
    steps: int
    images_seen: int
    images_per_second: float | None
    elapsed_seconds: float
    losses: dict[str, float]
    signal: signal.Signals | None = None
    error: str | None = None
    cause: Exception | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as `run --json` prints it."""
        return {"run": str(self.run.path), "status": self.status, **self.summary()} | (
            {} if self.error is None else {"error": self.error}
        )

    def summary(self) -> dict[str, Any]:
        """Return what run.json keeps of it."""
        return {
            "steps": self.steps,
            "images_seen": self.images_seen,
            "images_per_second": self.images_per_second,
            "elapsed_seconds": self.elapsed_seconds,
            "losses": self.losses,
        }


def start(prepared: Prepared, *, out: Path | None = None, observer: Observer | None = None) -> Outcome:
    """Make a run directory and train. Raises RunDirectoryError where it cannot be made; then nothing was written."""
    experiment = prepared.resolution.experiment
    names = (getattr(experiment, section).name.replace("/", "-") for section in ("gen", "disc", "loss", "data"))
    run = RunDirectory.create(out, "-".join(names))
    watcher = observer or Warner()
    with ExitStack() as stack:
        try:
            stack.enter_context(RunLock(run))
            run.write_experiment(experiment)
            run.write_manifest(first_manifest(prepared))
        except OSError as error:
            shutil.rmtree(run.path, ignore_errors=True)
            raise RunDirectoryError(f"{run.path} cannot be written: {error.strerror or error}") from None
        _tell(prepared, watcher)
        return _train(prepared, run, watcher, restore=False)


def go_on(
    run: RunDirectory,
    registry: Registry,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    observer: Callable[[Experiment], Observer] | None = None,
) -> Outcome:
    """Go on with a run from its newest valid checkpoint, to more epochs or steps where that is asked for.

    Raises RunDirectoryError where it is in use, finished, or its data has changed, and CheckpointError where no
    checkpoint is whole.
    """
    with RunLock(run):
        experiment = _extended(run.read_experiment(), epochs, steps)
        manifest = run.read_manifest()
        watcher = Warner() if observer is None else observer(experiment)
        prepared = prepare(reload(experiment, registry, manifest), registry)
        _tell(prepared, watcher)
        changed = check_same(run, manifest, prepared, watcher)
        checkpoints.remove_leftovers(run)
        return _train(prepared, run, watcher, restore=True, changed=changed)


class Warner(Observer):
    """Turn what a person should read into Python's warnings, where nobody else watches."""

    def noticed(self, message: str) -> None:
        """Warn."""
        warnings.warn(message, stacklevel=2)


def _tell(prepared: Prepared, observer: Observer) -> None:
    """Pass on what was noticed while the run was prepared."""
    for line in prepared.resolution.notices:
        observer.noticed(line)


def _extended(experiment: Experiment, epochs: int | None, steps: int | None) -> Experiment:
    if epochs is not None and steps is not None:
        raise RunDirectoryError("give epochs or steps, not both")
    if epochs is not None:
        return experiment.model_copy(update={"epochs": epochs, "steps": None})
    if steps is not None:
        return experiment.model_copy(update={"epochs": None, "steps": steps})
    return experiment


def _train(
    prepared: Prepared, run: RunDirectory, observer: Observer, *, restore: bool, changed: Sequence[str] = ()
) -> Outcome:
    """Train within a locked run directory, and write down how it ended."""
    experiment = prepared.resolution.experiment
    registry = prepared.registry
    plugins = registry.plugins
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        relay = stack.enter_context(
            ListenerRelay(
                listening=bool(plugins.listeners),
                local=[source.path for _, source in plugins.admitted if source.path is not None],
                no_plugins=registry.no_plugins,
                log=run.path / "listeners.log",
                notice=observer.noticed,
            )
        )
        services = Services(observer, relay.send, _evaluator(prepared) if experiment.evaluate_every else None)
        try:
            trainer = Trainer(
                prepared.assembly, run, device=prepared.device, precision=prepared.precision, services=services
            )
        except Exception as error:
            if not restore:
                run.update_manifest(status="failed", error=f"{type(error).__name__}: {error}")
            raise
        if restore:
            _restore(trainer, run, observer)
            run.write_experiment(experiment)
            session = {"at": now(), "step": trainer.step, "command": command(), "versions": versions()}
            session["changed"] = list(changed)
            run.update_manifest(status="running", resumed=[*run.read_manifest().get("resumed", []), session])
        manifest = run.read_manifest()
        information = {"path": str(run.path.resolve()), "experiment": to_document(experiment), "manifest": manifest}
        relay.send("started", run=information, step=trainer.step)
        outcome, stopped = _run_to_its_end(trainer, run, interruption)
        observer.finished(outcome.status)
        relay.send("finished", status=outcome.status, error=outcome.error)
        if stopped is not None:
            raise stopped
    return outcome


def _restore(trainer: Trainer, run: RunDirectory, observer: Observer) -> None:
    checkpoint = checkpoints.load_newest(run, observer.noticed)
    if checkpoint is None:
        trainer.forget_later_rows()
        observer.noticed(f"{run.path} has no checkpoint yet; it starts from its first step again")
        return
    trainer.restore(checkpoint)
    if trainer.step >= trainer.total_steps:
        raise RunDirectoryError(
            f"{run.path} is finished: it has trained {trainer.step} of {trainer.total_steps} steps",
            fix="pass --epochs or --steps to train it further",
        )


def _run_to_its_end(
    trainer: Trainer, run: RunDirectory, interruption: Interruption
) -> tuple[Outcome, BaseException | None]:
    """Train; turn however it ends into a status in run.json. Return what a second signal raised, to be raised on."""
    stopped: BaseException | None = None
    cause: Exception | None = None
    error: str | None = None
    status = "failed"
    try:
        trainer.train(interruption)
        status = "finished" if trainer.step >= trainer.total_steps else "interrupted"
    except DivergedError as reason:
        status, error, cause = "diverged", reason.message, reason
    except OSError as reason:
        error, cause = f"a file could not be written: {reason}", reason
    except GanforgeError as reason:
        error, cause = reason.message, reason
    except Exception as reason:  # noqa: BLE001 - a component's own error; it is recorded and reported
        error, cause = f"step {trainer.step + 1}: {explain(reason)}", reason
    except (KeyboardInterrupt, SystemExit) as reason:
        if interruption.received is None and isinstance(reason, SystemExit):
            error = f"step {trainer.step + 1}: a component called sys.exit({reason.code})"
        else:
            status, stopped = "interrupted", reason
            error = "stopped at once, without a checkpoint of the last step"
    outcome = Outcome(
        run=run,
        status=status,
        steps=trainer.step,
        images_seen=trainer.images_seen,
        images_per_second=trainer.stopwatch.images_per_second,
        elapsed_seconds=trainer.stopwatch.elapsed_seconds,
        losses=trainer.losses,
        signal=interruption.received if status == "interrupted" else None,
        error=error,
        cause=cause,
    )
    try:
        run.update_manifest(status=status, error=error, summary={**outcome.summary(), "best": trainer.best})
    except (OSError, GanforgeError) as reason:
        trainer.services.observer.noticed(f"run.json could not be updated: {reason}")
    return outcome, stopped


def _evaluator(prepared: Prepared) -> Callable[[Generator], Scored]:
    """Return a function that scores a generator with the experiment's metrics."""
    assembly, experiment = prepared.assembly, prepared.resolution.experiment
    directions = score_directions(assembly)
    metric = experiment.best or next(iter(directions))

    def score(generator: Generator) -> Scored:
        found = evaluate(assembly, generator, count=experiment.evaluation_images, seed=experiment.seed)
        return Scored(found.scores, found.passport, metric, directions[metric] == "higher")

    return score
