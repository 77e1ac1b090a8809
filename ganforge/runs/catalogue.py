"""Finding runs, by their manifests alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Hold what a listing shows of a run. A field that its manifest does not have is None."""

    path: str
    status: str
    gen: str | None
    disc: str | None
    loss: str | None
    data: str | None
    seed: int | None
    steps: int | None
    images_seen: int | None
    images_per_second: float | None
    elapsed_seconds: float | None
    updated: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as `runs --json` prints it."""
        return asdict(self)


def catalogue(folder: Path) -> list[RunSummary]:
    """Return the runs below a folder, newest last; what cannot be read is listed with the status `damaged`."""
    return sorted((_summary(path) for path in _find(folder)), key=lambda run: (run.updated or "", run.path))


def _find(folder: Path) -> Iterator[Path]:
    """Yield run directories; nothing inside one is looked at, and no link is followed."""
    if (folder / "run.json").is_file():
        yield folder
        return
    try:
        with os.scandir(folder) as entries:
            children = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except PermissionError:
        return  # somebody else's folder beside the runs
    for child in children:
        yield from _find(Path(child))


def _summary(path: Path) -> RunSummary:
    try:
        manifest = json.loads((path / "run.json").read_bytes())
        if not isinstance(manifest, dict):
            manifest = {"status": "damaged"}
    except (OSError, ValueError):
        manifest = {"status": "damaged"}
    parts, summary = (_table(manifest.get(key)) for key in ("components", "summary"))
    return RunSummary(
        path=str(path),
        status=str(manifest.get("status", "damaged")),
        gen=parts.get("gen"),
        disc=parts.get("disc"),
        loss=parts.get("loss"),
        data=parts.get("data"),
        seed=manifest.get("seed"),
        steps=summary.get("steps"),
        images_seen=summary.get("images_seen"),
        images_per_second=summary.get("images_per_second"),
        elapsed_seconds=summary.get("elapsed_seconds"),
        updated=manifest.get("updated"),
    )


def _table(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}
