"""Conversion of PyTorch's pickled weights (.pth, .pt) to safetensors, without running code of the file."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ganforge.errors import UsageError
from ganforge.utils.files import open_regular, write_atomically
from ganforge.utils.text import printable

#: Keys under which training scripts store one network, the most specific first.
USUAL_KEYS = ("state_dict", "model_state_dict", "model", "params_ema", "params")
MAX_DEPTH = 8
MAX_WEIGHTS_BYTES = 1 << 40


def read_pickled_weights(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a file by dotted name, read by PyTorch's restricted unpickler. Raises UsageError."""
    try:
        with open_regular(path, max_bytes=MAX_WEIGHTS_BYTES) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols that PyTorch does not write
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = printable(" ".join(str(error).split()))
        raise UsageError(
            f"{path} has more than tensors, and reading it would run its code: {reason[:200]}",
            fix="save the weights alone where you trust the file: torch.save(network.state_dict(), FILE)",
        ) from None
    except Exception as error:  # noqa: BLE001 - damaged files raise any
        raise UsageError(f"{path} cannot be read: {printable(' '.join(str(error).split()))[:200]}") from None
    tensors = dict(_flatten(content, "", MAX_DEPTH))
    if not tensors:
        raise UsageError(f"{path} has no tensors")
    return tensors


def select_networks(tensors: Mapping[str, Tensor], networks: Mapping[str, str | None]) -> dict[str, Tensor]:
    """Return the tensors of networks, named as a ganforge file names them. Raises UsageError for a key without tensors.

    Args:
        tensors: Tensors by dotted name.
        networks: Key of each network in the file, by `generator` and `discriminator`; None for a network that the file
            does not have. Without any key, the file has one network, the generator.
    """
    keys = sorted({name.partition(".")[0] for name in tensors if "." in name})
    chosen = {network: key for network, key in networks.items() if key is not None}
    if not chosen:
        usual = next((key for key in USUAL_KEYS if key in keys), None)
        return _plain(_below(tensors, usual) if usual is not None else dict(tensors))
    result: dict[str, Tensor] = {}
    for network, key in chosen.items():
        selected = _below(tensors, key)
        if not selected:
            raise UsageError(f"no tensors under {key!r} (available: {printable(', '.join(keys)) or 'none'})")
        result |= {f"{network}.{name}": value for name, value in _plain(selected).items()}
    return result


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors. Raises UsageError if the file cannot be written; an old file is kept then."""
    try:
        content = save({name: value.clone().contiguous() for name, value in tensors.items()})
    except Exception as error:  # noqa: BLE001 - sparse, quantized, endless and empty tensors raise nearly any error
        reason = printable(" ".join(str(error).split()))[:200]
        raise UsageError(f"the tensors cannot be stored as safetensors: {reason}", fix="save dense tensors") from None
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from None


def _flatten(value: object, prefix: str, depth: int) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(prefix.removesuffix("."), value.detach())]
    if not isinstance(value, Mapping) or depth == 0:
        return []
    return [pair for key, item in value.items() for pair in _flatten(item, f"{prefix}{key}.", depth - 1)]


def _below(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{key}."): value for name, value in tensors.items() if name.startswith(f"{key}.")}


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without the prefix of DataParallel and compiled modules."""
    for prefix in ("module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
