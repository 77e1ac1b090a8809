"""Metadata of datasets: shapes of images and of their conditions, classes, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ganforge.utils.text import printable


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """Condition of one image: a class, a vector of numbers, or a tensor such as another image.

    `ConditionSpec.classes(10)`, `ConditionSpec.vector(("smile", "age"))` and `ConditionSpec.tensor((1, 28, 28))` create
    one.

    Attributes:
        kind: `classes`: `(N,)` int64; `vector`: `(N, D)` float32; `tensor`: `(N, *shape)`.
        shape: Shape of one condition: `()` for classes, `(D,)` for vectors.
        num_classes: Number of classes, or None.
        names: Names of a vector's entries; may be empty.
        dtype: Type that the dataset stores: `int64`, `float32`, or `uint8` for images, which networks see as float32 in
            [-1, 1].
    """

    kind: Literal["classes", "vector", "tensor"]
    shape: tuple[int, ...] = ()
    num_classes: int | None = None
    names: tuple[str, ...] = ()
    dtype: Literal["int64", "float32", "uint8"] = "float32"

    @classmethod
    def classes(cls, num_classes: int) -> ConditionSpec:
        """Return the spec of class labels, `(N,)` int64, from 0 to `num_classes` - 1."""
        return cls("classes", (), num_classes, (), "int64")

    @classmethod
    def vector(cls, names: int | tuple[str, ...]) -> ConditionSpec:
        """Return the spec of vectors, `(N, D)` float32; `names` are their entries' names, or D."""
        if isinstance(names, int):
            return cls("vector", (names,))
        return cls("vector", (len(names),), None, tuple(names))

    @classmethod
    def tensor(cls, shape: tuple[int, ...], dtype: Literal["float32", "uint8"] = "uint8") -> ConditionSpec:
        """Return the spec of tensors, `(N, *shape)`; uint8 ones are images."""
        return cls("tensor", tuple(shape), None, (), dtype)

    @property
    def is_image(self) -> bool:
        """True if the condition is an image, `(C, H, W)` uint8."""
        return self.kind == "tensor" and self.dtype == "uint8" and len(self.shape) == len("CHW")

    def __str__(self) -> str:
        if self.kind == "classes":
            return f"{self.num_classes} classes"
        return f"{self.dtype} {'×'.join(map(str, self.shape))}"


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Shape of a dataset's images and their condition.

    Attributes:
        channels: C.
        height: H in pixels.
        width: W in pixels.
        condition: Condition of each image, or None.
        dtype: Type that the dataset stores: `uint8`, which networks see as float32 in [-1, 1], or `float32` of any
            range, which they see as stored.
    """

    channels: int
    height: int
    width: int
    condition: ConditionSpec | None = None
    dtype: Literal["uint8", "float32"] = "uint8"

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None for images without class labels."""
        return None if self.condition is None else self.condition.num_classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)`."""
        return (self.channels, self.height, self.width)

    @property
    def numel(self) -> int:
        """Numbers in one image."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}×{self.height}×{self.width}"


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Metadata of a dataset; names and source, which may stem from files, are made printable.

    Attributes:
        image: Shape, type and condition of the images.
        class_names: Names of the classes, in order, or None.
        sizes: Number of images per split.
        fingerprint: Text that changes when the training images change.
        name: Name for reports.
        source: Where the images come from, in one line.
    """

    image: ImageSpec
    class_names: tuple[str, ...] | None
    sizes: Mapping[str, int]
    fingerprint: str
    name: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        names = self.class_names
        object.__setattr__(self, "class_names", None if names is None else tuple(map(printable, names)))
        object.__setattr__(self, "source", printable(self.source))
