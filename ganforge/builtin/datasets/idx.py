"""IDX, the format of the MNIST files: magic number, big-endian sizes, bytes; plain, .gz or .xz."""

from __future__ import annotations

import gzip
import lzma
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ganforge.errors import DataError
from ganforge.utils.files import error_reason, open_regular

UNSIGNED_BYTE = 0x08

#: Limit against headers that claim too much; EMNIST, the largest dataset of this format, has 0.6 GB.
MAX_BYTES = 1 << 30

CHUNK_BYTES = 1 << 20

#: A crafted .xz may need a dictionary of 4 GiB; xz's largest preset needs 65 MiB.
MAX_XZ_MEMORY_BYTES = 128 << 20

FIX = "replace the file with a whole copy of the original"


def header(shape: tuple[int, ...]) -> bytes:
    """Return the header of an IDX file of unsigned bytes with this shape."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, UNSIGNED_BYTE, len(shape), *shape)


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Return the content of a file of unsigned bytes, uint8.

    Compression is detected by the first bytes, not by the name. Memory grows with the real content of the file, never
    with the sizes that its header claims.

    Args:
        path: The file.
        dimensions: Required number of dimensions.

    Raises:
        DataError: The file is unreadable, not an IDX file, cut short, too long, or has other dimensions.
    """
    length = 4 + 4 * dimensions
    data = bytearray()
    expected: int | None = None
    try:
        with open_regular(path, max_bytes=MAX_BYTES) as file:
            for chunk in _chunks(file):
                data += chunk
                if expected is None and len(data) >= length:
                    expected = length + math.prod(_shape(path, data, dimensions))
                if expected is not None and len(data) > expected:
                    break
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: its compressed data cannot be read ({error})", fix=FIX) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error_reason(error)}") from error
    if expected is None:
        _check_magic(path, data, dimensions)
        raise DataError(f"{path} is not an IDX file: it ends within its header, after {len(data)} bytes", fix=FIX)
    if len(data) != expected:
        actual = "is longer" if len(data) > expected else f"ends after {len(data):,}"
        raise DataError(f"{path} is damaged: its header announces {expected:,} bytes, but it {actual}", fix=FIX)
    # frombuffer refuses the empty buffer of a size of 0.
    shape = _shape(path, data, dimensions)
    if expected == length:
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(data, dtype=torch.uint8, offset=length).view(shape)


def _shape(path: Path, data: bytearray, dimensions: int) -> tuple[int, ...]:
    """Return the sizes in the header. Raises DataError for other dimensions and for too many bytes."""
    _check_magic(path, data, dimensions)
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if math.prod(shape) > MAX_BYTES:
        raise DataError(
            f"{path} announces {'×'.join(map(str, shape))} bytes, more than the {MAX_BYTES:,} that are read", fix=FIX
        )
    return shape


def _check_magic(path: Path, data: bytearray, dimensions: int) -> None:
    """Raise DataError unless the file begins with the magic number of its kind."""
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if data[:4] != magic[: len(data)]:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} dimension{'s' * (dimensions > 1)}: "
            f"it begins with {data[:4].hex(' ')}, not with {magic.hex(' ')}",
            fix=FIX,
        )


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of the file, decompressed, in chunks of at most `CHUNK_BYTES`."""
    start = file.read(6)
    file.seek(0)
    if start == b"\xfd7zXZ\x00":
        yield from _xz_chunks(file)
        return
    content = gzip.GzipFile(fileobj=file) if start[:2] == b"\x1f\x8b" else file
    while chunk := content.read(CHUNK_BYTES):
        yield chunk


def _xz_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of an .xz file; lzma.open has no memory limit."""
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES)
    while not decoder.eof:
        compressed = file.read(CHUNK_BYTES) if decoder.needs_input else b""
        if decoder.needs_input and not compressed:
            raise EOFError("it ends before its end marker")
        yield decoder.decompress(compressed, max_length=CHUNK_BYTES)
    if decoder.unused_data or file.read(1):
        raise lzma.LZMAError("bytes follow its end marker")
