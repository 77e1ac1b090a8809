"""Devices and the precision of the networks: float32, TF32 or bfloat16."""

from __future__ import annotations

from typing import Literal

import torch

from ganforge.errors import ConfigError

Precision = Literal["fp32", "tf32", "bf16"]


def supported_precisions(device: torch.device) -> list[Precision]:
    """Return the precisions of a device, float32 first."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # introduced TF32 and bfloat16
        return ["fp32", "tf32", "bf16"] if ampere else ["fp32"]
    return ["fp32", "bf16"] if device.type == "cpu" else ["fp32"]


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError if a device does not support a precision."""
    supported = supported_precisions(device)
    if precision not in supported:
        raise ConfigError(
            f"precision {precision!r} is not available on {device}", fix=f"available: {', '.join(supported)}, auto"
        )


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context of the networks: bfloat16 autocast for `bf16`, else disabled."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """Return the device of a name; `auto` prefers a GPU to the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        local_rank: Rank on this machine, which is the number of its GPU regardless of `name`; None for a single rank.

    Raises:
        ConfigError: This machine does not have the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device {name!r}", fix="available: auto, cpu, cuda, cuda:1, mps") from None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type == "cuda" and (device.index is None or local_rank is not None):
        device = torch.device("cuda", local_rank or 0)
    if (device.index or 0) >= counts.get(device.type, 0):
        missing = name if local_rank is None else str(device)
        raise ConfigError(f"this machine has no device {missing!r}", fix="pass --device cpu, or auto")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs use the current device
    return device
