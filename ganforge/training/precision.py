"""In which arithmetic the networks compute: float32, tf32 or bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from ganforge.errors import ConfigError
from ganforge.utils import matmul as arithmetic

Precision = Literal["fp32", "tf32", "bf16"]


def candidates(device: torch.device) -> list[Precision]:
    """Return the precisions that are safe on a device, float32 first."""
    if device.type == "cuda":
        capable = torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere brought tf32 and bfloat16
        return ["fp32", "tf32", "bf16"] if capable else ["fp32"]
    if device.type == "cpu":
        return ["fp32", "bf16"]
    return ["fp32"]


def check(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError where a device has no such precision."""
    available = candidates(device)
    if precision not in available:
        raise ConfigError(
            f"precision {precision!r} is not available on {device}", fix=f"it has {', '.join(available)}, or auto"
        )


def matrix_products(precision: Precision) -> AbstractContextManager[None]:
    """Set how float32 matrix products are computed for a while: exactly, but with tf32 where it was asked for."""
    return arithmetic.matrix_products(tf32=precision == "tf32")


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which networks run: bfloat16 where that was asked for, else nothing changes."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """Return the device that a name means; `auto` is a GPU, else the CPU. Raises ConfigError.

    local_rank: of several processes, which GPU this one takes, whichever `name` says: each takes another one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device {name!r}", fix="there is auto, cpu, cuda, cuda:1, mps") from None
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type == "cuda" and (device.index is None or local_rank is not None):
        device = torch.device("cuda", local_rank or 0)
    if (device.index or 0) >= count.get(device.type, 0):
        missing = name if local_rank is None else str(device)
        raise ConfigError(f"this machine has no device {missing!r}", fix="pass --device cpu, or auto")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are made on the current one
    return device
