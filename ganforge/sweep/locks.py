"""Locks of trials, which child processes inherit.

The operating system releases a lock when every process that holds it has ended. The trials of a killed sweep stay
locked while their runs continue alone, and another sweep does not start them a second time.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ganforge.errors import RunDirectoryError
from ganforge.utils.files import error_reason

if sys.platform != "win32":
    import fcntl


@dataclass(slots=True)
class TrialLock:
    """Exclusive lock of a trial, with the file descriptors for its processes."""

    descriptors: tuple[int, ...]
    _lock: FileLock | None = None

    def release(self) -> None:
        """Release the lock; processes that inherited it still hold it."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()
        if self._lock is not None:
            self._lock.release()


def acquire_lock(path: Path) -> TrialLock | None:
    """Return the lock of a lock file, or None if another process holds it; the file is never removed.

    Raises RunDirectoryError if it cannot be opened or locked.
    """
    try:
        if sys.platform == "win32":  # descriptors are not inherited there
            lock = FileLock(path)
            lock.acquire(timeout=0)
            return TrialLock((), lock)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
    except (BlockingIOError, Timeout):
        return None
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be locked: {error_reason(error)}") from None
    return TrialLock((descriptor,))
