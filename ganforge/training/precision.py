"""Devices and the precision of the networks: float32, TF32 or bfloat16."""

from __future__ import annotations

from typing import Literal

import torch

from ganforge.errors import ConfigError
from ganforge.training.flops import Flops

Precision = Literal["fp32", "tf32", "bf16"]

#: FLOPs of a step from which a precision is faster than those before it; measurements are in docs/performance.md.
MIN_FLOPS: dict[str, dict[Precision, float]] = {"cpu": {"bf16": 1e9}, "cuda": {"tf32": 1e9, "bf16": 1e11}}
#: Largest share of grouped convolutions in a step; on a processor they are slower in bfloat16.
MAX_GROUPED_SHARE = 0.1


def supported_precisions(device: torch.device) -> list[Precision]:
    """Return the precisions of a device, float32 first."""
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)  # introduced TF32 and bfloat16
        return ["fp32", "tf32", "bf16"] if ampere else ["fp32"]
    return ["fp32", "bf16"] if device.type == "cpu" else ["fp32"]


def choose_precision(device: torch.device, flops: Flops) -> tuple[Precision, str]:
    """Return the precision for the FLOPs of a step on a device, and the reason; no time is measured."""
    instructions = _low_precision_instructions(device)
    if instructions is None:
        return "fp32", f"{device.type} without bfloat16 instructions"
    reason = f"{instructions}, {flops.total / 1e9:.3g} GFLOPs a step"
    if device.type == "cpu" and flops.grouped > MAX_GROUPED_SHARE * flops.total:
        return "fp32", f"{reason}, {flops.grouped / flops.total:.0%} in grouped convolutions"
    chosen: Precision = "fp32"
    for precision, minimum in MIN_FLOPS[device.type].items():
        if flops.total >= minimum:
            chosen = precision
    return chosen, reason


def _low_precision_instructions(device: torch.device) -> str | None:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return None if len(supported_precisions(device)) == 1 else f"CUDA compute capability {major}.{minor}"
    if device.type != "cpu":
        return None
    # torch.cpu.get_capabilities is public, but newer than the oldest supported torch.
    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - as above
        return "AMX"
    return "AVX-512 bfloat16" if torch.cpu._is_avx512_bf16_supported() else None  # noqa: SLF001 - as above


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
