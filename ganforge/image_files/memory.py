"""Memory of the machine or container, which decides whether images are streamed."""

from __future__ import annotations

import os
from pathlib import Path


def too_large(required_bytes: int, memory: int | None) -> bool:
    """Return whether pixels take more than half of the machine's memory, if that is known."""
    return memory is not None and required_bytes > memory // 2


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine or container, or None if the system does not report them.

    Free memory would be another number in every run, and does not count the system's caches.
    """
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return min([installed, *container_limits()])


def container_limits(mounted: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Return the memory limits of this process's control groups, in bytes: those of containers and batch systems.

    Args:
        mounted: Folder of the control groups, of version 1 or 2.
        membership: File with the groups of this process, as `ID:CONTROLLERS:PATH`.
    """
    limits: list[int] = []
    for line in _content(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (mounted / "memory", "memory.limit_in_bytes") if controllers else (mounted, "memory.max")
        # A limit holds for all groups below; a container may see its own group as the top.
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            content = _content(folder / name).strip() if folder.is_relative_to(top) else ""
            if content.isdecimal():  # else "max", for no limit
                limits.append(int(content))
    return limits


def _content(path: Path) -> str:
    """Return the text of a file of the system, or "" if there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""
