"""Download of a dataset: python -P -m ganforge_datasets.fetch FOLDER MODULE:CLASS ARGUMENT..."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from ganforge.utils.downloads import run_downloader

#: Subfolder of the given folder that becomes the root of the data.
FILES = "files"


def main(folder: Path, target: str, *arguments: str) -> None:
    """Download into `folder`/files with a dataset's class, or exit with status 1 and the reason as the last line."""
    run_downloader(folder, lambda: _fetch(folder / FILES, target, *arguments))


def _fetch(root: Path, target: str, *arguments: str) -> None:
    module, _, name = target.partition(":")
    getattr(import_module(module), name).fetch(root, *arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
