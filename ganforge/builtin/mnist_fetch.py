"""Download MNIST with torchvision: python -P -m ganforge.builtin.mnist_fetch FOLDER MIRROR...

torchvision's downloader has no time limit; a process of its own can be killed. Its parent holds the other end of its
standard input, which closes when the parent dies, however it dies.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import threading
from pathlib import Path

from torchvision.datasets import MNIST

#: A mirror that says nothing for so long is given up.
SOCKET_SECONDS = 15.0


def main(folder: Path, mirrors: list[str]) -> None:
    """Download into `folder`/MNIST/raw, or exit with status 1 and the reason as the last line on standard error."""
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    MNIST.mirrors = mirrors
    try:
        MNIST(folder, download=True)
    except Exception as error:  # noqa: BLE001 - torchvision lets through whatever urllib, gzip and the disk raise
        sys.exit(shortened(error))


def shortened(error: Exception) -> str:
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
