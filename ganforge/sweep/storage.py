"""Where a search keeps what it has asked and heard: a journal in the matrix's folder, or any storage of Optuna's."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ganforge.errors import UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

INSTALL = "python -m pip install 'optuna>=4.1'"


def open_storage(url: str | None, journal: Path, name: str, better: str) -> Study:
    """Open a study, or make it; `better` is `lower` or `higher`. A damaged journal is set aside, and a new one begun.

    The caller holds the matrix's lock. Raises UsageError where a storage cannot be opened.
    """
    import optuna  # noqa: PLC0415 - an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = _journal(journal) if url is None else optuna.storages.get_storage(url)
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="minimize" if better == "lower" else "maximize",
            load_if_exists=True,
        )
    except Exception as error:
        if url is None:
            raise
        text = " ".join(str(error).split())
        fix = "it is an address such as postgresql://host/database; its driver must be installed"
        raise UsageError(f"--storage cannot be opened: {type(error).__name__}: {text}", fix=fix) from None


def check_address(url: str) -> None:
    """Raise UsageError for an address with a password, which would be written to matrix.toml."""
    try:
        secret = urlsplit(url).password
    except ValueError:
        secret = None
    if secret is not None:
        raise UsageError(
            "--storage has a password in it, which would stand in matrix.toml",
            fix="leave it out; PostgreSQL takes it from PGPASSWORD or ~/.pgpass",
        )


def _journal(path: Path) -> BaseStorage:
    """Return the storage of a journal; one that cannot be read whole is renamed, and an empty one is begun."""
    from optuna.storages import JournalStorage  # noqa: PLC0415 - an extra
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock  # noqa: PLC0415

    def opened() -> BaseStorage:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))

    # Whoever opens it, or writes to it, holds the matrix's lock. So this one was left by a process that was killed.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)

    try:
        _check_lines(path)
        return opened()
    except Exception:  # noqa: BLE001 - whatever a damaged journal leads to; the runs tell what it said
        aside = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
        path.replace(next(place for place in aside if not place.exists()))
        return opened()


def _check_lines(path: Path) -> None:
    """Raise ValueError for a journal with a line that is damaged: Optuna fails at the last one only once it writes."""
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        raise ValueError("its last line is torn")
    for line in lines:
        json.loads(line)
