"""Training in several processes: the first one decides, and the others follow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ganforge.config import from_document
from ganforge.config.reload import reload
from ganforge.errors import DataError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs.session import Outcome, make_trainer, restore_newest, run_to_its_end
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Observer
from ganforge.training.distributed import Processes
from ganforge.training.run_directory import RunDirectory
from ganforge.training.services import Services
from ganforge.training.signals import Interruption

#: torchrun passes on the signals that a terminal has sent to all processes already.
ECHO_SECONDS = 10.0
LAST_WORDS_SECONDS = 2.0


class FirstEndedError(TrainingError):
    """Report that the first process has ended before there was anything to do; it has said why."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Hold what the first process tells the others."""

    run: RunDirectory
    document: dict[str, Any]
    manifest: dict[str, Any]
    fingerprint: str
    restore: bool


def _orders(processes: Processes) -> Orders:
    try:
        told: Orders | None = processes.share(None)
    except TrainingError:
        time.sleep(LAST_WORDS_SECONDS)  # else torchrun would end the first process before it has spoken
        raise FirstEndedError("the first process has ended, and says why") from None
    assert told is not None, "the first process gives orders, or ends"  # noqa: S101
    return told


def follow(registry: Registry, processes: Processes) -> Outcome:
    """Train beside the first process, which decides, writes and shows. Raises FirstEndedError where it has ended."""
    told = _orders(processes)
    experiment = from_document(told.document)
    prepared = prepare(reload(experiment, registry, told.manifest), registry, processes=processes)
    fingerprint = prepared.gan.info.fingerprint
    if fingerprint != told.fingerprint:
        raise DataError(
            f"process {processes.rank} finds other data than the first one: fingerprint {fingerprint[:12]}, not "
            f"{told.fingerprint[:12]}",
            fix="give all machines the same data",
        )
    with Interruption(echo_seconds=ECHO_SECONDS) as interruption:
        trainer = make_trainer(prepared, told.run, Services())
        if told.restore:
            restore_newest(trainer, told.run, Observer())
        outcome, stopped = run_to_its_end(trainer, told.run, interruption)
    if stopped is not None:
        raise stopped
    return outcome
