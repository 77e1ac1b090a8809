"""Storage of a search: a journal in the sweep's folder, or any storage of Optuna."""

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


def open_study(url: str | None, journal: Path, name: str, *, higher_is_better: bool) -> Study:
    """Open or create a study; the caller holds the lock of the sweep. A damaged journal is renamed and replaced.

    Raises:
        UsageError: A storage cannot be opened.
    """
    import optuna  # noqa: PLC0415 - optional dependency

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = _open_journal(journal) if url is None else optuna.storages.get_storage(url)
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )
    except Exception as error:
        if url is None:
            raise
        text = " ".join(str(error).split())
        fix = "write an address such as postgresql://host/database, and install its driver"
        raise UsageError(f"--storage cannot be opened: {type(error).__name__}: {text}", fix=fix) from None


def check_address(url: str) -> None:
    """Raise UsageError for an address with a password, since sweep.toml will hold it."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if password is not None:
        raise UsageError(
            "--storage contains a password, which sweep.toml would hold",
            fix="leave it out; PostgreSQL reads it from PGPASSWORD or ~/.pgpass",
        )


def _open_journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage  # noqa: PLC0415 - optional dependency
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock  # noqa: PLC0415 - as above

    def open_file() -> BaseStorage:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))

    # Every user of the journal holds the lock of the sweep, so this lock is from a process that was killed.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)

    try:
        _check_lines(path)
        return open_file()
    except Exception:  # noqa: BLE001 - a damaged journal can raise anything; the runs have its content
        candidates = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
        path.replace(next(candidate for candidate in candidates if not candidate.exists()))
        return open_file()


def _check_lines(path: Path) -> None:
    """Raise ValueError for a damaged line; Optuna notices a damaged last line only when it writes."""
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        raise ValueError("the last line is incomplete")
    for line in lines:
        json.loads(line)
