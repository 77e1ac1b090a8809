"""Download MNIST, within a bounded time, and leave either all of it or nothing.

torchvision's own downloader has no time limit and writes in place, so only its mirrors and its layout are used here.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, wait
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import build_opener, getproxies, proxy_bypass

from ganforge.builtin.mnist_files import SHA256

#: torchvision's mirrors, in its order.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")

PROBE_SECONDS = 2.0
SOCKET_SECONDS = 15.0
TOTAL_SECONDS = 120.0

#: The largest file has 9.9 MB compressed and 47 MB as it is; whatever sends more does not send MNIST.
COMPRESSED_LIMIT_BYTES = 16 << 20
LIMIT_BYTES = 64 << 20

Result = TypeVar("Result")


class DownloadError(Exception):
    """Say in a few words why there was no download."""


def download_mnist(root: Path) -> Path:
    """Download the four files, check them, and put them into `root`/MNIST/raw; return that folder.

    Everything is held in memory (66 MB) until it is whole and verified. Raises DownloadError.
    """
    _check_writable(root)
    host, port = _first_host()
    late = f"{host} does not answer within {PROBE_SECONDS:g} seconds"
    _within(PROBE_SECONDS, lambda: _probe(host, port), late)
    deadline = time.monotonic() + TOTAL_SECONDS
    files = _within(
        TOTAL_SECONDS,
        lambda: {name: _fetch(name, deadline) for name in SHA256},
        f"it took longer than {TOTAL_SECONDS:g} seconds",
    )
    try:
        return _store(files, root)
    except OSError as error:
        raise DownloadError(f"{root} cannot be written: {error.strerror or error}") from error


def _check_writable(root: Path) -> None:
    """Raise DownloadError where nothing can be stored, before anything is fetched or made."""
    for folder in (root.absolute(), *root.absolute().parents):
        if os.access(folder, os.F_OK):
            if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
                raise DownloadError(f"{folder} cannot be written")
            return


def _within(seconds: float, work: Callable[[], Result], late: str) -> Result:
    """Return what `work` returns, raise what it raises, or raise DownloadError after `seconds`.

    A name's look-up cannot be interrupted, so `work` runs in a thread of its own; it touches no file, so it can be
    left behind.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=run, name="ganforge-mnist", daemon=True).start()
    wait([outcome], timeout=seconds)
    if not outcome.done():
        raise DownloadError(late)
    return outcome.result()


def _reason(error: BaseException | str) -> str:
    """Return an error's words in one line, without its number."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(words.split()) or type(error).__name__


def _first_host() -> tuple[str, int]:
    """Return host and port of the first mirror, or of the proxy that leads there."""
    address = urlsplit(MIRRORS[0])
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    if proxy:
        address = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    return address.hostname or "", address.port or (443 if address.scheme == "https" else 80)


def _probe(host: str, port: int) -> None:
    """Open and close one connection, or raise DownloadError: an offline machine is known within a moment."""
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise DownloadError(f"{host} cannot be reached: {_reason(error)}") from error


def _fetch(name: str, deadline: float) -> bytes:
    """Return one verified file, decompressed, from the first mirror that has it; `deadline` is in monotonic seconds."""
    errors: list[str] = []
    for mirror in MIRRORS:
        try:
            content = zlib.decompressobj(wbits=31).decompress(_get(f"{mirror}{name}.gz", deadline), LIMIT_BYTES)
        except HTTPError as error:
            error.close()
            errors.append(f"{mirror} answers {error.code} {error.reason}")
        except URLError as error:
            errors.append(f"{mirror}: {_reason(error.reason)}")
        except (OSError, HTTPException) as error:
            errors.append(f"{mirror}: {_reason(error)}")
        except zlib.error:
            errors.append(f"{mirror} sends something else")
        else:
            if sha256(content).hexdigest() == SHA256[name]:
                return content
            errors.append(f"{mirror} sends other bytes than the original's (SHA-256)")
    raise DownloadError("; ".join(errors))


def _get(url: str, deadline: float) -> bytes:
    """Return what an address sends, up to `COMPRESSED_LIMIT_BYTES` and until `deadline`."""
    content = bytearray()
    # An opener of its own: urlopen's keeps the proxies that it saw first.
    with build_opener().open(url, timeout=SOCKET_SECONDS) as response:
        while chunk := response.read1(1 << 16):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("timed out")
            if len(content) > COMPRESSED_LIMIT_BYTES:
                break
    return bytes(content)


def _store(files: dict[str, bytes], root: Path) -> Path:
    """Write the files beside their destination, synced, and rename them into `root`/MNIST/raw."""
    folder = root / "MNIST" / "raw"
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".ganforge-", dir=folder.parent))
    # mkdtemp's folder is its owner's alone; the one that is renamed is made as any other.
    whole = temporary / "raw"
    try:
        whole.mkdir()
        for name, content in files.items():
            with (whole / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        try:
            whole.rename(folder)
        except OSError:
            # The folder exists and is not empty: another process was faster, or a part of MNIST lay there.
            folder.mkdir(exist_ok=True)
            for name in files:
                (whole / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
