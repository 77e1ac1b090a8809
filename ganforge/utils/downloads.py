"""Folders of datasets on this machine, and downloads: whole and within a time limit, or not at all.

Downloaders may have no time limit of their own, so they run in a process that can be killed, and write into a temporary
folder. Imports neither torch nor NumPy.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ganforge.errors import DataError
from ganforge.utils.files import cache_folder, error_reason, expanded, sync_file
from ganforge.utils.text import printable

#: Limit of the connection that tests the network.
PROBE_SECONDS = 2.0
#: Endings of archives that the user may not have unpacked.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
#: Limit of a server's silence.
SOCKET_SECONDS = 15.0


class DownloadError(Exception):
    """Reason why there was no download, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredFiles:
    """Files, or folders, that a dataset needs.

    Attributes:
        title: Name of the data in messages.
        layouts: Folders below a root that may have the files, preferred ones first.
        names: Names of the files; all are needed.
        packed: Whether .gz files are accepted, too.
        fix: Fix if some are missing.
    """

    title: str
    layouts: tuple[str, ...]
    names: tuple[str, ...]
    packed: bool = False
    fix: str = "add them, or remove the others"


def search_places(root: Path | None) -> dict[Path, bool]:
    """Return the folders to search for data, in order, each with whether the user named it.

    They are `root`, the folder that GANFORGE_DATA names, and the user's cache; downloads are stored in the first.

    Raises:
        DataError: None is named, and the user has no home folder, such as an unknown user of a container.
    """
    named = [str(root or ""), os.environ.get("GANFORGE_DATA", "")]
    folders = {expanded(path): True for path in named if path}
    cache = cache_folder()
    if cache is not None:
        folders.setdefault(cache, False)
    if not folders:
        raise DataError("the user has no home folder", fix="set HOME, or GANFORGE_DATA to a folder")
    return folders


def find_folder(root: Path, required: RequiredFiles, *, named: bool) -> Path | None:
    """Return the folder at or below `root` that has all required files, or None.

    Args:
        root: Folder to search.
        required: Files that the dataset needs.
        named: Whether the user named `root`.

    Raises:
        DataError: The user named `root`, and some files are missing, it is not a folder, or it cannot be read.
    """
    partial: tuple[Path, list[str], str] | None = None
    for layout in required.layouts:
        folder = root / layout
        present = _names_within(folder, root, required, named=named)
        missing = [name for name in required.names if name not in present]
        if not missing:
            return folder
        archives = sorted({f"{name}{end}" for name in missing for end in ARCHIVES} & present)
        fix = f"unpack {', '.join(archives)} in this folder" if archives else required.fix
        if archives or len(missing) < len(required.names):
            partial = partial or (folder, missing, fix)
    if named and partial:
        folder, missing, fix = partial
        formats = " (plain or .gz)" if required.packed else ""
        raise DataError(
            f"{folder} holds only a part of {required.title}; these files are missing{formats}: {', '.join(missing)}",
            fix=fix,
        )
    return None


def _names_within(folder: Path, root: Path, required: RequiredFiles, *, named: bool) -> set[str]:
    """Return the names of a folder's entries; none if it does not exist."""
    try:
        present = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        if named and not root.is_dir():
            raise DataError(f"{root} is not a folder; {required.title}'s root must be one") from error
        return set()
    except OSError as error:
        if named:
            raise DataError(f"{folder} cannot be read: {error_reason(error)}") from error
        return set()
    if required.packed:
        present |= {name.removesuffix(".gz") for name in present}
    return present


def download(
    command: Sequence[str],
    *arguments: str,
    root: Path,
    folder: str,
    fetched: str,
    addresses: Sequence[str],
    seconds: float,
    check: Callable[[Path], None] | None = None,
    announcement: str | None = None,
) -> Path:
    """Run a downloader, store its data in `folder` below `root`, and return that folder.

    Args:
        command: Command of the process that downloads. Its further arguments are a folder to write into and
            `arguments`; it calls `run_downloader`.
        arguments: Arguments for the process.
        root: Folder for data.
        folder: Folder below `root` to store the data in.
        fetched: Path of the downloaded data within the process's folder.
        addresses: Addresses that it downloads from; one of them must be reachable.
        seconds: Limit after which the process is killed.
        check: Function that raises DownloadError if the downloaded data is wrong.
        announcement: Line for standard error once a server was reached.

    Raises:
        DownloadError: The download failed and left nothing, or GANFORGE_OFFLINE=1 forbids it.
    """
    if os.environ.get("GANFORGE_OFFLINE", "0") not in ("", "0"):
        raise DownloadError("GANFORGE_OFFLINE is set")
    target = root / folder
    parent = next(path for path in (target.absolute(), *target.absolute().parents) if os.access(path, os.F_OK))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise DownloadError(f"{parent} cannot be written")
    probe(addresses)
    if announcement is not None:
        sys.stderr.write(f"{announcement}\n")
    try:
        # Not in `root` if that does not exist yet: a failed download creates no folders.
        with tempfile.TemporaryDirectory(prefix=".ganforge-", dir=parent, ignore_cleanup_errors=True) as temporary:
            _fetch([*command, temporary, *arguments], Path(temporary), seconds)
            data = Path(temporary, fetched)
            if check is not None:
                check(data)
            with ThreadPoolExecutor() as pool:  # one after the other takes minutes for 200,000 images
                list(pool.map(sync_file, (path for path in data.rglob("*") if path.is_file())))
            target.parent.mkdir(parents=True, exist_ok=True)
            _move(data, target)
    except OSError as error:
        raise DownloadError(f"{root} cannot be written: {error_reason(error)}") from error
    return target


def run_downloader(folder: Path, work: Callable[[], object]) -> None:
    """Download in the process that `download` started, or exit with status 1 and the reason as the last line.

    The parent has the other end of the standard input, which closes when it dies for any reason; this process then
    removes `folder` and exits.
    """

    def end_with_parent() -> None:
        os.read(0, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    try:
        work()
    except Exception as error:  # noqa: BLE001 - downloaders raise any error of urllib, gzip and the disk
        sys.exit(_summary(error))


def probe(addresses: Sequence[str]) -> None:
    """Connect to any of the addresses, or raise DownloadError soon if the machine is offline.

    DNS lookups cannot be interrupted, so they run in daemon threads that can be abandoned.
    """
    problems = dict.fromkeys(addresses, f"no answer within {PROBE_SECONDS:g} seconds")
    answers: SimpleQueue[tuple[str, str | None]] = SimpleQueue()

    def connect(address: str) -> None:
        answers.put((address, _connection_problem(address)))

    for address in problems:
        threading.Thread(target=connect, args=(address,), daemon=True).start()
    deadline = time.monotonic() + PROBE_SECONDS
    for _ in problems:
        try:
            address, problem = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if problem is None:
            return
        problems[address] = problem
    raise DownloadError(problems[addresses[0]])


def _connection_problem(address: str) -> str | None:
    """Return the reason why an address, or the proxy for it, cannot be reached, or None."""
    parts = urlsplit(address)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    if proxy:
        parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: no port, no name
        return f"{parts.hostname} cannot be reached: {error_reason(error)}"
    return None


def _fetch(command: Sequence[str], folder: Path, seconds: float) -> None:
    """Run a downloader with an empty folder until it has ended. Raises DownloadError."""
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to; it closes when this process is gone
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # this process handles Ctrl-C
        ) as process,
    ):
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise DownloadError(f"it took longer than {seconds:g} seconds") from error
        finally:
            process.kill()
            process.wait()
    if status:
        # The reason is the last line, after progress and warnings; a killed process has none.
        lines = log.read_text(errors="replace").split("\n") if status == 1 else []
        reason = next((line for line in reversed(lines) if line.strip()), f"exit status {status}")
        raise DownloadError(printable(reason))


def _move(new: Path, target: Path) -> None:
    """Rename a file or a folder; merge a folder into an existing one."""
    try:
        new.replace(target)
    except OSError:
        if not new.is_dir():
            raise
        # The folder exists and is not empty: another process was faster, or it had a part of the data.
        target.mkdir(exist_ok=True)
        for entry in sorted(new.iterdir()):
            _move(entry, target / entry.name)


def _summary(error: Exception) -> str:
    """Return an error in one line; torchvision's has a line for each of its mirrors."""
    message = re.sub(r"<urlopen error (?:\[Errno -?\d+\] )?(.*?)>", r"\1", str(error))
    mirrors = re.findall(r"Tried (.+), got:\n(.*)", message)
    message = "; ".join(f"{mirror}: {reason.rstrip('.')}" for mirror, reason in mirrors) or message
    return " ".join(message.split()) or type(error).__name__
