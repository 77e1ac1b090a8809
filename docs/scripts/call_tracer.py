"""Tracer of the functions of ganforge that a test calls, for sample_mutants.py.

A copy of this file as sitecustomize.py traces the processes that tests start, too.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

#: Variable of the environment with the folder into which started processes write their calls.
FOLDER = "SAMPLE_MUTANTS_CALLS"


@contextmanager
def traced(root: Path, calls: set[str]) -> Iterator[None]:
    """Add the functions below `root`/ganforge that are called within the block, as `PATH QUALIFIED_NAME`."""
    prefix, length = f"{root}/ganforge/", len(f"{root}/")

    def trace(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(prefix):
            calls.add(f"{code.co_filename[length:]} {code.co_qualname.replace('.<locals>', '')}")

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)
        threading.settrace(None)


def trace_process(root: Path, folder: Path, test: str) -> None:
    """Trace this process until it ends, and write its calls below the name of the test that started it."""
    calls: set[str] = set()
    tracing = ExitStack()
    tracing.enter_context(traced(root, calls))

    def write() -> None:
        tracing.close()
        (folder / f"{os.getpid()}-{id(calls)}").write_text("\n".join([test, *calls]), encoding="utf-8")

    atexit.register(write)


if __name__ == "sitecustomize" and FOLDER in os.environ:
    trace_process(Path(__file__).parent, Path(os.environ[FOLDER]), os.environ.get("PYTEST_CURRENT_TEST", ""))
