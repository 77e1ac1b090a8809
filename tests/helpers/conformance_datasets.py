"""Good datasets, and mutants for each of their checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.components import ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors
from ganforge.testing.stubs import StubDataset
from tests.helpers.conformance import ANY_TRAINING, MUTANTS, Mutant, good, mutant, variant

good("dataset", "stub")(StubDataset)


@good("dataset", "plain")
class Squares(Dataset):
    """Twenty squares of light, with three classes."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return ("a", "b", "c")

    def open(self, split: Any) -> Any:
        images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
        for number in range(20):
            images[number, :, number % 5 : number % 5 + 3, 2:6] = 200 + number
        return ImageTensors(images, torch.arange(20) % 3)


class Unnamed(Squares):
    """Squares without class names."""

    class_names = None


@good("dataset", "pairs")
class Pairs(Unnamed):
    """Squares with the same picture, mirrored, as condition, and extras of three types for terms."""

    def open(self, split: Any) -> Any:
        images = super().open(split).images
        extras = {"mask": torch.ones(20, 1, 8, 8), "edges": images // 2, "number": torch.arange(20)}
        return ImageTensors(images, images.flip(3), extras)


@good("dataset", "points")
class Points(Unnamed):
    """Points of a circle in the plane, 2×1×1, drawn as a scatter plot."""

    def open(self, split: Any) -> Any:
        angle = torch.arange(20) / 3
        return ImageTensors(3 * torch.stack([angle.cos(), angle.sin()], 1).view(20, 2, 1, 1))

    def render(self, images: Tensor) -> Tensor | None:
        picture = torch.zeros(1, 32, 32, dtype=torch.uint8)
        column, row = images.flatten(1).add(4).mul(4).long().clamp(0, 31).unbind(1)
        picture[0, row, column] = 255
        return picture


@good("dataset", "latents")
class Latents(Unnamed):
    """Latents of an autoencoder, 4×4×4 of any range, with named attributes, decoded to 3×8×8."""

    condition_names = ("smile", "age")

    def open(self, split: Any) -> Any:
        rng = torch.Generator().manual_seed(len(split))
        return ImageTensors(9 * torch.randn(20, 4, 4, 4, generator=rng), torch.rand(20, 2, generator=rng))

    def to_pixels(self, images: Tensor) -> Tensor:
        return super().to_pixels(images[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3) / 9)


class Items(TorchDataset[Any]):
    """Items of a dataset in memory, one by one; `change` spoils some of them."""

    def __init__(self, cls: type[Dataset], change: Callable[[int, Any], Any] | None = None) -> None:
        self.tensors: Any = cls(cls.Options()).open("train")
        self.change = change

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        one = self.tensors.select(torch.tensor([index]))
        assert one.condition is not None
        item = (one.images[0], one.condition[0], {name: values[0] for name, values in one.extras.items()})
        return item if self.change is None else self.change(index, item)


CLASSES = ImageSpec(1, 8, 8, ConditionSpec.classes(3))


@good("dataset", "stream")
class Stream(Squares):
    """Squares that are read one by one."""

    items: Any = staticmethod(lambda: Items(Squares))
    spec = CLASSES
    size = 20

    @property
    def splits(self) -> tuple[Any, ...]:
        return ("train",)

    @property
    def info(self) -> DatasetInfo:
        return DatasetInfo(self.spec, self.class_names, {"train": self.size}, "1234", "stream")

    def open(self, split: Any) -> Any:
        return self.items()


@good("dataset", "streamed-pairs")
class StreamedPairs(Stream):
    """Pairs that are read one by one."""

    class_names = None
    items = staticmethod(lambda: Items(Pairs))
    spec = ImageSpec(1, 8, 8, ConditionSpec.tensor((1, 8, 8)))


# Mutants


def changed(change: Callable[[ImageTensors], ImageTensors], base: type[Any] = Squares) -> dict[str, Any]:
    """Return an `open` that changes the good images."""
    return {"open": lambda self, split: change(base.open(self, split))}


def spoiled(base: type[Dataset], change: Callable[[Any], Any]) -> Any:
    """Return a function that builds map-style items whose item 3 is changed."""
    return staticmethod(lambda: Items(base, lambda index, item: change(item) if index == 3 else item))


def of_data(check: str, *neighbors: str, base: type[Any] = Squares, **members: Any) -> None:
    """Register a dataset with some members replaced as a mutant."""
    MUTANTS.append(Mutant("dataset", check, variant(base, **members), neighbors))


# Items and tensors of other types, shapes and conditions than declared
for cls, change in (
    (Squares, lambda tensors: ImageTensors(tensors.images.double(), tensors.condition)),
    (Squares, lambda tensors: ImageTensors(tensors.images // 200, tensors.condition)),
    (Squares, lambda tensors: ImageTensors(torch.full_like(tensors.images, 9), tensors.condition)),
    (Squares, lambda tensors: ImageTensors(tensors.images, tensors.condition.float() / 0)),
    (Points, lambda tensors: ImageTensors(tensors.images / 0)),
):
    of_data("images-as-declared", *ANY_TRAINING, base=cls, **changed(change, cls))
for streamed, spoil in (
    (Stream, lambda item: (item[0].float(), item[1])),
    (Stream, lambda item: (item[0], 3)),
    (Stream, lambda item: item[0]),
    (StreamedPairs, lambda item: (item[0], item[1].float(), item[2])),
    (StreamedPairs, lambda item: (item[0], item[1], {"mask": item[2]["mask"]})),
    (StreamedPairs, lambda item: (item[0], item[1], {**item[2], "mask": item[2]["mask"][:, :4]})),
):
    source = Pairs if streamed is StreamedPairs else Squares
    of_data("images-as-declared", *ANY_TRAINING, base=streamed, items=spoiled(source, spoil))

of_data("class-names", *ANY_TRAINING, base=Stream, class_names=property(lambda self: ("a", "b")))
of_data("class-names", class_names=property(lambda self: ("a", "b", "a")))
of_data("class-names", *ANY_TRAINING, base=Points, class_names=property(lambda self: ("a", "b")))


@mutant("dataset", "extras-agree", *ANY_TRAINING)
class OnlyInTraining(Pairs):
    """Has extras in the train split only."""

    def open(self, split: Any) -> Any:
        tensors = super().open(split)
        return tensors if split == "train" else ImageTensors(tensors.images, tensors.condition)


@mutant("dataset", "extras-agree", *ANY_TRAINING)
class OtherMasks(Pairs):
    """Has smaller masks in the test split."""

    def open(self, split: Any) -> Any:
        tensors = super().open(split)
        size = 8 if split == "train" else 4
        return ImageTensors(tensors.images, tensors.condition, {"mask": tensors.extras["mask"][..., :size]})


of_data("sizes-as-declared", *ANY_TRAINING, base=Stream, size=21)
of_data(
    "same-images-twice",
    "resolved-options",
    *ANY_TRAINING,
    **changed(lambda one: ImageTensors(one.images + torch.randint(0, 9, one.images.shape).byte(), one.condition)),
)


@mutant("dataset", "same-images-twice", *ANY_TRAINING)
class ShufflesWhenOpened(Stream):
    """Has another order each time that it is opened."""

    def open(self, split: Any) -> Any:
        return torch.utils.data.Subset(Items(Squares), torch.randperm(20).tolist())


@mutant("dataset", "same-images-twice", "resolved-options", *ANY_TRAINING)
class RandomExtras(Pairs):
    """Has other extras each time that it is opened."""

    def open(self, split: Any) -> Any:
        tensors = super().open(split)
        return ImageTensors(tensors.images, tensors.condition, {"noise": torch.rand(20)})


@mutant("dataset", "resolved-options", "resumes-exactly")
class ForgetsItsPlace(Squares):
    """Writes down options that lead to other images."""

    class Options(Dataset.Options):
        """Options of the dataset."""

        first: int = 0

    options: Options

    def open(self, split: Any) -> Any:
        tensors = super().open(split)
        return ImageTensors(tensors.images + self.options.first, tensors.condition)

    def resolved(self) -> Any:
        return self.options.model_copy(update={"first": 5})


class Unpicklable(Items):
    """Holds an object that cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__(Squares)
        self.handle = lambda: None


of_data("pickles", base=Stream, items=Unpicklable)


# Pictures


def darkened(images: Tensor) -> Tensor:
    """Return pictures, after changing the images in place."""
    return images.clamp_(-1, 0).add(1).mul(255).byte()


for to_pixels in (
    lambda self, images: images,
    lambda self, images: images.byte()[:, :, None],
    lambda self, images: torch.zeros(len(images), 2, 8, 8, dtype=torch.uint8),
    lambda self, images: torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    lambda self, images: torch.randint(0, 256, (len(images), 3, 8, 8)).byte(),
    lambda self, images: darkened(images),
):
    of_data("pictures", *ANY_TRAINING, to_pixels=to_pixels)
for render in (
    lambda self, images: torch.zeros(1, 8, 8),
    lambda self, images: torch.zeros(8, 8, dtype=torch.uint8),
    lambda self, images: images.zero_()[:1, 0].byte(),
):
    of_data("pictures", *ANY_TRAINING, base=Points, render=render)
