"""Laws of `huggingface`: the same images from every kind of file, detected columns, damage named."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from datasets_parts import SIZES, noise, put_parquet, put_pictures, put_saved, table
from ganforge_datasets.huggingface import HuggingFace
from ganforge_datasets.rows import Rows
from PIL import Image

from ganforge.components import ConditionSpec, ImageSpec, ImageTensors, Split, check_images
from ganforge.errors import DataError

Column = list[Any]


def images(path: Path | str, **options: object) -> HuggingFace:
    """Return the dataset, built from options as by the engine."""
    return HuggingFace(HuggingFace.Options.model_validate({"path": str(path), **options}))


def in_memory(data: HuggingFace, split: Split = "train") -> ImageTensors:
    """Return a split that is in memory."""
    opened = data.open(split)
    assert isinstance(opened, ImageTensors)
    return opened


def rows(data: HuggingFace, split: Split = "train") -> Rows:
    """Return a split that is read row by row."""
    opened = data.open(split)
    assert isinstance(opened, Rows)
    return opened


def parquet(path: Path, **columns: Column) -> Path:
    """Write a parquet file with these columns, as the library types them by itself, and return it."""
    datasets.Dataset.from_dict(columns).to_parquet(str(path))
    return path


def pictures(count: int, *shape: int) -> list[Image.Image]:
    """Return pictures of noise."""
    return [Image.fromarray(noise(*shape, seed=seed)) for seed in range(count)]


@pytest.mark.parametrize("put", [put_parquet, put_saved, put_pictures])
def test_every_kind_of_file_gives_the_same_images(tmp_path: Path, put: Any) -> None:
    """Parquet files, folders of save_to_disk and folders of pictures return the pixels and labels put in."""
    data = images(put(tmp_path / "data"))
    for split in data.splits:
        loaded = in_memory(data, split)
        check_images(loaded, split)
        expected = {row["image"].tobytes(): row["label"] for row in table(split)}
        assert len(expected) == len(loaded) == SIZES[split]
        assert loaded.condition is not None
        for pixels, label in zip(loaded.images, loaded.condition, strict=True):
            assert expected[pixels.permute(1, 2, 0).numpy().tobytes()] == label
    assert data.info.class_names == ("cat", "dog")
    assert data.info.sizes == SIZES
    assert data.source == f"rows of {tmp_path}/data: 30 for training, 20 for testing"


def test_streamed_rows_equal_those_in_memory(tmp_path: Path) -> None:
    """Images beyond the limit are read row by row, with the same bits and classes."""
    put_parquet(tmp_path / "data")
    loaded = in_memory(images(tmp_path / "data"))
    streamed = images(tmp_path / "data", max_memory_gigabytes=30 * 768 / 1e9)
    assert loaded.condition is not None
    for split in streamed.splits:
        assert len(rows(streamed, split)) == streamed.info.sizes[split] == SIZES[split]
    for index in range(30):
        pixels, label = rows(streamed)[index]
        assert torch.equal(pixels, loaded.images[index])
        assert label == loaded.condition[index]
    assert streamed.info.image == images(tmp_path / "data").info.image == ImageSpec(3, 16, 16, ConditionSpec.classes(2))
    assert len(in_memory(images(tmp_path / "data", max_memory_gigabytes=50 * 768 / 1e9))) == 30


def test_the_fingerprint_of_streamed_rows_changes_with_the_images(tmp_path: Path) -> None:
    """Other pictures, classes or shapes change it; another kind of file and another place do not."""
    prints = {
        name: images(tmp_path / name, max_memory_gigabytes=0, **options).info.fingerprint
        for name, options in (
            (put_parquet(tmp_path / "a").name, {}),
            (put_saved(tmp_path / "b").name, {}),
            (shutil.copytree(tmp_path / "a", tmp_path / "c").name, {"size": 8}),
            (shutil.copytree(tmp_path / "a", tmp_path / "d").name, {"label": None}),
            (shutil.copytree(tmp_path / "a", tmp_path / "e").name, {"train": "test"}),
            (put_pictures(tmp_path / "f").name, {}),
        )
    }
    assert prints["a"] == prints["b"]
    assert len(set(prints.values())) == 5
    victim = next((tmp_path / "f" / "train").rglob("*.png"))
    Image.new("RGB", (16, 16)).save(victim)
    assert images(tmp_path / "f", max_memory_gigabytes=0).info.fingerprint != prints["f"]


def test_an_edit_of_the_same_length_changes_the_fingerprint_of_streamed_rows(tmp_path: Path) -> None:
    """Pixels that differ at the top of a picture change its end, within a table and in a file."""
    prints = set()
    for value in (0, 9):
        picture = Image.fromarray(noise(40, 40, 3))
        picture.putpixel((0, 0), (value, 0, 0))
        root = tmp_path / str(value)
        (root / "train").mkdir(parents=True)
        picture.save(root / "train" / "1.png", compress_level=0)
        content = (root / "train" / "1.png").read_bytes()
        file = parquet(root / "a.parquet", image=[{"bytes": content, "path": None}])
        prints |= {images(path, max_memory_gigabytes=0).info.fingerprint for path in (root / "train", file)}
    assert len(prints) == 4


def test_resolved_names_folder_columns_and_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolved options hold folder, columns, splits and channels, valid in every working folder."""
    put_parquet(tmp_path / "data")
    (tmp_path / "data" / "test-00000-of-00001.parquet").rename(tmp_path / "data" / "validation.parquet")
    monkeypatch.chdir(tmp_path)
    found = images("data").resolved()
    assert found.path == str(tmp_path / "data")
    assert (found.image, found.label, found.train, found.test) == ("image", "label", "train", "validation")
    assert found.channels == 3
    assert HuggingFace(found).info.fingerprint == images("data").info.fingerprint
    alone = images("data", test=None)
    assert (alone.splits, alone.resolved().test) == (("train",), None)


def test_labels_may_be_numbers_or_words(tmp_path: Path) -> None:
    """A column without names has a class for each value that occurs; `none` reads no classes."""
    for values, names in (([7, 3, 7, 5], ("3", "5", "7")), (["b", "a", "b", "b"], ("a", "b"))):
        path = parquet(tmp_path / f"{len(names)}.parquet", photo=pictures(4, 8, 8), label=values)
        data = images(path, image="photo")
        loaded = in_memory(data)
        assert loaded.condition is not None
        assert data.class_names == names
        assert [names[label] for label in loaded.condition] == list(map(str, values))
        without = images(path, label="none")
        assert without.info.class_names is None
        assert in_memory(without).condition is None


def test_pictures_of_every_kind_become_eight_bits(tmp_path: Path) -> None:
    """16-bit gray is scaled, transparency lies on white, palettes and gray become RGB if some pictures have colors."""
    sixteen = Image.fromarray(np.array([[0, 257, 65535, 32896]], dtype=np.uint16))
    clear = Image.fromarray(np.array([[[10, 20, 30, 255], [10, 20, 30, 0]] * 2], dtype=np.uint8), "RGBA")
    palette = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]] * 2], dtype=np.uint8)).quantize(2)
    data = images(parquet(tmp_path / "some.parquet", image=[sixteen, clear, palette]))
    pixels = in_memory(data).images
    assert pixels.shape == (3, 3, 1, 4)
    assert pixels[0, :, 0].tolist() == [[0, 1, 255, 128]] * 3
    assert pixels[1, :, 0, :2].T.tolist() == [[10, 20, 30], [255, 255, 255]]
    assert pixels[2, :, 0, :2].T.tolist() == [[255, 0, 0], [0, 0, 255]]
    gray = images(parquet(tmp_path / "gray.parquet", image=[sixteen, sixteen]))
    assert gray.info.image.channels == 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white", [0, 65535])
def test_16_bit_tiffs_are_black_where_their_header_says(order: str, white: int, tmp_path: Path) -> None:
    """The value of white is in the header, and so is the order of the bytes."""
    values = np.array([[0, 257, 65535, 32896]], dtype=f"{order}u2")
    entries = {256: 4, 257: 1, 258: 16, 259: 1, 262: int(white > 0), 273: 8, 277: 1, 278: 1, 279: 8}
    header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 16)
    table = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in entries.items())
    content = header + values.tobytes() + struct.pack(f"{order}H", len(entries)) + table + bytes(4)
    (tmp_path / "train").mkdir()
    for name in ("a.tif", "b.tif"):
        (tmp_path / "train" / name).write_bytes(content)
    expected = [0, 1, 255, 128] if white else [255, 254, 0, 127]
    assert in_memory(images(tmp_path)).images[:, 0, 0].tolist() == [expected, expected]


def test_image_size_and_channels_options(tmp_path: Path) -> None:
    """A size crops the longer side around its center; without one, an error names the row that differs."""
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = (255, 0, 0)
    path = parquet(tmp_path / "wide.parquet", image=[Image.fromarray(wide), *pictures(1, 8, 8, 3)])
    first = in_memory(images(path, size=4)).images[0]
    assert first.shape == (3, 4, 4)
    assert first[0, :, 1:3].eq(255).all()
    assert not first[1:].any()
    assert in_memory(images(path, size=4, channels=1)).images[0].shape == (1, 4, 4)
    with pytest.raises(DataError, match=r"row 1 of 'train' in .* has 8×8 pixels; the first has 24×8") as raised:
        images(path).open("train")
    assert "--data.size" in str(raised.value.fix)


def test_a_guess_that_was_wrong_is_an_error(tmp_path: Path) -> None:
    """Colors after many gray pictures are an error, not made gray in silence."""
    path = parquet(tmp_path / "mixed.parquet", image=[*pictures(70, 4, 4), *pictures(1, 4, 4, 3)])
    with pytest.raises(DataError, match=r"row 70 .* has colors") as raised:
        images(path).open("train")
    assert "--data.channels 3" in str(raised.value.fix)
    assert images(path, channels=1).info.sizes == {"train": 71}


def test_missing_and_ambiguous_columns_are_errors_with_a_fix(tmp_path: Path) -> None:
    """Messages name missing and ambiguous columns and splits, invalid labels, and the option that helps."""
    one, two = pictures(2, 4, 4), pictures(2, 4, 4)
    named = datasets.ClassLabel(names=["a", "b"])
    both = datasets.Dataset.from_dict({"image": one, "fine": [0, 1], "coarse": [1, 0]})
    both = both.cast_column("fine", named).cast_column("coarse", named)
    both.to_parquet(str(tmp_path / "both.parquet"))
    cases: list[tuple[Path, dict[str, object], str, str]] = [
        (parquet(tmp_path / "a.parquet", left=one, right=two), {}, "2 columns hold images", "--data.image"),
        (parquet(tmp_path / "b.parquet", text=["x", "y"]), {}, "0 columns hold images; there are text", "--data.image"),
        (parquet(tmp_path / "c.parquet", image=one), {"label": "kind"}, "no column 'kind'", "--data.label"),
        (parquet(tmp_path / "d.parquet", image=one), {"train": "all"}, "no split 'all'; it has train", "--data.train"),
        (parquet(tmp_path / "e.parquet", image=one), {"test": "dev"}, "no split 'dev'", "--data.test"),
        (tmp_path / "both.parquet", {}, "2 columns hold labels: fine, coarse", "--data.label"),
        (parquet(tmp_path / "f.parquet", image=one, label=[1, None]), {}, "row 1 .* not a class", "--data.label none"),
    ]
    for path, options, words, fix in cases:
        with pytest.raises(DataError, match=words) as raised:
            _ = images(path, **options).info
        assert fix in str(raised.value.fix)
    invalid: list[tuple[Path, dict[str, object], str]] = [
        (parquet(tmp_path / "g.parquet", image=one, label=[0.5, 1.5]), {}, "holds float; labels are integers"),
        (parquet(tmp_path / "h.parquet", image=one, size=[1, 2]), {"image": "size"}, "'size' holds .* not images"),
        (parquet(tmp_path / "i.parquet", image=[one[0], None]), {}, "row 1 of .* holds no picture"),
    ]
    for path, options, words in invalid:
        with pytest.raises(DataError, match=words):
            _ = images(path, **options).info


def test_damage_is_named(tmp_path: Path) -> None:
    """A file that is cut short, a picture that cannot be decoded and a missing path are named."""
    for folder, name in (
        (put_parquet(tmp_path / "parquet"), "train-00000-of-00001.parquet"),
        (put_saved(tmp_path / "saved"), "train/data-00000-of-00001.arrow"),
        (put_saved(tmp_path / "state"), "train/state.json"),
    ):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 3])
        with pytest.raises(DataError, match="is damaged") as raised:
            images(folder).open("train")
        assert str(folder / name) in raised.value.message
    broken = {"bytes": b"\x89PNG\r\n\x1a\n broken", "path": None}
    table_of_one = datasets.Dataset.from_dict(
        {"image": [broken]}, features=datasets.Features({"image": datasets.Image()})
    )
    table_of_one.to_parquet(str(tmp_path / "broken.parquet"))
    with pytest.raises(DataError, match=r"row 0 of 'train' in .* cannot be read"):
        _ = images(tmp_path / "broken.parquet").info
    damaged = next((put_pictures(tmp_path / "pictures") / "train" / "cat").iterdir())
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DataError, match=r"row \d+ of 'train' in .* cannot be read") as raised:
        images(tmp_path / "pictures").open("train")
    assert f"({damaged})" in raised.value.message
    assert "remove it" in str(raised.value.fix)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be loaded by the datasets library"):
        _ = images(tmp_path / "empty").info
    for path in (tmp_path / "missing", "missing.parquet", "a/b/c"):
        with pytest.raises(DataError, match="no folder or file") as raised:
            _ = images(path).info
        assert raised.value.fix


def test_local_files_open_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local files are loaded without a connection, even if one is allowed."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.delenv("GANFORGE_OFFLINE")
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, forbidden)
    for folder in (put_parquet(tmp_path / "a"), put_saved(tmp_path / "b"), put_pictures(tmp_path / "c")):
        assert images(folder).info.sizes == SIZES
    assert images(tmp_path / "a" / "train-00000-of-00001.parquet").info.sizes == {"train": 30}


def test_it_trains_on_streamed_rows(tmp_path: Path) -> None:
    """A short run on the command line reads parquet files in a worker."""
    put_parquet(tmp_path / "data")
    flags = ("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[16]", "--disc.hidden", "[16]", "--batch-size", "8")
    data = ("--data", "huggingface", "--data.path", "data", "--data.max_memory_gigabytes", "0", "--workers", "1")
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", "run", *flags, *data, "--steps", "3", "--precision", "fp32", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
