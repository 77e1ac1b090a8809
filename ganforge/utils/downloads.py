"""Where data sets lie on this machine, and how they get there: whole and within a bounded time, or not at all.

What downloads may know no time limit, so that it runs in a process that can be killed, and writes into a folder that
can be thrown away. Imports the standard library and platformdirs only.
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

import platformdirs

from ganforge.errors import DataError

PROBE_SECONDS = 2.0

#: A server that says nothing for so long is given up.
SOCKET_SECONDS = 15.0


class DownloadError(Exception):
    """Say in a few words why there was no download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Say what a data set's folder must hold.

    title: what people call the data. layouts: where the files may lie below a root, best first. names: of the files,
    or folders, that must all be there. packed: whether .gz files do as well. fix: what to do where some are missing.
    """

    title: str
    layouts: tuple[str, ...]
    names: tuple[str, ...]
    packed: bool = False
    fix: str = "Add them, or remove the others."


def search_places(root: Path | None) -> dict[Path, bool]:
    """Return the folders to look for data in, in order, each with whether a person named it.

    They are `root`, the folder that GANFORGE_DATA names, and the user's cache; a download goes into the first.
    """
    named = [str(root or ""), os.environ.get("GANFORGE_DATA", "")]
    places = {expanded(place): True for place in named if place}
    places.setdefault(platformdirs.user_cache_path("ganforge"), False)
    return places


def expanded(place: str | Path) -> Path:
    """Return a path with ~ replaced, or as it is where there is no such user, to be reported."""
    return Path(os.path.expanduser(place))  # noqa: PTH111 - Path.expanduser raises


def find_folder(root: Path, wanted: Wanted, *, named: bool) -> Path | None:
    """Return the folder at or below `root` that holds all that is wanted, or None.

    named: whether a person named `root`; only then is it an error that some files are missing, that it is no folder,
    or that it may not be read. Raises DataError.
    """
    partial: tuple[Path, list[str]] | None = None
    for layout in wanted.layouts:
        folder = root / layout
        present = _names_within(folder, root, wanted, named=named)
        missing = [name for name in wanted.names if name not in present]
        if not missing:
            return folder
        if len(missing) < len(wanted.names):
            partial = partial or (folder, missing)
    if named and partial:
        folder, missing = partial
        how = " (plain or .gz)" if wanted.packed else ""
        raise DataError(
            f"{folder} holds only a part of {wanted.title}; these files are missing{how}: {', '.join(missing)}",
            fix=wanted.fix,
        )
    return None


def _names_within(folder: Path, root: Path, wanted: Wanted, *, named: bool) -> set[str]:
    """Return the names of what a folder holds; none where there is no such folder."""
    try:
        present = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        if named and not root.is_dir():
            raise DataError(f"{root} is not a folder; {wanted.title}'s root must be one") from error
        return set()
    except OSError as error:
        if named:
            raise DataError(f"{folder} cannot be read: {_reason(error)}") from error
        return set()
    if wanted.packed:
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
    """Run a downloader, and put what it fetched into `folder` below `root`; return that folder.

    command: starts the process that downloads, which gets a folder to write into and `arguments`, and calls
    `run_downloader`. fetched: where below its folder it leaves the data. addresses: where it downloads from; one of
    them must be reachable. seconds: the limit after which it is killed. check: raises DownloadError for what has come
    but is not the data. announcement: a line for standard error, once it is known that there is a network.

    GANFORGE_OFFLINE=1 forbids it. Raises DownloadError, and leaves nothing behind then.
    """
    if os.environ.get("GANFORGE_OFFLINE", "0") not in ("", "0"):
        raise DownloadError("GANFORGE_OFFLINE is set")
    target = root / folder
    beside = _writable_folder(target)
    _probe(addresses)
    if announcement is not None:
        sys.stderr.write(f"{announcement}\n")
    try:
        # Not in `root` if that does not exist yet: a download that fails makes no folders.
        with tempfile.TemporaryDirectory(prefix=".ganforge-", dir=beside, ignore_cleanup_errors=True) as temporary:
            _fetch([*command, temporary, *arguments], Path(temporary), seconds)
            arrived = Path(temporary, fetched)
            if check is not None:
                check(arrived)
            _store(arrived, target)
    except OSError as error:
        raise DownloadError(f"{root} cannot be written: {_reason(error)}") from error
    return target


def run_downloader(folder: Path, work: Callable[[], object]) -> None:
    """Download, in the process that `download` started, or exit with status 1 and the reason as the last line.

    The parent holds the other end of the standard input, which closes when it dies, however it dies; this process then
    removes `folder` and ends.
    """
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    try:
        work()
    except Exception as error:  # noqa: BLE001 - downloaders let through whatever urllib, gzip and the disk raise
        sys.exit(_shortened(error))


def _writable_folder(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists. Raises DownloadError where nothing can be stored."""
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.access(place, os.F_OK))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DownloadError(f"{nearest} cannot be written")
    return nearest


def _reason(error: OSError | ValueError) -> str:
    """Return an error's words without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _probe(addresses: Sequence[str]) -> None:
    """Open and close one connection to any address, or raise DownloadError: being offline is known within a moment.

    A name's look-up cannot be interrupted, so this happens in threads, which touch nothing and can be left behind.
    """
    problems = dict.fromkeys(addresses, f"no answer within {PROBE_SECONDS:g} seconds")
    answers: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
    for address in problems:
        threading.Thread(target=lambda one: answers.put((one, _problem(one))), args=(address,), daemon=True).start()
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


def _problem(address: str) -> str | None:
    """Return why an address, or the proxy that leads there, cannot be connected to, or None."""
    parts = urlsplit(address)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    if proxy:
        parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: no port, no name
        return f"{parts.hostname} cannot be reached: {_reason(error)}"
    return None


def _fetch(command: Sequence[str], folder: Path, seconds: float) -> None:
    """Run a downloader into an empty folder; whatever happens, it has ended. Raises DownloadError."""
    log = folder / "log"
    reader, writer = os.pipe()
    try:
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=reader,  # nothing is written: that it closes tells the process that this one is gone
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise DownloadError(f"it took longer than {seconds:g} seconds") from error
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(reader)
        os.close(writer)
    if status:
        # The reason is the last line, after progress and warnings; a process that was killed gives none.
        lines = log.read_text(errors="replace").split("\n") if status == 1 else []
        words = next((line for line in reversed(lines) if line.strip()), f"exit status {status}")
        raise DownloadError("".join(char for char in words if char.isprintable()))


def _store(fetched: Path, folder: Path) -> None:
    """Sync what was fetched, and rename it into place."""
    files = (path for path in fetched.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:  # of two hundred thousand pictures, one after the other takes minutes
        list(pool.map(_sync, files))
    folder.parent.mkdir(parents=True, exist_ok=True)
    _move(fetched, folder)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _move(new: Path, place: Path) -> None:
    """Rename a file or a folder, into one that is there already if need be."""
    try:
        new.replace(place)
    except OSError:
        if not new.is_dir():
            raise
        # The folder exists and is not empty: another process was faster, or a part of the data lay there.
        place.mkdir(exist_ok=True)
        for entry in sorted(new.iterdir()):
            _move(entry, place / entry.name)


def _shortened(error: Exception) -> str:
    """Return torchvision's report on all its mirrors, or any other error, in one line."""
    words = re.sub(r"<urlopen error (?:\[Errno -?\d+\] )?(.*?)>", r"\1", str(error))
    tried = re.findall(r"Tried (.+), got:\n(.*)", words)
    words = "; ".join(f"{mirror}: {why.rstrip('.')}" for mirror, why in tried) or words
    return " ".join(words.split()) or type(error).__name__


def _end_with_parent(folder: Path) -> None:
    """Wait until the parent is gone, then end and leave nothing."""
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
