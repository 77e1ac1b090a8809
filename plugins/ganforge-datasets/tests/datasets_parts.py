"""Helpers of the tests: small real files in each format, and a local server."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import h5py
import lmdb
import numpy as np
import scipy.io
from PIL import Image
from torchvision.datasets import CIFAR10, EMNIST, SVHN, CelebA, FashionMNIST

SIZES = {"train": 30, "test": 20}
FACES = {"train": 30, "valid": 4, "test": 20}
#: Attributes and values of torchvision's classes, by class.
Patches = dict[type, dict[str, Any]]


def md5(content: bytes) -> str:
    """Return the MD5 that torchvision compares."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write(path: Path, content: bytes) -> str:
    """Write a file, with the folders above it, and return its MD5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content)


def noise(*shape: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return random bytes, the same for a seed."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(values: np.ndarray[Any, Any]) -> bytes:
    """Return an array of bytes as an IDX file, after the description of the format."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def idx_files(pattern: str, splits: tuple[str, str], classes: int, first_label: int = 0) -> dict[str, bytes]:
    """Return images and labels of both splits by the names of their files."""
    files = {}
    for seed, (count, split) in enumerate(zip(SIZES.values(), splits, strict=True)):
        files[pattern.format(split, "images-idx3")] = idx(noise(count, 28, 28, seed=seed))
        labels = np.arange(count, dtype=np.uint8) % classes + first_label
        files[pattern.format(split, "labels-idx1")] = idx(labels.astype(np.uint8))
    return files


MNIST_LIKE = idx_files("{}-{}-ubyte", ("train", "t10k"), 10)
LETTERS = idx_files("emnist-letters-{}-{}-ubyte", ("train", "test"), 26, first_label=1)


def cifar_files() -> dict[str, bytes]:
    """Return CIFAR-10's pickles: rows of 3,072 bytes, red, green, blue."""
    files = {"batches.meta": pickle.dumps({"label_names": ["airplane", "automobile"]})}
    for seed, (name, _) in enumerate([*CIFAR10.train_list, *CIFAR10.test_list]):
        count = SIZES["train"] // 5 if name != "test_batch" else SIZES["test"]
        labels = [(index + seed) % 10 for index in range(count)]
        files[name] = pickle.dumps({"data": noise(count, 3072, seed=seed), "labels": labels})
    return files


def svhn_array(split: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the content of SVHN's files: pixels `(32, 32, 3, N)`, labels `(N, 1)` from 1 to 10."""
    count = SIZES[split]
    return noise(32, 32, 3, count, seed=count), (np.arange(count, dtype=np.uint8) % 10 + 1)[:, None]


def put_idx(root: Path, folder: str, files: dict[str, bytes]) -> Path:
    """Write files of bytes below a root, and return it."""
    for name, content in files.items():
        write(root / folder / name, content)
    return root


def put_cifar(root: Path) -> Patches:
    """Write CIFAR-10's batches, and return their MD5s."""
    sums = {name: write(root / CIFAR10.base_folder / name, content) for name, content in cifar_files().items()}
    return {
        CIFAR10: {
            "train_list": [[name, sums[name]] for name, _ in CIFAR10.train_list],
            "test_list": [[name, sums[name]] for name, _ in CIFAR10.test_list],
            "meta": {**CIFAR10.meta, "md5": sums["batches.meta"]},
        }
    }


def put_svhn(root: Path) -> Patches:
    """Write SVHN's files, and return their MD5s."""
    split_list = dict(SVHN.split_list)
    root.mkdir(parents=True, exist_ok=True)
    for split in SIZES:
        url, name, _ = split_list[split]
        pixels, labels = svhn_array(split)
        scipy.io.savemat(root / name, {"X": pixels, "y": labels})
        split_list[split] = [url, name, md5((root / name).read_bytes())]
    return {SVHN: {"split_list": split_list}}


def attribute(number: int, face: int) -> int:
    """Return 1 if a face has an attribute, else -1."""
    return 1 if (face >> (number % 5)) & 1 else -1


def put_celeba(root: Path) -> Patches:
    """Write some faces and CelebA's tables, and return their MD5s."""
    names = [f"{number + 1:06}.jpg" for number in range(sum(FACES.values()))]
    folder = root / CelebA.base_folder
    (folder / "img_align_celeba").mkdir(parents=True)
    for seed, name in enumerate(names):
        small = Image.fromarray(noise(22, 18, 3, seed=seed))
        small.resize((178, 218), Image.Resampling.BICUBIC).save(folder / "img_align_celeba" / name, quality=90)
    words = ATTRIBUTES.split()
    rows = {
        "list_attr_celeba.txt": [[attribute(number, face) for number in range(40)] for face in range(len(names))],
        "identity_CelebA.txt": [[face] for face in range(len(names))],
        "list_bbox_celeba.txt": [[1, 2, 3, 4]] * len(names),
        "list_landmarks_align_celeba.txt": [list(range(10))] * len(names),
        "list_eval_partition.txt": [[part] for part, count in enumerate(FACES.values()) for _ in range(count)],
    }
    heads = {
        "list_attr_celeba.txt": f"{len(names)}\n{' '.join(words)} \n",
        "list_bbox_celeba.txt": f"{len(names)}\nimage_id x_1 y_1 width height\n",
        "list_landmarks_align_celeba.txt": f"{len(names)}\n{' '.join(map(str, range(10)))}\n",
    }
    sums = {
        table: write(
            folder / table,
            (
                heads.get(table, "")
                + "".join(f"{name}  {' '.join(map(str, row))}\n" for name, row in zip(names, given, strict=True))
            ).encode(),
        )
        for table, given in rows.items()
    }
    return {CelebA: {"file_list": [(place, sums.get(name, md5_), name) for place, md5_, name in CelebA.file_list]}}


#: The header of list_attr_celeba.txt.
ATTRIBUTES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
)


def table(split: str, side: int = 16) -> datasets.Dataset:
    """Return a small table of color pictures with two named classes."""
    count = SIZES[split]
    columns = {
        "image": [Image.fromarray(noise(side, side, 3, seed=seed + count)) for seed in range(count)],
        "label": [index % 2 for index in range(count)],
    }
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict(columns, features=features)


def put_parquet(folder: Path) -> Path:
    """Write the table as on the hub: a parquet file for each split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SIZES:
        table(split).to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    return folder


def put_saved(folder: Path) -> Path:
    """Write the table with `save_to_disk`: arrow files."""
    datasets.DatasetDict({split: table(split) for split in SIZES}).save_to_disk(str(folder))
    return folder


def put_pictures(folder: Path) -> Path:
    """Write the table as pictures in a folder for each class."""
    for split in SIZES:
        rows = table(split)
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
        for index, row in enumerate(rows):
            row["image"].save(folder / split / ("cat", "dog")[row["label"]] / f"{index:03}.png")
    return folder


# Content of the server


def served_fashion(folder: Path) -> Patches:
    """Write Fashion-MNIST's archives."""
    sums = {name: write(folder / f"{name}.gz", gzip.compress(content, mtime=0)) for name, content in MNIST_LIKE.items()}
    return {FashionMNIST: {"resources": [(f"{name}.gz", summed) for name, summed in sums.items()]}}


def served_emnist(folder: Path) -> Patches:
    """Write EMNIST's archive: a zip of .gz files, of two splits here."""
    digits = idx_files("emnist-mnist-{}-{}-ubyte", ("train", "test"), 10)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        for name, content in {**LETTERS, **digits}.items():
            archive.writestr(f"gzip/{name}.gz", gzip.compress(content, mtime=0))
    return {EMNIST: {"md5": md5((folder / "gzip.zip").read_bytes())}}


def served_cifar(folder: Path) -> Patches:
    """Write CIFAR-10's archive."""
    patches = put_cifar(folder)
    with tarfile.open(folder / CIFAR10.filename, "w:gz") as archive:
        archive.add(folder / CIFAR10.base_folder, CIFAR10.base_folder)
    patches[CIFAR10]["tgz_md5"] = md5((folder / CIFAR10.filename).read_bytes())
    return patches


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on this machine; yield the address and stop at the end."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/"
        finally:
            http.shutdown()
            thread.join()


def everything_below(folder: Path) -> list[str]:
    """Return the names of all files and folders below one."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_pictures(root: Path) -> Path:
    """Write a folder of two classes, `cat` of five and `dog` of seven RGB pictures of 16×16 pixels."""
    rng = np.random.default_rng(3)
    for index in range(12):
        path = root / ("cat" if index < 5 else "dog") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return root


def put_lmdb(root: Path, target: Path) -> None:
    """Write files by their paths, as keys."""
    with lmdb.open(str(target), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for path in root.rglob("*.png"):
            transaction.put(str(path.relative_to(root)).encode(), path.read_bytes())


def put_hdf5(root: Path, target: Path) -> None:
    """Write the arrays of BigGAN-PyTorch."""
    paths = sorted(root.rglob("*.png"))
    with h5py.File(target, "w") as file:
        file["imgs"] = np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1) for path in paths])
        file["labels"] = np.array([int(path.parent.name == "dog") for path in paths])
