"""Laws of LMDB, HDF5 and Parquet: the same images, labels and trainings as the folder that they were made from."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import h5py
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets_parts import put_hdf5, put_lmdb, write_pictures
from ganforge_datasets.hdf5_images import Hdf5, Hdf5Source
from ganforge_datasets.lmdb_images import Lmdb
from ganforge_datasets.parquet_images import Parquet
from PIL import Image

from ganforge import ImageTensors
from ganforge.errors import DataError
from ganforge.image_files import ImageDataset
from ganforge.image_files.conversion import convert
from ganforge.plugins.registry import Registry


def folder(path: Path, **options: Any) -> ImageDataset:
    """Return the dataset `folder`, built from options."""
    registry = Registry.discover(no_plugins=True)
    cls: type[ImageDataset] = registry.load(registry.find("dataset", "folder"))
    return cls(cls.Options.model_validate({"path": path, **options}))


def opened(data: ImageDataset, split: Any = "train") -> ImageTensors:
    """Return a split in memory."""
    images = data.open(split)
    assert isinstance(images, ImageTensors)
    return images


def run(*words: str) -> str:
    """Run ganforge in a process of its own, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *words], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def put_parquet(root: Path, target: Path) -> None:
    """Write a file through the datasets library."""
    paths = sorted(root.rglob("*.png"))
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    images = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    labels = [int(path.parent.name == "dog") for path in paths]
    datasets.Dataset.from_dict({"image": images, "label": labels}, features=kinds).to_parquet(str(target), batch_size=5)


FORMATS: dict[str, tuple[type[ImageDataset], Callable[[Path, Path], None]]] = {
    "lmdb": (Lmdb, put_lmdb),
    "hdf5": (Hdf5, put_hdf5),
    "parquet": (Parquet, put_parquet),
}


def put(form: str, root: Path, target: Path) -> ImageDataset:
    """Write a folder in another format, and return its dataset."""
    cls, write = FORMATS[form]
    write(root, target)
    return cls(cls.Options(path=target))


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_has_the_images_of_its_folder(tmp_path: Path, form: str) -> None:
    """Pixels, order, labels and names of classes are the same, in memory, streamed, and after pickling."""
    root = write_pictures(tmp_path / "pictures")
    data, expected = put(form, root, tmp_path / f"packed.{form}"), folder(root)
    assert opened(data).fingerprint() == opened(expected).fingerprint()
    assert data.class_names == (("0", "1") if form == "hdf5" else ("cat", "dog"))
    lazy = type(data)(data.options.model_copy(update={"stream": "yes"}))
    assert lazy.info.sizes == {"train": 12}
    items: Any = pickle.loads(pickle.dumps(lazy.open("train")))  # noqa: S301 - our own
    for index in (11, 0, 5):
        assert torch.equal(items[index][0], opened(expected).images[index])


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_trains_to_the_same_bits(tmp_path: Path, form: str) -> None:
    """Three steps, streamed by two worker processes, end with the weights of the folder."""
    root = write_pictures(tmp_path / "pictures")
    put(form, root, tmp_path / f"packed.{form}")

    def weights(data: str, path: Path, *more: str) -> str:
        networks = ("--gen", "mlp", "--gen.hidden", "[8]", "--disc", "mlp", "--disc.hidden", "[8]")
        out = tmp_path / f"run-{data}"
        words = ("--data", data, "--data.path", str(path), "--steps", "3", "--batch-size", "4", "--precision", "fp32")
        run("run", *networks, *words, *more, "--out", str(out), "--quiet")
        (file,) = out.glob("checkpoints/*/generator.safetensors")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    packed = weights(form, tmp_path / f"packed.{form}", "--data.stream", "yes", "--workers", "2")
    assert packed == weights("folder", root)


@pytest.mark.parametrize(("cls", "extension"), [(Lmdb, ".lmdb"), (Hdf5, ".h5"), (Parquet, ".parquet")])
@pytest.mark.parametrize("holdout", [0, 0.25])
def test_conversions_keep_pixels_labels_and_names(
    tmp_path: Path, cls: type[ImageDataset], extension: str, holdout: float
) -> None:
    """A conversion is verified, and holds both splits."""
    data = folder(write_pictures(tmp_path / "pictures"), holdout=holdout)
    target = tmp_path / f"packed{extension}"

    def reopen(path: Path) -> ImageDataset:
        return cls(cls.Options(path=path))

    convert(data, target, cls.formats[extension], reopen, reencode=False)
    packed = reopen(target)
    assert packed.class_names == ("cat", "dog")
    for split in data.splits:
        assert opened(packed, split).fingerprint() == opened(data, split).fingerprint()
    assert packed.splits == data.splits
    if extension == ".parquet" and not holdout:
        table = datasets.load_dataset(str(tmp_path), data_files=target.name)["train"]
        assert table.features["label"].names == ["cat", "dog"]
        assert table[3]["image"].size == (16, 16)


def test_chunks_of_many_images_are_decompressed_once(tmp_path: Path) -> None:
    """The cache of an HDF5 array holds a chunk of 500 images, as BigGAN-PyTorch writes them, between two images."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        pixels = np.full((500, 3, 64, 64), 7, np.uint8)
        stored = file.create_dataset("imgs", data=pixels, chunks=pixels.shape, compression="lzf")
        chunk = stored.id.get_chunk_info(0)
    source = Hdf5(Hdf5.Options(path=tmp_path / "a.h5")).image_source
    assert isinstance(source, Hdf5Source)
    rows = source.arrays["imgs"]
    assert rows.array.id.get_access_plist().get_chunk_cache()[1] >= pixels.nbytes
    assert (rows[0] == 7).all()
    with (tmp_path / "a.h5").open("r+b") as damaged:
        damaged.seek(chunk.byte_offset)
        damaged.write(bytes(chunk.size))
    assert (rows[1] == 7).all()


def test_lsun_has_neither_extensions_nor_classes(tmp_path: Path) -> None:
    """Values are known by their first bytes; JPEGs are copied into an archive; other values are counted."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 0, 0)).save(buffer, "JPEG")
    with lmdb.open(str(tmp_path / "lsun"), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
        writing.put(b"0a\xff", buffer.getvalue())
        writing.put(b"length", b"1")
    data = Lmdb(Lmdb.Options(path=tmp_path / "lsun"))
    assert (data.class_names, opened(data).images.shape) == (None, (1, 3, 16, 16))
    assert "other values: 1" in data.notices[1]
    form = folder(tmp_path).formats[""]
    convert(data, tmp_path / "copied", form, folder, reencode=False)
    assert (tmp_path / "copied" / "00000" / "img00000000.jpg").read_bytes() == buffer.getvalue()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (b"{", "metadata of the datasets library are damaged"),
        (b"[" * 100_000, "metadata of the datasets library are damaged"),
        (b'{"info": {"features": 3}}', "metadata of the datasets library are damaged"),
        (b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": [1, null]}}}}', "are not text"),
    ],
    ids=["text", "nesting", "type", "names"],
)
def test_hostile_metadata_of_parquet_are_one_error(tmp_path: Path, metadata: bytes, words: str) -> None:
    """Metadata of another form are named."""
    table = pa.table({"image": [b"\xff\xd8\xff"], "label": [0]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=words):
        Parquet(Parquet.Options(path=tmp_path / "a.parquet")).open("train")


def test_a_large_row_group_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes of a file can hold gigabytes of a row group."""
    monkeypatch.setattr("ganforge_datasets.parquet_images.MAX_GROUP_BYTES", 10_000)
    pq.write_table(pa.table({"image": [bytes(100_000)]}), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DataError, match="its row group is longer than 10,000 bytes"):
        Parquet(Parquet.Options(path=tmp_path / "a.parquet")).open("train")


@pytest.mark.parametrize(
    ("missing_bytes", "expected"), [(0, [0, 1, 2, 0]), (1, [0, 1, 0, 1, 2, 1, 2, 0])], ids=["both", "one"]
)
def test_row_groups_are_read_once_by_threads_in_order(
    missing_bytes: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads at a boundary need two row groups in turn; no third one is kept, and no second one above the limit."""
    pq.write_table(
        pa.table({"image": [bytes([row + 1]) for row in range(12)]}), tmp_path / "a.parquet", row_group_size=4
    )
    size = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0).total_uncompressed_size
    monkeypatch.setattr("ganforge_datasets.parquet_images.MAX_GROUP_BYTES", 2 * size - missing_bytes)
    source = Parquet(Parquet.Options(path=tmp_path / "a.parquet")).image_source
    read, groups = pq.ParquetFile.read_row_group, []

    def counted(file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        groups.append(group)
        return read(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    rows = (2, 4, 3, 5, 7, 8, 6, 9, 0)
    assert [source.read(f"train/{row}") for row in rows] == [bytes([row + 1]) for row in rows]
    assert groups == expected


def test_incomplete_databases_are_named(tmp_path: Path) -> None:
    """A missing page would end the process when LMDB reads it, and a pipe would make LMDB wait."""
    with lmdb.open(str(tmp_path), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
        writing.put(b"cat/1.jpg", b"\xff\xd8\xff" * 5000)
    file = tmp_path / "data.mdb"
    content = file.read_bytes()
    for pages in range(2, len(content) // 4096):
        file.write_bytes(content[: pages * 4096])
        with pytest.raises(DataError, match="not a whole LMDB database"):
            Lmdb(Lmdb.Options(path=tmp_path)).open("train")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match="not a regular file"):
        Lmdb(Lmdb.Options(path=tmp_path)).open("train")


def _put_virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2, 8, 8), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "imgs", (2, 8, 8))
    file.create_virtual_dataset("imgs", layout)


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (lambda file: file.update(imgs=h5py.ExternalLink("other.h5", "/imgs")), "imgs is a link"),
        (lambda file: file.update(imgs=h5py.SoftLink("/imgs")), "imgs is a link"),
        (_put_virtual, "imgs has its numbers in other files"),
        (
            lambda file: file.create_dataset("imgs", (2, 8, 8), "u1", external=[("/etc/passwd", 0, 128)]),
            "imgs has its numbers in other files",
        ),
        (lambda file: file.create_dataset("imgs", (1 << 40, 8, 8), "u1", chunks=(1, 8, 8)), "the limit is 16,777,216"),
        (lambda file: file.create_dataset("labels", (1 << 40,), "u1", chunks=(1024,)), "the limit is 16,777,216"),
        (
            lambda file: file.create_dataset("imgs", (1 << 12, 3, 512, 512), "u1", chunks=(1 << 12, 3, 512, 512)),
            "a chunk of imgs is longer than 1,073,741,824 bytes",
        ),
        (lambda file: file.create_dataset("imgs", data=h5py.Empty("u1")), "has no images"),
    ],
    ids=["external link", "loop", "virtual", "external", "images", "labels", "chunk", "empty"],
)
def test_hostile_hdf5_files_are_one_error(tmp_path: Path, put: Callable[[Any], Any], words: str) -> None:
    """Arrays and chunks without end are not read into memory, and no other file is read."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["imgs"] = np.zeros((2, 8, 8), np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put(file)
    with pytest.raises(DataError, match=words):
        Hdf5(Hdf5.Options(path=tmp_path / "a.h5")).open("train")


def test_names_of_hdf5_classes_may_be_bytes(tmp_path: Path) -> None:
    """Names of a fixed length are read as UTF-8, as NumPy writes them."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.update(imgs=np.zeros((2, 8, 8), np.uint8), labels=[0, 1], class_names=np.array(["é".encode(), b"\xff"]))
    assert Hdf5(Hdf5.Options(path=tmp_path / "a.h5")).class_names == ("é", "\udcff")


def test_any_format_of_pictures_is_read_from_lmdb(tmp_path: Path) -> None:
    """Keys with the extension of a picture need no known first bytes, so a conversion keeps every format."""
    for end in ("tif", "jp2", "ppm", "tga", "webp"):
        (tmp_path / "pictures" / "cat").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(end), 200, 9)).save(tmp_path / "pictures" / "cat" / f"{end}.{end}")
    target = tmp_path / "packed.lmdb"
    convert(
        folder(tmp_path / "pictures"),
        target,
        Lmdb.formats[".lmdb"],
        lambda path: Lmdb(Lmdb.Options(path=path)),
        reencode=False,
    )
    assert len(opened(Lmdb(Lmdb.Options(path=target)))) == 5


def test_a_database_with_a_wrong_page_is_one_error(tmp_path: Path) -> None:
    """A root beyond the pages of the file is found before an image is read."""
    with lmdb.open(str(tmp_path), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
        writing.put(b"cat/1.jpg", b"\xff\xd8\xff")
    with (tmp_path / "data.mdb").open("r+b") as file:
        for meta in (0, 4096):
            file.seek(meta + 128)  # number of the root's page in each of the two headers
            file.write((1 << 20).to_bytes(8, "little"))
    with pytest.raises(DataError, match="is damaged"):
        Lmdb(Lmdb.Options(path=tmp_path)).open("train")


@pytest.mark.parametrize("cls", [Hdf5, Parquet])
def test_any_damage_is_contained(tmp_path: Path, cls: type[ImageDataset]) -> None:
    """If any bytes of a file change, its images are read or skipped, or one error names the problem."""
    file = tmp_path / "a"
    (put_hdf5 if cls is Hdf5 else put_parquet)(write_pictures(tmp_path / "pictures"), file)
    content, rng = file.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=3):
            damaged[position] = rng.integers(256)
        file.write_bytes(damaged)
        try:
            assert opened(cls(cls.Options(path=file))).images.shape[1:] == (3, 16, 16)
        except DataError as error:
            assert str(file) in error.message  # noqa: PT017 - either is right


def test_rows_that_a_file_does_not_have_are_not_counted(tmp_path: Path) -> None:
    """A number of rows beyond any file takes no memory, an empty split is named, and so is a pipe."""
    pq.write_table(pa.table({"image": [b"\xff\xd8\xff"] * 70_000}), tmp_path / "train-0.parquet")
    content = (tmp_path / "train-0.parquet").read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:-8].replace(b"\xe0\xc5\x08", b"\x80\x80\x80\x80\x40")  # 70,000 as a varint, and 2**33
    lying = content[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    (tmp_path / "train-0.parquet").write_bytes(lying)
    with pytest.raises(DataError, match="claims 8,589,934,592 rows; the limit is 16,777,216"):
        Parquet(Parquet.Options(path=tmp_path)).open("train")
    (tmp_path / "train-0.parquet").write_bytes(content)
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "test-0.parquet")
    with pytest.raises(DataError, match="has no rows for testing") as raised:
        Parquet(Parquet.Options(path=tmp_path)).open("train")
    assert raised.value.fix == "add rows or remove the empty file"
    (tmp_path / "test-0.parquet").unlink()
    os.mkfifo(tmp_path / "test-0.parquet")
    with pytest.raises(DataError, match=r"test-0\.parquet is not a regular file"):
        Parquet(Parquet.Options(path=tmp_path)).open("train")


def test_values_that_are_not_bytes_are_skipped(tmp_path: Path) -> None:
    """A number in a column of images is not the length of an image of zeros."""
    pq.write_table(pa.table({"image": [1 << 40, 3]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="its row holds no bytes of an image"):
        Parquet(Parquet.Options(path=tmp_path / "a.parquet")).open("train")


def test_wrong_databases_are_named(tmp_path: Path) -> None:
    """Other files, databases without images, and those of several resolutions are one error each."""
    (tmp_path / "a.lmdb").write_bytes(b"nothing" * 1000)
    with pytest.raises(DataError, match="not an LMDB database"):
        Lmdb(Lmdb.Options(path=tmp_path / "a.lmdb")).open("train")
    for name, entries, words in (
        ("b", {b"length": b"1"}, "holds no images, but 1 other values"),
        ("c", {b"8-00000": b"\xff\xd8\xff", b"16-00000": b"\xff\xd8\xff"}, "each image at several sizes: 8, 16"),
    ):
        with lmdb.open(str(tmp_path / name), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
            for key, value in entries.items():
                writing.put(key, value)
        with pytest.raises(DataError, match=words):
            Lmdb(Lmdb.Options(path=tmp_path / name)).open("train")


def test_wrong_files_are_named(tmp_path: Path) -> None:
    """Damaged files, missing arrays and columns, and labels that are not classes are one error each."""
    for cls, words in ((Hdf5, "is not an HDF5 file"), (Parquet, "is not a whole Parquet file")):
        (tmp_path / "a").write_bytes(b"nothing")
        with pytest.raises(DataError, match=words):
            cls(cls.Options(path=tmp_path / "a")).open("train")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["pictures"] = np.zeros((2, 5, 6), np.uint8)
    with pytest.raises(DataError, match="has no images; its arrays are pictures"):
        Hdf5(Hdf5.Options(path=tmp_path / "b.h5")).open("train")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"0 columns of .* hold images; there are text"):
        Parquet(Parquet.Options(path=tmp_path / "c.parquet")).open("train")
    pq.write_table(pa.table({"image": [b"x", b"y"], "label": [0, None]}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"row 1 of train in .* has the label None"):
        Parquet(Parquet.Options(path=tmp_path / "d.parquet")).open("train")


def test_data_command_knows_the_extensions(tmp_path: Path) -> None:
    """`ganforge data` chooses the dataset by the extension of a path."""
    root = write_pictures(tmp_path / "pictures")
    for extension in ("lmdb", "h5", "parquet"):
        target = tmp_path / f"packed.{extension}"
        assert f"--data.path {target}" in run("data", "convert", str(root), str(target))
        assert f"packed.{extension}: 12 pictures (train 12)" in run("data", "info", str(target))
