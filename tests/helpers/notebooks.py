"""Cells of a notebook, without a notebook: statements of a session whose source is known as IPython's is."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def session(*cells: str, name: str = "cells_of_a_test") -> Iterator[dict[str, Any]]:
    """Run cells one after the other, and yield the names that they define."""
    module = ModuleType(name)
    sys.modules[name] = module
    files = [f"<{name}-{number}>" for number in range(len(cells))]
    try:
        for file, text in zip(files, cells, strict=True):
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            exec(compile(text, file, "exec", dont_inherit=True), vars(module))  # noqa: S102 - the test's own text
        yield vars(module)
    finally:
        del sys.modules[name]
        for file in files:
            linecache.cache.pop(file, None)
