"""Training of the ranks other than the main one, which decides and writes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ganforge.config import from_document
from ganforge.config.reload import reload
from ganforge.errors import DataError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs.session import Outcome, make_trainer, restore_newest, train_to_end
from ganforge.runs.setup import prepare
from ganforge.schemas.manifest import Manifest
from ganforge.training.callbacks import Callback, TrainerContext
from ganforge.training.distributed import DistContext
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.signals import Interruption

#: torchrun forwards signals that a terminal has already sent to all ranks.
SIGNAL_ECHO_SECONDS = 10.0
#: Time for the main rank to print its error before torchrun ends it.
ERROR_GRACE_SECONDS = 2.0


class MainProcessExited(TrainingError):  # noqa: N818 - the error itself is the main rank's
    """Exit of the main rank before the training; it has reported the reason."""


@dataclass(frozen=True, slots=True)
class RankSetup:
    """Run that the main rank broadcasts to the others."""

    run: RunDirectory
    document: dict[str, Any]
    manifest: Manifest
    fingerprint: str
    restore: bool


def run_rank(registry: Registry, dist: DistContext) -> Outcome:
    """Train on a rank other than the main one.

    Raises:
        MainProcessExited: The main rank has ended.
        DataError: This rank has other data than the main one.
    """
    setup = _receive_setup(dist)
    experiment = from_document(setup.document)
    prepared = prepare(reload(experiment, registry, setup.manifest), registry, dist=dist)
    fingerprint = prepared.gan.info.fingerprint
    if fingerprint != setup.fingerprint:
        raise DataError(
            f"rank {dist.rank} has other data than the main rank: fingerprint {fingerprint[:12]}, not "
            f"{setup.fingerprint[:12]}",
            fix="provide the same data on all machines",
        )
    with Interruption(echo_seconds=SIGNAL_ECHO_SECONDS) as interruption:
        trainer = make_trainer(prepared, setup.run, TrainerContext())
        if setup.restore:
            restore_newest(trainer, setup.run, Callback())
        outcome, interrupt = train_to_end(trainer, setup.run, interruption)
    if interrupt is not None:
        raise interrupt
    return outcome


def _receive_setup(dist: DistContext) -> RankSetup:
    try:
        setup: RankSetup | None = dist.broadcast_object(None)
    except TrainingError:
        time.sleep(ERROR_GRACE_SECONDS)
        raise MainProcessExited("the main process has exited and reported the reason") from None
    assert setup is not None, "the main rank broadcasts a setup, or exits"  # noqa: S101
    return setup
