"""Where the weights lie, how they get there, and how they are read without running any code from them."""

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
from ganforge.utils.downloads import DownloadError, Wanted, download, find_folder, search_places
from ganforge.utils.io import read_whole
from ganforge_inception.fetch import FILE

FOLDER = "inception"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

#: Where it may lie below a root: where a download puts it, where torch.hub does, and the root itself.
WANTED = Wanted(title="Inception weights", layouts=(FOLDER, "checkpoints", ""), names=(FILE,))

MEGABYTES, SECONDS = 96, 240.0

#: No weights of this network come near it, in float64 neither.
LIMIT_BYTES = 1 << 30

#: Starts the process that downloads, before its arguments; -P: files in the working folder are not its modules.
FETCHER = (sys.executable, "-P", "-m", "ganforge_inception.fetch")

#: What torch-fidelity is asked for: what Fréchet distances use, and what inception scores use.
LAYERS = ["2048", "logits_unbiased"]
LONGEST = 200


def find_weights() -> Path:
    """Return the published file: below GANFORGE_DATA, the user's cache or torch.hub's, else downloaded.

    Raises DataError.
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
            f"this is given up after {SECONDS / 60:.0f} minutes",
        )
    except DownloadError as error:
        looked = " or ".join(map(str, places))
        raise DataError(
            f"no {WANTED.title}: {FILE} is not in {looked} and could not be downloaded: {error}",
            fix=f"Get it from {URL_INCEPTION_V3} wherever there is a network, and pass --features.weights FILE, "
            f"or put it into {first / FOLDER}.",
        ) from error
    return folder / FILE


def read_network(path: Path, *, published: bool) -> FeatureExtractorInceptionV3:
    """Return torch-fidelity's network with the weights of a file.

    published: whether it must be the published file; else it may be a .safetensors file too. Raises DataError.
    """
    fix = f"get {FILE} from {URL_INCEPTION_V3}"
    fix += " and put it there, or remove it to have it downloaded anew" if published else ""
    content = read_whole(path, limit_bytes=LIMIT_BYTES, fix=fix)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 == SHA256:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    elif published:
        raise DataError(f"{path} is damaged: its SHA-256 is {sha256}, not {SHA256}", fix=fix)
    else:
        state = _tensors(path, content, fix)
    # torch-fidelity's constructor reads a pickle and trusts it: it gets one that holds these tensors and nothing else.
    trusted = io.BytesIO()
    torch.save(state, trusted)
    trusted.seek(0)
    try:
        return FeatureExtractorInceptionV3("inception", LAYERS, feature_extractor_weights_path=trusted)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        words = words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
        raise DataError(f"{path} holds no weights of this network: {words}", fix=fix) from error


def _tensors(path: Path, content: bytes, fix: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file. Raises DataError for any other, and for numbers that are not finite.

    A pickle is opened only where its SHA-256 tells that it is the published one: others may run code.
    """
    try:
        state = load(content)
    except Exception as error:  # its errors are of many kinds, some without words
        raise DataError(
            f"{path} is neither the published file (SHA-256 {SHA256}) nor a .safetensors file, and other files are not "
            "opened, since a pickle may run code",
            fix=f"{fix}; write weights of your own with safetensors.torch.save_file",
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
