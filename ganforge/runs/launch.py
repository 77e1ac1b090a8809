"""Start a run, or go on with one; whatever ends it, its manifest says so."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ganforge.config import Experiment, to_document
from ganforge.config.reload import reload
from ganforge.config.sections import validation_message
from ganforge.errors import ConfigError, RunDirectoryError, TrainingError
from ganforge.evaluation.evaluator import Evaluator
from ganforge.evaluation.validation import score_directions, scored_split
from ganforge.plugins.events.sender import ListenerRelay
from ganforge.plugins.registry import Registry
from ganforge.report import report_run
from ganforge.runs.distributed_launch import ECHO_SECONDS, Orders
from ganforge.runs.manifest import check_same, first_manifest
from ganforge.runs.provenance import command, versions
from ganforge.runs.session import Outcome, make_trainer, restore_newest, run_to_its_end
from ganforge.runs.setup import Prepared, prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Observer
from ganforge.training.distributed import ALONE, Processes
from ganforge.training.precision import candidates, choose_device
from ganforge.training.run_directory import RunDirectory, RunLock, now
from ganforge.training.services import Scored, Services
from ganforge.training.signals import Interruption

if TYPE_CHECKING:
    from ganforge.components import Generator


@dataclass(frozen=True, slots=True)
class Changes:
    """Hold what shall be otherwise from now on in a run that goes on: its length, its device, how data is read."""

    epochs: int | None = None
    steps: int | None = None
    device: str | None = None
    workers: int | None = None


NO_CHANGES = Changes()


def start(prepared: Prepared, *, out: Path | None = None, observer: Observer | None = None) -> Outcome:
    """Make a run directory and train. Raises RunDirectoryError where it cannot be made; then nothing was written."""
    experiment = prepared.resolved.experiment
    names = (getattr(experiment, section).name.replace("/", "-") for section in ("gen", "disc", "loss", "data"))
    run = RunDirectory.create(out, "-".join(names))
    watcher = observer or Warner()
    with ExitStack() as stack:
        try:
            stack.enter_context(RunLock(run))
            run.write_experiment(experiment)
            run.write_manifest(first_manifest(prepared))
        except BaseException as error:
            shutil.rmtree(run.path, ignore_errors=True)  # half a run directory is of no use to anybody
            if isinstance(error, OSError):
                raise RunDirectoryError(f"{run.path} cannot be written: {error.strerror or error}") from None
            raise
        _tell(prepared, watcher)
        return _train(prepared, run, watcher, restore=False)


def go_on(
    run: RunDirectory,
    registry: Registry,
    changes: Changes = NO_CHANGES,
    *,
    observer: Callable[[Experiment], Observer] | None = None,
    processes: Processes = ALONE,
) -> Outcome:
    """Go on with a run from its newest valid checkpoint, with whatever shall be otherwise from now on.

    Raises RunDirectoryError where it is in use, finished, or its data has changed, and CheckpointError where no
    checkpoint is whole.
    """
    with RunLock(run):
        experiment = _changed(run.read_experiment(), changes)
        manifest = run.read_manifest()
        watcher = Warner() if observer is None else observer(experiment)
        prepared = prepare(reload(experiment, registry, manifest), registry, processes=processes)
        optimizer, length = experiment.optimizer, changes.epochs or changes.steps
        if length is not None and not optimizer.gen.schedule == optimizer.disc.schedule == "constant":
            prepared.resolved.notices.append(
                "the learning rates fall to the new end: their schedule is another one now"
            )
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
    for line in prepared.resolved.notices:
        observer.noticed(line)


def _changed(experiment: Experiment, changes: Changes) -> Experiment:
    """Return the experiment as it goes on; on another device, what was decided for the old one is decided anew."""
    update: dict[str, object] = {}
    if changes.epochs is not None and changes.steps is not None:
        raise RunDirectoryError("give epochs or steps, not both")
    if changes.epochs is not None or changes.steps is not None:
        update |= {"epochs": changes.epochs, "steps": changes.steps}
    if changes.workers is not None:
        update["workers"] = changes.workers
    if changes.device is not None:
        available = candidates(choose_device(changes.device))
        precision = experiment.precision if experiment.precision in available else "fp32"
        update |= {"device": changes.device, "precision": precision}
        update |= {key: "auto" for key in ("compile", "cuda_graphs") if getattr(experiment, key) != "off"}
    try:
        return Experiment.model_validate({**experiment.model_dump(), **update})
    except ValidationError as error:
        raise ConfigError(validation_message("", error, Experiment, {})) from None


def _train(
    prepared: Prepared, run: RunDirectory, observer: Observer, *, restore: bool, changed: Sequence[str] = ()
) -> Outcome:
    """Train within a locked run directory, and write down how it ended."""
    experiment = prepared.resolved.experiment
    registry = prepared.registry
    plugins = registry.plugins
    several = prepared.processes.count > 1
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption(echo_seconds=ECHO_SECONDS if several else 0.0))
        relay = stack.enter_context(
            ListenerRelay(
                listening=bool(plugins.listeners),
                local=[source.path for _, source in plugins.admitted if source.path is not None],
                no_plugins=registry.no_plugins,
                log=run.path / "listeners.log",
                notice=observer.noticed,
            )
        )
        services = Services(observer, relay.send)
        if experiment.evaluate_every and prepared.processes.first:
            services.evaluate = _evaluator(prepared, observer.noticed)
        manifest, fingerprint = run.read_manifest(), prepared.gan.info.fingerprint
        prepared.processes.share(Orders(run, to_document(experiment), manifest, fingerprint, restore))
        try:
            trainer = make_trainer(prepared, run, services)
        except Exception as error:
            if not restore:
                run.update_manifest(status="failed", error=f"{type(error).__name__}: {error}")
                _report(run, observer)
            raise
        if restore:
            try:
                restore_newest(trainer, run, observer)
                run.write_experiment(experiment)
                session = {"at": now(), "step": trainer.step, "command": command(), "versions": versions()}
                session |= {"changed": list(changed), "processes": prepared.processes.count}
                machine = {"device": str(prepared.device), "precision": prepared.precision}
                earlier = run.read_manifest().get("resumed", [])
                run.update_manifest(status="running", **machine, resumed=[*earlier, session])
            except OSError as error:
                raise TrainingError(
                    f"{run.path} cannot be written: {error}", fix="nothing is lost; make room, and resume it again"
                ) from None
        manifest = run.read_manifest()
        information = {"path": str(run.path.resolve()), "experiment": to_document(experiment), "manifest": manifest}
        relay.send("started", run=information, step=trainer.step)
        outcome, stopped = run_to_its_end(trainer, run, interruption)
        observer.finished(outcome.status)
        _report(run, observer)
        relay.send("finished", status=outcome.status, error=outcome.error)
        if stopped is not None:
            raise stopped
    return outcome


def _report(run: RunDirectory, observer: Observer) -> None:
    """Leave report.html in the run directory; a report that fails is a line, and never harms the run."""
    try:
        report_run(run.path)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is there without it
        observer.noticed(f"report.html could not be made: {' '.join(str(error).split()) or type(error).__name__}")


def _evaluator(prepared: Prepared, notice: Callable[[str], None]) -> Callable[[Generator], Scored]:
    """Return a function that scores a generator with the experiment's metrics.

    A metric that raises leaves its scores out; a training that is as it should be does not end for it.
    """
    gan, experiment = prepared.gan, prepared.resolved.experiment
    directions = score_directions(gan)
    metric = experiment.best or next(iter(directions))
    evaluator = Evaluator(
        gan,
        count=experiment.num_samples,
        split=scored_split(gan),
        seed=experiment.seed,
        weights="generator" if experiment.ema_halflife_images is None else "generator_ema",
        keep_going=True,
        notice=notice,
    )

    def score(generator: Generator) -> Scored:
        found = evaluator.evaluate(generator)
        return Scored(found.row(), found.pictures, metric, directions[metric] == "higher")

    return score
