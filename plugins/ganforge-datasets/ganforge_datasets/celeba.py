"""CelebA: faces, read during training."""

from __future__ import annotations

import hashlib
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision import datasets as torchvision
from torchvision.transforms.functional import pil_to_tensor

from ganforge import ConditionSpec, DatasetInfo, ImageSpec
from ganforge.errors import DataError
from ganforge.utils.files import error_reason
from ganforge_datasets.downloaded import Downloaded

#: Aligned faces are 178×218; papers crop the centered square (StarGAN: Choi et al. 2018, section 5.1).
WIDTH, HEIGHT = 178, 218
PICTURES = "img_align_celeba"

# fmt: off
Attribute = Literal[
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
]
# fmt: on


class CelebA(Downloaded):
    """Faces: images `(N, 3, size, size)`; 162,770 for training and 19,962 for testing.

    The central 178×178 pixels of the aligned pictures are resized to `size`. Without `attributes` there are no classes;
    k attributes give 2ᵏ classes, one for each combination.
    """

    title = "CelebA"
    megabytes = 1450
    folder = torchvision.CelebA.base_folder

    class Options(Downloaded.Options):
        """Location of the data, size of the images, and their classes."""

        size: PositiveInt = 64
        """Side in pixels to which the central square of 178 pixels is resized."""
        attributes: tuple[Attribute, ...] = Field(default=(), max_length=8)
        """Attributes that make the classes, such as ["Smiling", "Male"]: k attributes give 2ᵏ classes."""

        @field_validator("attributes", mode="before")
        @classmethod
        def _split(cls, value: object) -> object:
            """Split words at commas, as the command line gives them."""
            return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._tables: dict[str, torchvision.CelebA] = {}

    @property
    def checksums(self) -> dict[str, str | None]:
        """The tables, and the folder of pictures."""
        tables = {name: md5 for _, md5, name in torchvision.CelebA.file_list if name.endswith(".txt")}
        return {**tables, PICTURES: None}

    @property
    def addresses(self) -> tuple[str, ...]:
        """Address that torchvision downloads from, through the distribution gdown."""
        return ("https://drive.google.com",)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Combinations of the attributes, such as `Smiling, not Male`, or None."""
        if not self.options.attributes:
            return None
        return tuple(map(", ".join, product(*((f"not {name}", name) for name in self.options.attributes))))

    @cached_property
    def info(self) -> DatasetInfo:
        """Metadata; the pictures are not read."""
        size, names = self.options.size, self.class_names
        return DatasetInfo(
            image=ImageSpec(3, size, size, None if names is None else ConditionSpec.classes(len(names))),
            class_names=names,
            sizes={split: len(self._table(split).filename) for split in self.splits},
            fingerprint=self._fingerprint(),
            name=self.title,
            source=self.source,
        )

    def open(self, split: str) -> Faces:
        """Return the faces of a split, each decoded when it is read. Raises DataError."""
        table = self._table(split)
        return Faces(self.root / self.folder / PICTURES, table.filename, self._labels(table), self.options.size)

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root` with torchvision and gdown."""
        torchvision.CelebA(root, download=True)
        (root / cls.folder / f"{PICTURES}.zip").unlink()

    def _table(self, split: str) -> torchvision.CelebA:
        """Return file names and attributes of a split, `(N, 40)`; reading them takes seconds."""
        if split not in self._tables:
            with self.reading():
                self._tables[split] = torchvision.CelebA(self.root, split=split)
        return self._tables[split]

    def _labels(self, table: torchvision.CelebA) -> Tensor:
        """Return the class of each face, `(N,)`; the first attribute is the most significant bit."""
        labels = torch.zeros(len(table.filename), dtype=torch.int64)
        for name in self.options.attributes:
            labels = 2 * labels + table.attr[:, table.attr_names.index(name)]
        return labels

    def _fingerprint(self) -> str:
        """Return the SHA-256 of the names, classes and sizes in bytes of the training pictures, and of the options."""
        table, digest = self._table("train"), hashlib.sha256(f"{self.options.size}\0{self.class_names}\0".encode())
        folder = self.root / self.folder / PICTURES
        for name, label in zip(table.filename, self._labels(table).tolist(), strict=True):
            try:
                digest.update(f"{name} {label} {(folder / name).stat().st_size}\0".encode())
            except OSError as error:
                raise DataError(f"{folder / name} cannot be read: {error_reason(error)}", fix=self.renew) from error
        return digest.hexdigest()


class Faces(TorchDataset[tuple[Tensor, int]]):
    """Map-style dataset that decodes, crops and resizes a face when it is read.

    Args:
        folder: Folder of the pictures.
        names: Names of their files.
        labels: Classes, `(N,)`.
        size: Side in pixels.
    """

    def __init__(self, folder: Path, names: list[str], labels: Tensor, size: int) -> None:
        self._folder = folder
        self._names = names
        self._labels = labels
        self._size = size

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self._folder / self._names[index]
        try:
            with Image.open(path) as picture:
                return crop_and_resize(picture, self._size), int(self._labels[index])
        except Exception as error:  # damaged files make Pillow raise nearly any error
            raise DataError(
                f"{path} cannot be read: {error_reason(error)}", fix="replace it with the original"
            ) from error


def crop_and_resize(picture: Image.Image, size: int) -> Tensor:
    """Return the central square of an aligned face, resized (bilinear, antialiased), `(3, size, size)` uint8.

    Raises:
        ValueError: The picture has another size.
    """
    if picture.size != (WIDTH, HEIGHT):
        raise ValueError(f"it has {picture.width}×{picture.height} pixels; aligned faces have {WIDTH}×{HEIGHT}")
    top = (HEIGHT - WIDTH) // 2
    square = picture.convert("RGB").crop((0, top, WIDTH, top + WIDTH))
    pixels: Tensor = pil_to_tensor(square.resize((size, size), Image.Resampling.BILINEAR))
    return pixels
