"""Sources of a trained run: its directory, a bundle, the Hugging Face Hub, or the zoo of small generators."""

from __future__ import annotations

import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ganforge.errors import RunDirectoryError, UsageError
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import error_reason
from ganforge.utils.suggest import did_you_mean

#: Scheme of runs on the Hugging Face Hub.
HUB = "hub"
#: Scheme of the small generators that ganforge-zoo ships, and its package.
ZOO, ZOO_PACKAGE = "zoo", "ganforge_zoo"
MAX_NAME_LENGTH = 60
#: File that every bundle has.
INDEX = "bundle.json"


def open_source(source: str | Path) -> RunDirectory:
    """Return a run: a run directory, or a bundle, `hub:OWNER/NAME` or `zoo:NAME`, unpacked into a temporary folder.

    Raises:
        RunDirectoryError: The run does not exist, or the bundle is invalid.
        UsageError: The zoo is not installed, or has no such generator.
        GanforgeError: The Hub has no such run, or cannot be reached.
    """
    scheme, _, name = str(source).partition(":")
    folder_name = f"{scheme}-{name.replace('/', '-')}"  # outputs in the working folder are named after it
    if scheme == HUB:
        from ganforge.runs.hub import download  # noqa: PLC0415 - imports torch

        return temporary_run(folder_name, lambda folder: download(name, folder))
    path = Path(source)
    if scheme != ZOO and not path.is_file():
        return RunDirectory.open(path)

    from ganforge.runs.bundle import unpack  # noqa: PLC0415 - imports torch

    if scheme == ZOO:
        with resources.as_file(_zoo_bundle(name)) as bundle:
            return temporary_run(folder_name, lambda folder: unpack(bundle, folder))
    return temporary_run(path.stem, lambda folder: unpack(path, folder))


def is_bundle(path: Path) -> bool:
    """Return whether a zip file is a bundle, or damaged, which opening it reports."""
    try:
        with zipfile.ZipFile(path) as archive:
            return INDEX in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return True


def _zoo_bundle(name: str) -> Traversable:
    """Return the bundle of a generator of the zoo. Raises UsageError."""
    try:
        folder = resources.files(ZOO_PACKAGE) / "bundles"
    except ModuleNotFoundError:
        raise UsageError(
            f"zoo:{name} needs ganforge-zoo",
            fix="in ganforge's repository: python -m pip install ./plugins/ganforge-zoo",
        ) from None
    bundles = {entry.name.removesuffix(".zip"): entry for entry in folder.iterdir() if entry.name.endswith(".zip")}
    if name not in bundles:
        raise UsageError(f"no generator {name!r} in the zoo{did_you_mean(name, bundles)}")
    return bundles[name]


def temporary_run(name: str, write: Callable[[Path], RunDirectory]) -> RunDirectory:
    """Return a run that `write` puts into an empty temporary folder, which is removed with the returned object.

    Raises RunDirectoryError if the folder cannot be written.
    """
    parent = Path(tempfile.mkdtemp(prefix="ganforge-"))
    try:
        folder = parent / (name[:MAX_NAME_LENGTH].strip(".") or "run")
        folder.mkdir()
        directory = write(folder)
    except BaseException as error:
        shutil.rmtree(parent, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunDirectoryError(f"{error.filename or parent}: {error_reason(error)}") from None
        raise
    directory.is_temporary = True
    weakref.finalize(directory, shutil.rmtree, parent, ignore_errors=True)
    return directory
