"""Helpers of the tests of image folders: real pictures, and short ways to read them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganforge.builtin.datasets.folder import Folder
from ganforge.components import ImageTensors, Split
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.image_files.streamed import StreamedImages
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory


def folder(path: Path, **options: Any) -> Folder:
    """Return the dataset, built from options as by the engine."""
    return Folder(Folder.Options.model_validate({"path": path, **options}))


def save(path: Path, image: Image.Image | int = 0, **options: Any) -> Path:
    """Write a picture, or 4×4 pixels of one gray, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (4, 4), image) if isinstance(image, int) else image
    picture.save(path, **options)
    return path


def in_memory(data: Folder, split: Split = "train") -> ImageTensors:
    """Return a split that is in memory."""
    opened = data.open(split)
    assert isinstance(opened, ImageTensors)
    return opened


def streamed(data: Folder, split: Split = "train") -> StreamedImages:
    """Return a split whose pictures are decoded when they are read."""
    opened = data.open(split)
    assert isinstance(opened, StreamedImages)
    return opened


def grays(data: Folder, split: Split = "train") -> list[int]:
    """Return the first pixel of each picture, which identifies it."""
    return [int(value) for value in in_memory(data, split).images[:, 0, 0, 0]]


def noise(mode: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Return a picture of random pixels."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(values if bands > 1 else values[:, :, 0]).convert(mode)


def pictures(root: Path) -> Path:
    """Write two classes of six color pictures each, of two shapes, and return their folder."""
    for index in range(12):
        picture = noise("RGB", (20 + index, 18)).rotate(30 * index)
        save(root / f"{'cat' if index % 2 else 'dog'}" / f"{index}.png", picture)
    return root


def run_on(root: Path, out: Path, registry: Registry, *settings: str) -> RunDirectory:
    """Train a few steps on the pictures, and return the run directory."""
    networks = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=5", "steps=6")
    data = ("data=folder", f"data.path={root}", "data.size=16", "precision=fp32", "device=cpu")
    evaluated = ("evaluate_every=3", "num_samples=10", "max_eval_time_fraction=1")
    layer = command_line_layer([*networks, *data, *evaluated, *settings])
    prepared = prepare(resolve([layer], registry), registry)
    assert launch.start_run(prepared, out=out, callback=Callback()).status == "finished"
    return RunDirectory(out)


def equal_pictures(root: Path) -> Path:
    """Write two classes, `cat` of five and `dog` of seven RGB pictures of 16×16 pixels, and return their folder."""
    rng = np.random.default_rng(3)
    for index in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        save(root / ("cat" if index < 5 else "dog") / f"{index:02}.png", Image.fromarray(pixels))
    return root


def pack_zip(root: Path, target: Path, *, top: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write all files of a folder into a zip archive, within a top folder if it has a name."""
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, Path(top) / path.relative_to(root))
    return target


def add_to_tar(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to a tar archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def pack_tar(root: Path, target: Path) -> Path:
    """Write all files of a folder into a tar archive."""
    with tarfile.open(target, "w") as archive:
        archive.add(root, ".")
    return target


def pack_shards(root: Path, target: Path) -> Path:
    """Write the pictures of class folders as two archives in WebDataset's layout, and return their folder."""
    target.mkdir()
    paths = sorted(root.rglob("*.png"))
    classes = sorted({path.parent.name for path in paths})
    for shard in range(2):
        with tarfile.open(target / f"{shard:06}.tar", "w") as archive:
            for index in range(shard * 6, shard * 6 + 6):
                add_to_tar(archive, f"{index:06}.cls", str(classes.index(paths[index].parent.name)).encode())
                add_to_tar(archive, f"{index:06}.png", paths[index].read_bytes())
                add_to_tar(archive, f"{index:06}.json", b"{}")
    return target


def style_folder(root: Path, target: Path, *, names: bool = True) -> Path:
    """Write the pictures of class folders in StyleGAN's layout, with dataset.json, and return the folder."""
    paths = sorted(root.rglob("*.png"))
    classes = sorted({path.parent.name for path in paths})
    labels = []
    for index, path in enumerate(paths):
        name = f"{index // 8:05}/img{index:08}.png"
        save(target / name, Image.open(path))
        labels.append([name, classes.index(path.parent.name)])
    document = {"labels": labels} | ({"class_names": classes} if names else {})
    (target / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    return target


def stacked(root: Path) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the pixels `(N, H, W, C)` and classes `(N,)` of class folders of equal pictures."""
    paths = sorted(root.rglob("*.png"))
    classes = sorted({path.parent.name for path in paths})
    labels = np.array([classes.index(path.parent.name) for path in paths])
    return np.stack([np.asarray(Image.open(path)) for path in paths]), labels
