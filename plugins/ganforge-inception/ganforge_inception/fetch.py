"""Download of the weights: python -P -m ganforge_inception.fetch FOLDER ADDRESS."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.request import urlretrieve

from ganforge.utils.downloads import run_downloader

FILE = "weights-inception-2015-12-05-6726825d.pth"


def main(folder: Path, address: str) -> None:
    """Download into `folder`/inception, or exit with status 1 and the reason in the last line of stderr."""
    run_downloader(folder, lambda: _fetch(folder / "inception", address))


def _fetch(folder: Path, address: str) -> None:
    folder.mkdir()
    urlretrieve(address, folder / FILE)  # noqa: S310 - the address is torch-fidelity's; what comes is checked


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
