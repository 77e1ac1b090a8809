"""Who works at a cell: a lock that the system releases once everybody who holds it is gone.

A process that is started for a cell inherits the lock. So a matrix that was killed leaves its cells claimed for as long
as their runs go on alone, and another one does not start them a second time.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from ganforge.errors import RunDirectoryError

if sys.platform != "win32":
    import fcntl


@dataclass(slots=True)
class Claim(AbstractContextManager["Claim"]):
    """Hold a cell against every other process. inherited: the descriptors to pass on to processes started for it."""

    inherited: tuple[int, ...]
    _lock: FileLock | None = None

    def release(self) -> None:
        """Let it go; processes that inherited it hold it further."""
        for descriptor in self.inherited:
            os.close(descriptor)
        self.inherited = ()
        if self._lock is not None:
            self._lock.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def claim(path: Path) -> Claim | None:
    """Return a claim, or None where another process has it. `path` is a file of its own, which stays."""
    try:
        if sys.platform == "win32":  # descriptors are not inherited there
            lock = FileLock(path)
            lock.acquire(timeout=0)
            return Claim((), lock)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
    except (BlockingIOError, Timeout):
        return None
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be locked: {error.strerror}") from None
    return Claim((descriptor,))
