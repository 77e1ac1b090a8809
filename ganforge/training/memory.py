"""Memory of the process and the device: allocator settings, cached memory, out-of-memory errors."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

#: Parameters of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: Sizes above any tensor of a network; the second one is the maximum of older versions of glibc.
MMAP_THRESHOLDS = (1 << 30, 1 << 25)
#: Messages of failed allocations on the CPU: of torch, and of oneDNN, which has no other for its own.
ALLOCATION_ERRORS = ("can't allocate memory", "could not create a primitive", "could not create a memory object")
MAX_TRIM_THRESHOLD = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Make glibc reuse large freed blocks instead of returning them to the system.

    The system clears returned pages before it reuses them: a DCGAN step took 24,000 page faults, a quarter of its time
    (docs/performance.md). The setting holds for the rest of the process and changes no result.

    Returns:
        Whether the C library supports the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    reused = any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS)
    return reused and bool(mallopt(M_TRIM_THRESHOLD, MAX_TRIM_THRESHOLD))


def release_cached_memory(device: torch.device) -> None:
    """Release cached memory to the system and the device, before a retry with another batch size."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that a tensor did not fit into memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error) for message in ALLOCATION_ERRORS)
    )
