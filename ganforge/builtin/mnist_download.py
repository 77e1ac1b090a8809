"""Download MNIST, within a bounded time, and leave either all of it or nothing.

torchvision's own downloader does it, in a process that can be killed and a folder that can be thrown away.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ganforge.builtin.mnist_files import SHA256

#: torchvision's mirrors, in its order; asking torchvision would mean to import it.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")

#: Starts the process that downloads, before its arguments; -P: files in the working folder are not its modules.
DOWNLOADER = (sys.executable, "-P", "-m", "ganforge.builtin.mnist_fetch")

PROBE_SECONDS = 2.0
TOTAL_SECONDS = 120.0


class DownloadError(Exception):
    """Say in a few words why there was no download."""


def download_mnist(root: Path) -> Path:
    """Download the four files, check them, and put them into `root`/MNIST/raw; return that folder.

    Raises DownloadError.
    """
    beside = _writable_folder(root / "MNIST")
    _probe()
    try:
        # Not in `root` if that does not exist yet: a download that fails makes no folders.
        with tempfile.TemporaryDirectory(prefix=".ganforge-", dir=beside, ignore_cleanup_errors=True) as temporary:
            _fetch(Path(temporary))
            return _store(Path(temporary, "MNIST", "raw"), root / "MNIST" / "raw")
    except OSError as error:
        raise DownloadError(f"{root} cannot be written: {_reason(error)}") from error


def _writable_folder(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists. Raises DownloadError where nothing can be stored."""
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.access(place, os.F_OK))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise DownloadError(f"{nearest} cannot be written")
    return nearest


def _reason(error: OSError | ValueError) -> str:
    """Return an error's words without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _probe() -> None:
    """Open and close one connection to any mirror, or raise DownloadError: being offline is known within a moment.

    A name's look-up cannot be interrupted, so this happens in threads, which touch nothing and can be left behind.
    """
    problems = dict.fromkeys(MIRRORS, f"no answer within {PROBE_SECONDS:g} seconds")
    answers: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
    for mirror in problems:
        threading.Thread(target=lambda one: answers.put((one, _problem(one))), args=(mirror,), daemon=True).start()
    deadline = time.monotonic() + PROBE_SECONDS
    for _ in problems:
        try:
            mirror, problem = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if problem is None:
            return
        problems[mirror] = problem
    raise DownloadError(problems[MIRRORS[0]])


def _problem(mirror: str) -> str | None:
    """Return why a mirror, or the proxy that leads there, cannot be connected to, or None."""
    address = urlsplit(mirror)
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    if proxy:
        address = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: no port, no name
        return f"{address.hostname} cannot be reached: {_reason(error)}"
    return None


def _fetch(folder: Path) -> None:
    """Run torchvision's downloader into an empty folder; whatever happens, it has ended. Raises DownloadError."""
    log = folder / "log"
    reader, writer = os.pipe()
    try:
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*DOWNLOADER, str(folder), *MIRRORS],
                stdin=reader,  # nothing is written: that it closes tells the process that this one is gone
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        try:
            status = process.wait(TOTAL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise DownloadError(f"it took longer than {TOTAL_SECONDS:g} seconds") from error
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


def _store(fetched: Path, folder: Path) -> Path:
    """Check the four files, sync them, and rename their folder into place."""
    for name, original in SHA256.items():
        (fetched / f"{name}.gz").unlink(missing_ok=True)
        with (fetched / name).open("rb+") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != original:
                raise DownloadError(f"{name} has other bytes than the original (SHA-256)")
            os.fsync(file.fileno())
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetched.rename(folder)
    except OSError:
        # The folder exists and is not empty: another process was faster, or a part of MNIST lay there.
        folder.mkdir(exist_ok=True)
        for name in SHA256:
            (fetched / name).replace(folder / name)
    return folder
