"""Provenance of a run: versions, hardware, git commit, command line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ganforge.schemas.manifest import Accelerator, Hardware

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


def hardware(device: torch.device | None = None) -> Hardware:
    """Return processor, cores, threads, memory and accelerators."""
    return Hardware(
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        accelerators=[
            Accelerator(name=properties.name, memory_bytes=properties.total_memory)
            for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        ],
        device=None if device is None else str(device),
    )


def git_commit(folder: Path) -> str | None:
    """Return the commit of a folder's repository, with `+` for changed files, or None.

    No program that the repository's configuration names is run: no file system monitor, hook, filter or transport.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        names = _git(folder, "config", "--name-only", "--list", "-z").split("\0")
        filters = [name for name in names if name.startswith("filter.")]
        if any("=" in name for name in filters):  # `git -c` cannot override it
            return None
        off = (f"{name}={'false' if name.endswith('.required') else ''}" for name in filters)
        status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        changed = _git(folder, *(part for setting in off for part in ("-c", setting)), *status)
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    safe = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    process = subprocess.run(
        ["git", "-C", str(folder), *safe, *arguments],
        capture_output=True,
        check=True,
        timeout=5,
        # An object that is missing in a partial clone would be fetched with a program that the remote names.
        env={**os.environ, "GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1"},
    )
    return os.fsdecode(process.stdout)


def command() -> list[str]:
    """Return the command line of this process, with the bare name of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []


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
