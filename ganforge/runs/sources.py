"""Sources of a trained run: its directory, a bundle, or the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from ganforge.errors import RunDirectoryError
from ganforge.training.run_directory import RunDirectory

#: Scheme of runs on the Hugging Face Hub.
HUB = "hub"
MAX_NAME_LENGTH = 60


def open_source(source: str | Path) -> RunDirectory:
    """Return a run: a run directory, or a bundle or `hub:OWNER/NAME`, which are unpacked into a temporary folder.

    Raises:
        RunDirectoryError: There is no run, or the bundle is invalid.
        GanforgeError: The Hub has no such run, or cannot be reached.
    """
    scheme, _, name = str(source).partition(":")
    if scheme == HUB:
        from ganforge.runs.hub import download  # noqa: PLC0415 - imports torch

        return temporary_run(name.rpartition("/")[2], lambda folder: download(name, folder))
    path = Path(source)
    if not path.is_file():
        return RunDirectory.open(path)

    from ganforge.runs.bundle import unpack  # noqa: PLC0415 - imports torch

    return temporary_run(path.stem, lambda folder: unpack(path, folder))


def temporary_run(name: str, write: Callable[[Path], RunDirectory]) -> RunDirectory:
    """Return a run in a temporary folder, which is removed with the returned object.

    Args:
        name: Name of the run.
        write: Function that writes a run into an empty folder.

    Raises:
        RunDirectoryError: The folder cannot be written.
    """
    parent = Path(tempfile.mkdtemp(prefix="ganforge-"))
    try:
        folder = parent / (name[:MAX_NAME_LENGTH].strip(".") or "run")
        folder.mkdir()
        directory = write(folder)
    except BaseException as error:
        shutil.rmtree(parent, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunDirectoryError(f"{error.filename or parent}: {error.strerror or error}") from None
        raise
    directory.is_temporary = True
    weakref.finalize(directory, shutil.rmtree, parent, ignore_errors=True)
    return directory
