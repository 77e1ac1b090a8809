"""Index of the runs below a folder, from their manifests alone, and their disk usage."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from ganforge.components.spec import SECTIONS
from ganforge.schemas.manifest import MAX_MANIFEST_BYTES, ManifestHead, Status
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import is_locked, read_file

#: Threads that read manifests; disks serve parallel requests faster.
READERS = 8
#: Folders per request of a thread.
CHUNK_SIZE = 32
STATUSES = (*get_args(Status), "damaged")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Summary of a run; a field that its manifest does not have is None. `best` is that of the best checkpoint."""

    path: str
    status: str
    gen: str | None = None
    disc: str | None = None
    loss: str | None = None
    data: str | None = None
    seed: int | None = None
    steps: int | None = None
    images_seen: int | None = None
    images_per_second: float | None = None
    elapsed_seconds: float | None = None
    updated: str | None = None
    created: str | None = None
    latent: str | None = None
    term: str | None = None
    augment: str | None = None
    features: str | None = None
    metric: str | None = None
    device: str | None = None
    precision: str | None = None
    best: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the directory."""
        return Path(self.path).name

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as `runs --json` prints it."""
        return asdict(self)


def find_runs(folder: Path) -> list[RunSummary]:
    """Return the runs below a folder, newest last; unreadable ones have the status `damaged`.

    Only run.json is opened. Links are not followed, and runs inside a run are not found.
    """
    summaries = (_summary(path, content) for path, content in _manifests(str(folder)))
    return sorted(summaries, key=lambda run: (str(run.updated or ""), run.path))


def _manifests(folder: str) -> Iterator[tuple[str, bytes]]:
    """Yield each run directory with its run.json, level by level; an unreadable one is empty."""
    content = _manifest(folder)
    if content is not None:
        yield folder, content
        return
    level = [folder]
    with ThreadPoolExecutor(READERS) as readers:
        while level:
            below = sorted(child for parent in level for child in _folders(parent))
            chunks = [below[start : start + CHUNK_SIZE] for start in range(0, len(below), CHUNK_SIZE)]
            level = []
            for chunk, contents in zip(chunks, readers.map(_read_manifests, chunks), strict=True):
                for path, content in zip(chunk, contents, strict=True):
                    if content is None:
                        level.append(path)
                    else:
                        yield path, content


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (PermissionError, FileNotFoundError):
        return []  # no permission, or just removed


def _read_manifests(folders: Sequence[str]) -> list[bytes | None]:
    return [_manifest(folder) for folder in folders]


def _manifest(folder: str) -> bytes | None:
    """Return the run.json of a folder, empty if it is unreadable, None if it does not exist."""
    try:
        return read_file(f"{folder}/run.json", max_bytes=MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError:
        return b""


def current_status(path: str | Path, recorded: Status) -> Status:
    """Return the status of a run: `interrupted` if its process was killed, which leaves `running` in run.json."""
    return "interrupted" if recorded == "running" and not is_locked(f"{path}/.lock") else recorded


def _summary(path: str, content: bytes) -> RunSummary:
    try:
        head = ManifestHead.model_validate_json(content)
    except ValidationError:
        return RunSummary(path, "damaged")
    values: dict[str, Any] = {key: head.components.get(key) for key in SECTIONS}
    values |= {key: getattr(head, key) for key in ("seed", "device", "precision", "created", "updated")}
    if head.summary is not None:
        values |= head.summary.model_dump(exclude={"losses", "evaluation_seconds"})
    return RunSummary(path, current_status(path, head.status), **values)


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes of a run's checkpoints, sample grids, and other files, such as metrics, the report and exports."""

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
    checkpoints, samples, total = (folder_bytes(folder) for folder in (run.checkpoints, run.samples, run.path))
    return DiskUsage(checkpoints, samples, max(0, total - checkpoints - samples))


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder and below; links are not followed."""
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
