"""NumPy archives (.npz): reading with limits, atomic writing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganforge.errors import UsageError
from ganforge.utils.files import error_reason, open_regular, replacing
from ganforge.utils.schema import excerpt

#: Limits of an archive: its file, and the arrays that are read from it.
MAX_FILE_BYTES = MAX_ARRAY_BYTES = 1 << 32


def read_npz(
    path: Path,
    names: Collection[str] | None = None,
    *,
    max_array_bytes: int = MAX_ARRAY_BYTES,
    fix: str | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive by name, or those of the names that it has; no pickled object is read.

    Too large arrays are answered with `fix`.

    Raises:
        UsageError: It cannot be read, is not an archive of arrays, or is too large.
    """
    try:
        with (
            open_regular(path, max_bytes=MAX_FILE_BYTES) as file,
            np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
        ):
            chosen = [name for name in archive.files if names is None or name in names]
            _check_sizes(archive, chosen, path, max_array_bytes, fix)
            return {name: archive[name] for name in chosen}
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged header makes NumPy and zipfile raise nearly any error
        raise UsageError(f"{path} cannot be read: {excerpt(error_reason(error))}") from None


def _check_sizes(archive: np.lib.npyio.NpzFile, names: Iterable[str], path: Path, limit: int, fix: str | None) -> None:
    """Raise UsageError if the headers declare too large arrays, for which memory would be allocated."""
    total = 0
    assert archive.zip is not None, "it is open"  # noqa: S101
    for name in names:
        with archive.zip.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
        total += math.prod(shape) * dtype.itemsize
    if total > limit:
        raise UsageError(f"{path} declares arrays of {total:,} bytes; the limit is {limit:,}", fix=fix)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a compressed archive, whole or not at all. Raises OSError."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy types allow_pickle as any keyword
