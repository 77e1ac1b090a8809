"""Optuna's part of a search: distributions, sampler, and the study in a journal or any other storage."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.pool import NullPool

from ganforge.errors import UsageError
from ganforge.sweep.config import SearchConfig, SweepConfig
from ganforge.sweep.document import rename_damaged
from ganforge.utils.files import read_file


def make_distributions(sweep: SweepConfig, search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions by setting. Raises UsageError if there are none."""
    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution([encode_choice(value) for value in values])
        for key, values in sweep.axes.items()
        if len(values) > 1
    }
    for key, space in search.spaces.items():
        if space.integer:
            distributions[key] = IntDistribution(int(space.low), int(space.high), log=space.log)
        else:
            distributions[key] = FloatDistribution(space.low, space.high, log=space.log)
    if not distributions:
        raise UsageError(
            "a search needs something to vary",
            fix="pass --space optimizer.lr=1e-5..1e-2:log, --sweep KEY=VALUE,VALUE, or several names",
        )
    return distributions


#: Limit of a study's journal; a trial has some thousand bytes.
MAX_JOURNAL_BYTES = 1 << 28
#: First characters of encoded values.
JSON_STARTS = ("[", "{", '"')


def encode_choice(value: Any) -> bool | int | float | str:  # noqa: ANN401 - a TOML value
    """Return a value as Optuna stores it: lists, and text that looks like one, as JSON."""
    plain = isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith(JSON_STARTS))
    return value if plain else json.dumps(value)


def decode_choice(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value of an encoded choice."""
    return json.loads(value) if isinstance(value, str) and value.startswith(JSON_STARTS) else value


def make_sampler(state: str) -> BaseSampler:
    """Return a sampler seeded by the state of the search, so that an interrupted search continues unchanged."""
    seed = int.from_bytes(hashlib.sha256(state.encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions call constant_liar experimental
        return TPESampler(seed=seed, constant_liar=True)


def open_study(url: str | None, journal: Path, name: str, *, higher_is_better: bool) -> optuna.Study:
    """Open or create a study; the caller holds the lock of the sweep. A damaged journal is renamed and replaced.

    Raises:
        UsageError: A storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Without a pool every connection is closed after its use, so none is left open at the end.
        storage = _open_journal(journal) if url is None else RDBStorage(url, engine_kwargs={"poolclass": NullPool})
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


def _open_journal(path: Path) -> BaseStorage:
    def open_file() -> BaseStorage:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))

    # Every user of the journal holds the lock of the sweep, so this lock is from a process that was killed.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    try:
        _check_lines(path)
        return open_file()
    except Exception:  # noqa: BLE001 - a damaged journal can raise anything; plan.json and the runs have its content
        rename_damaged(path)
        return open_file()


def _check_lines(path: Path) -> None:
    """Raise ValueError for a damaged line; Optuna notices a damaged last line only when it writes."""
    if not path.exists():
        return
    *lines, rest = read_file(path, max_bytes=MAX_JOURNAL_BYTES).split(b"\n")
    if rest:
        raise ValueError("the last line is incomplete")
    for line in lines:
        json.loads(line)
