"""Safe reading of checkpoint files from untrusted sources: bounded in size, and CheckpointError as the only error.

Checksums detect damage, not manipulation, so a file with a valid checksum is validated, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from ganforge.errors import CheckpointError
from ganforge.schemas.checkpoint import CHECKSUMS, CheckpointState
from ganforge.utils.files import error_reason, open_regular, read_file
from ganforge.utils.schema import excerpt, first_problem

FORMAT = 1
#: ganforge writes some hundred bytes.
MAX_JSON_BYTES = 2**20
#: Largest file of tensors, and its header; a tensor has about a hundred bytes there.
MAX_TENSORS_BYTES, MAX_HEADER_BYTES = 2**34, 2**22
#: Limit of torch.
MAX_DIMENSIONS = 64


def read_bytes(file: Path) -> bytes:
    """Return the content of a file of a checkpoint. Raises CheckpointError, also for a link or a pipe.

    A safetensors file is read only if its length is the one that its header declares.
    """
    try:
        if file.is_symlink() or file.is_dir():
            raise CheckpointError(f"{file} is not a regular file")
        if file.suffix != ".safetensors":
            return read_file(file, max_bytes=MAX_JSON_BYTES)
        with open_regular(file, max_bytes=MAX_TENSORS_BYTES) as opened:
            if int.from_bytes(opened.read(8), "little") > MAX_HEADER_BYTES:
                raise CheckpointError(f"{file} cannot be read: its header is longer than {MAX_HEADER_BYTES:,} bytes")
        with safe_open(file, "np"):
            return read_file(file, max_bytes=MAX_TENSORS_BYTES)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error_reason(error)}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{file} cannot be read: {excerpt(str(error))}") from None


def parse_tensors(content: bytes, file: Path) -> dict[str, Tensor]:
    """Parse a safetensors file. Raises CheckpointError, also for numbers that are not finite.

    The tensors are not memory-mapped, so later changes of the file do not reach them.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # noqa: BLE001 - torch raises TypeError and others for some headers
        raise CheckpointError(f"{file} cannot be read: {excerpt(str(error))}") from None
    for name, value in tensors.items():
        if value.ndim > MAX_DIMENSIONS:
            raise CheckpointError(f"{file}: {excerpt(name)} has {value.ndim} dimensions")
        numbers = value.float() if value.element_size() == 1 else value  # 8-bit floats have no `isfinite`
        if value.is_floating_point() and not bool(numbers.isfinite().all()):
            raise CheckpointError(f"{file}: {excerpt(name)} has a number that is not finite")
    return tensors


def parse_state(content: bytes, file: Path) -> dict[str, Any]:
    """Parse and validate state.json. Raises CheckpointError, which names the first invalid value."""
    try:
        return CheckpointState.model_validate_json(content).model_dump()
    except ValidationError as error:
        raise CheckpointError(f"{file} is damaged: {first_problem(error, CheckpointState)}") from None


def parse_checksums(content: bytes, file: Path) -> dict[str, str]:
    """Parse checksums.json. Raises CheckpointError."""
    try:
        return CHECKSUMS.validate_json(content)
    except ValidationError as error:
        raise CheckpointError(f"{file} is damaged: {first_problem(error)}") from None
