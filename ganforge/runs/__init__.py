"""Run directories: their files, and finding them. Only `provenance` imports torch."""

from ganforge.runs.catalogue import RunSummary, catalogue
from ganforge.runs.directory import RunDirectory, RunLock
from ganforge.runs.files import append_row, read_rows, truncate_rows, write_atomically

__all__ = [
    "RunDirectory",
    "RunLock",
    "RunSummary",
    "append_row",
    "catalogue",
    "read_rows",
    "truncate_rows",
    "write_atomically",
]
