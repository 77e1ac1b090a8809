"""Memory: keeping what the allocator has, and telling people what fits."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

#: glibc's mallopt: what M_TRIM_THRESHOLD and M_MMAP_THRESHOLD are called there, in malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
#: Larger blocks than any network's, and the largest value that older versions of glibc accept.
THRESHOLDS = (1 << 30, 1 << 25)
NEVER_TRIM = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let glibc keep the large blocks that are freed in each step for the next one; return whether that was possible.

    Otherwise it gives them back to the system, which clears every page before it hands it out again: a DCGAN step took
    24,000 page faults, a quarter of its time (docs/performance.md). It holds for the whole process from then on;
    nothing that is computed changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    kept = any(mallopt(MMAP_THRESHOLD, size) for size in THRESHOLDS)
    return kept and bool(mallopt(TRIM_THRESHOLD, NEVER_TRIM))


def give_back(device: torch.device) -> None:
    """Return what is free to the system and the device: what comes next needs another arrangement of it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the processor had no memory left for a tensor."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
