"""Weights of the network: search, download, and reading without running code from the file."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor
from torch_fidelity import FeatureExtractorInceptionV3
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, RequiredFiles, download, find_folder, search_places
from ganforge.utils.files import read_limited
from ganforge_inception.fetch import FILE

FOLDER = "inception"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

#: Folders of the file below a root: of a download, of torch.hub, and the root itself.
WANTED = RequiredFiles(title="Inception weights", layouts=(FOLDER, "checkpoints", ""), names=(FILE,))

MEGABYTES, SECONDS = 96, 240.0

#: More than weights of this network need, even in float64.
LIMIT_BYTES = 1 << 30

#: Command of the process that downloads; -P: files in the working folder are not modules.
FETCHER = (sys.executable, "-P", "-m", "ganforge_inception.fetch")

#: Outputs of torch-fidelity's network: for Fréchet distances, and for inception scores.
LAYERS = ["2048", "logits_unbiased"]
MAX_LENGTH = 200


def find_weights() -> Path:
    """Return the published file: below GANFORGE_DATA, the user's cache or torch.hub's, else downloaded.

    Raises:
        DataError: It is not there and cannot be downloaded.
    """
    places = search_places(None)
    places.setdefault(Path(torch.hub.get_dir()), False)
    for place, named in places.items():
        if folder := find_folder(place, WANTED, named=named):
            return folder / FILE
    first = next(iter(places))
    try:
        folder = download(
            FETCHER,
            URL_INCEPTION_V3,
            root=first,
            folder=FOLDER,
            fetched=FOLDER,
            addresses=(URL_INCEPTION_V3,),
            seconds=SECONDS,
            check=_check,
            announcement=f"downloading {WANTED.title} ({MEGABYTES} MB) into {first}; "
            f"the limit is {SECONDS / 60:.0f} minutes",
        )
    except DownloadError as error:
        looked = " or ".join(map(str, places))
        raise DataError(
            f"no {WANTED.title}: {FILE} is not in {looked} and could not be downloaded: {error}",
            fix=f"get it from {URL_INCEPTION_V3} wherever there is a network, and pass --features.weights FILE, "
            f"or put it into {first / FOLDER}",
        ) from error
    return folder / FILE


def read_network(path: Path, *, published: bool) -> FeatureExtractorInceptionV3:
    """Return torch-fidelity's network with the weights of a file.

    Args:
        path: The published file, or a .safetensors file.
        published: Whether it must be the published file.

    Raises:
        DataError: The file is damaged or does not fit.
    """
    fix = f"get {FILE} from {URL_INCEPTION_V3}"
    fix += " and put it there, or remove it to have it downloaded again" if published else ""
    content = read_limited(path, limit_bytes=LIMIT_BYTES, fix=fix)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 == SHA256:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    elif published:
        raise DataError(f"{path} is damaged: its SHA-256 is {sha256}, not {SHA256}", fix=fix)
    else:
        state = _tensors(path, content, fix)
    # torch-fidelity's constructor trusts the pickle that it reads: it gets one of these tensors only.
    trusted = io.BytesIO()
    torch.save(state, trusted)
    trusted.seek(0)
    try:
        return FeatureExtractorInceptionV3("inception", LAYERS, feature_extractor_weights_path=trusted)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        words = words if len(words) <= MAX_LENGTH else f"{words[:MAX_LENGTH]}…"
        raise DataError(f"{path} does not hold weights of this network: {words}", fix=fix) from error


def _tensors(path: Path, content: bytes, fix: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file. A pickle is not opened, since it may run code.

    Raises:
        DataError: It is another file, or has numbers that are not finite.
    """
    try:
        state = load(content)
    except Exception as error:  # safetensors raises errors of many kinds, some without a message
        raise DataError(
            f"{path} is neither the published file (SHA-256 {SHA256}) nor a .safetensors file, and other files are not "
            "opened, since a pickle may run code",
            fix=f"{fix}; write your own weights with safetensors.torch.save_file",
        ) from error
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            raise DataError(f"{path}: {name} has numbers that are not finite", fix=fix)
    return state


def _check(folder: Path) -> None:
    """Raise DownloadError unless the file is the published one."""
    with (folder / FILE).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise DownloadError(f"{FILE} has other bytes than the published file (SHA-256)")
