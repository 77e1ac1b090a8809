"""State of this process that a component's code must not change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch


@contextmanager
def kept_process() -> Iterator[None]:
    """Restore the working folder and torch's grad mode afterwards, and end a child process that a component forked.

    Paths of a run are relative, and a child that returns from the component would train and write, too.
    """
    process, grad_mode = os.getpid(), torch.is_grad_enabled()
    folder: str | None = None
    with suppress(OSError):  # the folder was removed
        folder = os.getcwd()  # noqa: PTH109 - called in each step
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(1)
        torch.set_grad_enabled(grad_mode)
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)
