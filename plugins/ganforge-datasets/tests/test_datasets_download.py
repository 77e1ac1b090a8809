"""Laws of downloads: torchvision's downloaders, whole and verified or not at all, and messages without a network."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from conftest import Patch
from datasets_parts import (
    LETTERS,
    MNIST_LIKE,
    SIZES,
    Patches,
    everything_below,
    put_celeba,
    put_parquet,
    put_svhn,
    served_cifar,
    served_emnist,
    served_fashion,
    server,
)
from ganforge_datasets import locating
from ganforge_datasets.celeba import CelebA
from ganforge_datasets.cifar import Cifar10
from ganforge_datasets.downloaded import Downloaded
from ganforge_datasets.huggingface import HuggingFace
from ganforge_datasets.idx import Emnist, FashionMnist, Kmnist
from ganforge_datasets.svhn import Svhn
from torchvision.datasets import CIFAR10, EMNIST, FashionMNIST

from ganforge.errors import DataError
from ganforge.utils import downloads

Use = Callable[[str], None]

#: The real downloader, after code that sets checksums and addresses.
SCRIPT = """
import sys
from pathlib import Path
{}
from ganforge_datasets.fetch import main
main(Path(sys.argv[1]), *sys.argv[2:])
"""


def addressed(patches: Patches, address: str) -> Patches:
    """Add the addresses of the files to their MD5s."""
    first: dict[type, dict[str, Any]] = {
        FashionMNIST: {"mirrors": ["http://127.0.0.1:1/", address]},
        EMNIST: {"url": f"{address}gzip.zip"},
        CIFAR10: {"url": f"{address}{CIFAR10.filename}"},
    }
    for cls, attributes in patches.items():
        attributes.update(first.get(cls, {}))
        for split, (_, name, summed) in attributes.get("split_list", {}).items():
            attributes["split_list"][split] = [f"{address}{name}", name, summed]
    return patches


def spelled(patches: Patches) -> str:
    """Return a program that makes these patches."""
    return "\n".join(
        f"from torchvision.datasets import {cls.__name__}\n{cls.__name__}.{name} = {value!r}"
        for cls, attributes in patches.items()
        for name, value in attributes.items()
    )


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Allow downloads, and return a function that sets the script of the process that downloads."""
    monkeypatch.delenv("GANFORGE_OFFLINE")
    return lambda words: monkeypatch.setattr(locating, "FETCHER", (sys.executable, "-c", SCRIPT.format(words)))


@pytest.mark.parametrize(
    ("cls", "serve", "options", "kept"),
    [
        (FashionMnist, served_fashion, {}, [f"FashionMNIST/raw/{name}" for name in MNIST_LIKE]),
        (
            Emnist,
            served_emnist,
            {"split": "letters"},
            [f"EMNIST/raw/{name}" for letters in LETTERS for name in (letters, letters.replace("letters", "mnist"))],
        ),
        (
            Cifar10,
            served_cifar,
            {},
            [
                f"cifar-10-batches-py/{name}"
                for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list, ("batches.meta", "")]
            ],
        ),
        (Svhn, put_svhn, {}, ["train_32x32.mat", "test_32x32.mat"]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_torchvision_downloads_it(
    tmp_path: Path,
    cache: Path,
    patch: Patch,
    use: Use,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cls: type[Downloaded],
    serve: Callable[[Path], Patches],
    options: dict[str, str],
    kept: list[str],
) -> None:
    """A download arrives in the first folder, without archives, announces its size, and is found without a network."""
    patches, place = serve(tmp_path / "served"), tmp_path / "first"
    with server(tmp_path / "served") as address:
        patch(addressed(patches, address))
        use(spelled(patches))
        data = cls(cls.Options.model_validate({**options, "root": place}))
        assert data.info.sizes == SIZES
    files = [name for name in everything_below(place) if (place / name).is_file()]
    assert files == sorted(kept)
    assert not cache.exists()
    assert data.resolved().root == place
    assert f"downloading {cls.title} ({cls.megabytes:,} MB) into {place}" in capsys.readouterr().err
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    monkeypatch.setenv("GANFORGE_DATA", str(place))
    again = cls(cls.Options.model_validate({**options, "root": tmp_path / "elsewhere"}))
    assert again.info.fingerprint == data.info.fingerprint


def test_celeba_is_unpacked_and_kept(
    tmp_path: Path, cache: Path, patch: Patch, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive of pictures is unpacked next to the tables and removed; gdown is replaced by a server."""
    served = tmp_path / "served"
    patches = put_celeba(served)
    patch(patches)
    shutil.make_archive(str(served / "celeba" / "img_align_celeba"), "zip", served / "celeba", "img_align_celeba")
    words = f"{spelled(patches)}\nimport shutil, torchvision.datasets.celeba as module\n"
    words += "def fetch(key, folder, name, md5): Path(folder).mkdir(parents=True, exist_ok=True); "
    words += f"shutil.copy(Path({str(served)!r}, 'celeba', name), folder)\n"
    use(f"{words}module.download_file_from_google_drive = fetch")
    (cache / "celeba" / "img_align_celeba").mkdir(parents=True)  # a part of it is there, which the cache may have
    (cache / "celeba" / "img_align_celeba" / "000001.jpg").write_bytes(b"half")
    with server(served) as address:
        monkeypatch.setattr(CelebA, "addresses", (address,))
        data = CelebA(CelebA.Options())
        assert data.info.sizes == SIZES
    expected = [name for name in everything_below(served / "celeba") if not name.endswith(".zip")]
    assert everything_below(cache / "celeba") == expected
    assert data.info.fingerprint == CelebA(CelebA.Options(root=served)).info.fingerprint


def test_other_bytes_than_the_original_are_not_kept(tmp_path: Path, patch: Patch, use: Use) -> None:
    """A wrong MD5 is one error with reason and fix, and nothing is left."""
    patches = served_fashion(tmp_path / "served")
    resources = patches[FashionMNIST]["resources"]
    patches[FashionMNIST]["resources"] = [*resources[:-1], (resources[-1][0], "0" * 32)]
    with server(tmp_path / "served") as address:
        patch(addressed(patches, address))
        use(spelled(patches))
        with pytest.raises(DataError, match=r"could not be downloaded: .*File not found or corrupted") as raised:
            FashionMnist(FashionMnist.Options(root=tmp_path / "data")).open("train")
    assert raised.value.message.isprintable()
    assert "FashionMNIST/raw/t10k-labels-idx1-ubyte" in str(raised.value.fix)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


@pytest.mark.parametrize("cls", [FashionMnist, Kmnist, Emnist, Cifar10, Svhn, CelebA])
def test_without_a_network_the_error_names_the_required_files(
    tmp_path: Path, cache: Path, cls: type[Downloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error names the searched folders, the reason, and the path of each required file."""
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "variable"))
    data = cls(cls.Options(root=tmp_path / "root"))
    with pytest.raises(DataError) as raised:
        data.open("train")
    searched = f"{tmp_path / 'root'} or {tmp_path / 'variable'} or {cache}"
    expected = f"no {cls.title}: its files are not in {searched} and could not be downloaded: GANFORGE_OFFLINE is set"
    assert raised.value.message == expected
    fix = str(raised.value.fix)
    assert all(word in fix for word in ("--data.root", "GANFORGE_DATA"))
    assert all(str(Path(cls.folder, name)) in fix for name in data.checksums)
    assert everything_below(tmp_path) == []


def test_being_offline_is_known_at_once(
    tmp_path: Path, patch: Patch, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer no process is started, and the error takes no longer than the probe."""
    use("raise SystemExit('started')")
    patch({CIFAR10: {"url": "http://127.0.0.1:1/cifar.tar.gz"}})
    began = time.monotonic()
    with pytest.raises(DataError, match=r"127\.0\.0\.1 cannot be reached: Connection refused"):
        Cifar10(Cifar10.Options(root=tmp_path)).open("train")
    assert time.monotonic() - began < downloads.PROBE_SECONDS


def test_the_time_limit_fits_the_size(patch: Patch, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download has a minute, and two seconds for each megabyte."""
    limits: dict[str, float] = {}

    def note(*arguments: Any, seconds: float, **_: Any) -> None:
        limits[arguments[1]] = seconds
        raise downloads.DownloadError

    monkeypatch.setattr(locating, "download", note)
    classes: tuple[type[Downloaded], ...] = (FashionMnist, Cifar10, CelebA)
    for cls in classes:
        with pytest.raises(DataError):
            _ = cls(cls.Options()).info
    assert list(limits.values()) == [60 + 2 * 31, 60 + 2 * 171, 60 + 2 * 1450]


# The hub


def hub(**options: object) -> HuggingFace:
    """Return the dataset, built from options as by the engine."""
    return HuggingFace(HuggingFace.Options.model_validate({"path": "somebody/pets", **options}))


def test_data_of_the_hub_is_kept_and_found_again(
    tmp_path: Path, cache: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data is saved below the first folder, pictures included, and found there without a network."""
    served = put_parquet(tmp_path / "served")
    words = "import datasets; real = datasets.load_dataset\n"
    words += f"datasets.config.HF_DATASETS_CACHE = {str(tmp_path / 'huggingface')!r}\n"
    words += "def load(path, name): assert (path, name) == ('somebody/pets', 'small'); "
    words += f"return real({str(served)!r})\n"
    use(words + "datasets.load_dataset = load")
    with server(served) as address:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        data = hub(subset="small")
        assert data.info.sizes == SIZES
    folder = cache / "huggingface" / "somebody___pets" / "small"
    assert (folder / "dataset_dict.json").is_file()
    assert data.source.startswith(f"rows of somebody/pets of the hub, kept in {folder}: 30")
    assert data.resolved().root == cache
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    for path in served.iterdir():
        path.unlink()
    assert hub(subset="small", root=tmp_path / "elsewhere").info.fingerprint == data.info.fingerprint
    with pytest.raises(DataError, match="no somebody/pets of the hub"):
        _ = hub().info


def test_without_a_network_the_hub_error_has_a_fix(tmp_path: Path) -> None:
    """The error shows the call that saves the data elsewhere, and both places for its output."""
    with pytest.raises(DataError, match=r"no somebody/pets of the hub: .* GANFORGE_OFFLINE is set") as raised:
        _ = hub(root=tmp_path / "root", subset="small").info
    for words in (
        "datasets.load_dataset('somebody/pets', 'small').save_to_disk(FOLDER)",
        "--data.path FOLDER",
        "huggingface/somebody___pets/small",
    ):
        assert words in str(raised.value.fix)
    assert everything_below(tmp_path) == []


def test_names_of_the_hub_lead_nowhere_else() -> None:
    """A name or a subset that would leave the folder is refused."""
    for path in ("../x", "a/..", "a/b/c", ".hidden"):
        with pytest.raises(DataError, match="not a name on the hub"):
            _ = hub(path=path).info
    for subset in ("..", "a/b", ""):
        with pytest.raises(ValueError, match="subset"):
            hub(subset=subset)
