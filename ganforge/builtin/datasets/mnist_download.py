"""Download of MNIST with torchvision's downloader: all of it or nothing."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from ganforge.builtin.datasets.mnist_files import SHA256
from ganforge.utils.downloads import DownloadError, download

#: torchvision's mirrors, in its order; importing torchvision for them would be slow.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")

#: Command of the process that downloads; -P keeps files in the working folder from being imported.
DOWNLOADER = (sys.executable, "-P", "-m", "ganforge.builtin.datasets.mnist_fetch")

TOTAL_SECONDS = 120.0


def download_mnist(root: Path) -> Path:
    """Download the four files, check them, and put them into `root`/MNIST/raw; return that folder.

    Raises:
        DownloadError: The files could not be downloaded, or are not the original ones.
    """
    return download(
        DOWNLOADER,
        *MIRRORS,
        root=root,
        folder="MNIST/raw",
        fetched="MNIST/raw",
        addresses=MIRRORS,
        seconds=TOTAL_SECONDS,
        check=_check,
    )


def _check(folder: Path) -> None:
    """Raise DownloadError unless the four files are the original ones."""
    for name, original in SHA256.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != original:
                raise DownloadError(f"{name} differs from the original (SHA-256)")
