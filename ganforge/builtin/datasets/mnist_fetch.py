"""Download MNIST with torchvision: python -P -m ganforge.builtin.datasets.mnist_fetch FOLDER MIRROR..."""

from __future__ import annotations

import sys
from pathlib import Path

from torchvision.datasets import MNIST

from ganforge.utils.downloads import run_downloader


def main(folder: Path, mirrors: list[str]) -> None:
    """Download into `folder`/MNIST/raw, or exit with status 1 and the reason as the last line on standard error."""
    MNIST.mirrors = mirrors
    run_downloader(folder, lambda: _fetch(folder))


def _fetch(folder: Path) -> None:
    MNIST(folder, download=True)
    for archive in folder.glob("MNIST/raw/*.gz"):
        archive.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
