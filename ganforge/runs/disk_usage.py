"""Disk usage of a run directory."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ganforge.training.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes of a run's files.

    Attributes:
        checkpoints: Checkpoints.
        samples: Sample grids.
        other: All other files, such as metrics, the report and exports.
    """

    checkpoints: int = 0
    samples: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return self.checkpoints + self.samples + self.other

    def __add__(self, more: DiskUsage) -> DiskUsage:
        return DiskUsage(self.checkpoints + more.checkpoints, self.samples + more.samples, self.other + more.other)

    def as_dict(self) -> dict[str, int]:
        """Return the bytes as `runs --du --json` prints them."""
        return asdict(self) | {"total": self.total}


def disk_usage(path: str | Path) -> DiskUsage:
    """Return the disk usage of a run; files that vanish or cannot be read count nothing, and links are not followed."""
    run = RunDirectory(Path(path))
    checkpoints, samples, total = (_bytes(folder) for folder in (run.checkpoints, run.samples, run.path))
    return DiskUsage(checkpoints, samples, max(0, total - checkpoints - samples))


def _bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # a training removes checkpoints meanwhile
            continue
    return total
