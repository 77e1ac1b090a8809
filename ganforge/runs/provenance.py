"""Provenance of a run: versions, hardware, git commit, command line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("ganforge", "torch", "torchvision", "numpy", "pydantic", "pluggy", "safetensors", "typer", "rich", "pillow")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages of a run."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def hardware(device: torch.device | None = None) -> dict[str, Any]:
    """Return processor, cores, threads, memory in bytes, and accelerators."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "accelerators": [
            {"name": properties.name, "memory_bytes": properties.total_memory}
            for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        ],
    }
    if device is not None:
        facts["device"] = str(device)
    return facts


def git_commit(folder: Path) -> str | None:
    """Return the commit of a folder's repository, with `+` for changed files, or None."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def command() -> list[str]:
    """Return the command line of this process, with the bare name of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []


def _git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=5
    )
    return process.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
