"""Renaming and moving of a run."""

from __future__ import annotations

import errno
import shutil
from filecmp import cmpfiles
from pathlib import Path

from ganforge.errors import RunDirectoryError
from ganforge.training.run_directory import RunDirectory, RunLock
from ganforge.utils.files import error_reason, filling, sync
from ganforge.utils.text import shell_command

#: File that a sweep has in its folder; its trials are found by their paths.
SWEEP_FILE = "sweep.toml"


def move_run(source: Path, destination: Path) -> RunDirectory:
    """Move a run, and return it at its new place.

    On one file system the directory is renamed. Otherwise it is copied, the copy compared byte by byte and renamed
    into place, and then the original is removed: at no time is there no whole run. The destination is a new path, or
    an existing folder that the run is moved into under its name.

    Raises:
        RunDirectoryError: It is not a run, is in use, belongs to a sweep, or cannot be moved there.
    """
    run = RunDirectory.open(source)
    target = destination / run.name if destination.is_dir() else destination
    if target.exists() or target.is_symlink():
        raise RunDirectoryError(f"{target} exists already", fix="choose another name; nothing is overwritten")
    if target.resolve().is_relative_to(source.resolve()):
        raise RunDirectoryError(f"{target} is inside of {source}", fix="choose a path outside of the run")
    sweep = next((folder for folder in source.resolve().parents if (folder / SWEEP_FILE).is_file()), None)
    if sweep is not None:
        raise RunDirectoryError(
            f"{source} is a trial of the sweep {sweep}, which finds it by its path",
            fix=f"move the whole sweep: {shell_command('mv', sweep, '…')}",
        )
    RunDirectory.check_new(target)
    with RunLock(run):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(source, target)
        except OSError as error:
            raise RunDirectoryError(f"{source} cannot be moved to {target}: {error_reason(error)}") from None
    return RunDirectory(target)


def _move(source: Path, target: Path) -> None:
    """Rename a folder, or copy and remove it. Raises OSError."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    with filling(target) as temporary:
        ignore = shutil.ignore_patterns(".lock")
        try:
            shutil.copytree(source, temporary, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        except shutil.Error as error:
            file, _, reason = error.args[0][0]  # the first of many
            raise OSError(errno.EIO, f"{file}: {reason.partition(': ')[0]}") from None
        paths = ((folder, path) for folder in (source, temporary) for path in folder.rglob("*") if path.is_file())
        kept = ((folder, path) for folder, path in paths if path.name != ".lock" and not path.is_symlink())
        files = {str(path.relative_to(folder)) for folder, path in kept}
        _, different, missing = cmpfiles(source, temporary, sorted(files), shallow=False)
        if different or missing:
            raise OSError(errno.EIO, f"the copy of {min([*different, *missing])} differs")
        for path in temporary.rglob("*"):
            if not path.is_symlink():
                sync(path)
    sync(target.parent)
    shutil.rmtree(source)
