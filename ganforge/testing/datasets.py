"""Checks of datasets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Dataset, ImageTensors, Split
from ganforge.data.checks import check_split, describe
from ganforge.data.reader import Reader
from ganforge.errors import DataError
from ganforge.testing.checks import Check, CheckFailed, register_check, require, skip
from ganforge.testing.fixture import Fixture
from ganforge.utils.images import normalize

CHECKS: list[Check] = []
DECLARED = "images-as-declared"
#: Images that are read of a map-style dataset; reading all of a large one would take hours.
MAX_READ = 16
PICTURE_CHANNELS = {1, 3}


@dataclass(frozen=True, slots=True)
class _Opened:
    """Opened split: its tensors, or the first few of a map-style dataset, and its size."""

    tensors: ImageTensors
    size: int


def _dataset(fixture: Fixture) -> Dataset:
    """Return the dataset, built once for all checks."""
    if "dataset" not in fixture.kept:
        fixture.kept["dataset"] = fixture.make()
    dataset: Dataset = fixture.kept["dataset"]
    return dataset


def _opened(fixture: Fixture, split: Split) -> _Opened:
    """Return a split, opened once for all checks."""
    if split not in fixture.kept:
        fixture.kept[split] = _open(_dataset(fixture), split)
    opened: _Opened = fixture.kept[split]
    return opened


def _open(dataset: Dataset, split: Split) -> _Opened:
    """Return a split, and check it as the engine does."""
    opened, image, source = dataset.open(split), dataset.info.image, f"open({split!r})"
    try:
        if isinstance(opened, ImageTensors):
            check_split(opened, image, source)
            return _Opened(opened, len(opened))
        size = len(opened)  # type: ignore[arg-type]  # map-style datasets have a length; torch does not type it
        reader = Reader(opened, image=image, source=source, seed=0)
        return _Opened(reader.read(range(min(MAX_READ, size)), "check"), size)
    except DataError as error:
        raise CheckFailed(error.message) from None


def _named(tensors: ImageTensors) -> Mapping[str, Tensor]:
    """Return all tensors of a split by name."""
    condition = {} if tensors.condition is None else {"condition": tensors.condition}
    return {"images": tensors.images, **condition, **{f"extra {name!r}": v for name, v in tensors.extras.items()}}


@register_check(
    CHECKS, DECLARED, "dataset", fix="return uint8 or float32 images and conditions of the types that info declares"
)
def _images_as_declared(fixture: Fixture) -> None:
    """Every split has images, `(N, C, H, W)` uint8 from 0 to 255 or finite float32, and conditions, as info declares.

    They are not blank.
    """
    for split in _dataset(fixture).splits:
        images = _opened(fixture, split).tensors.images
        low, high = float(images.min()), float(images.max())
        if images.dtype == torch.uint8:
            require(high > 1, f"open({split!r}) returns images of 0 and 1 alone; uint8 images go up to 255")
        require(high > low, f"open({split!r}) returns blank images")


@register_check(
    CHECKS,
    "class-names",
    "dataset",
    fix="return one name per class from class_names",
    needs=(DECLARED,),
)
def _class_names(fixture: Fixture) -> None:
    """There are as many class names as classes, all different, or none."""
    info = _dataset(fixture).info
    names, classes = info.class_names, info.image.num_classes
    if names is None:
        skip("it has no class names")
    require(classes is not None, f"it has {len(names)} class names, but info.image declares no classes")
    require(len(names) == classes, f"it has {len(names)} class names, but info.image declares {classes} classes")
    require(len(set(names)) == len(names), "two classes have the same name")


@register_check(
    CHECKS,
    "extras-agree",
    "dataset",
    fix="return extras of the same names, types and shapes for every image of every split",
    needs=(DECLARED,),
)
def _extras_agree(fixture: Fixture) -> None:
    """Extras are tensors with the batch first, of the same names, types and shapes in every split."""
    dataset, first = _dataset(fixture), _opened(fixture, "train").tensors.extras
    if not any(_opened(fixture, split).tensors.extras for split in dataset.splits):
        skip("it has no extras")
    for split in dataset.splits:
        tensors = _opened(fixture, split).tensors
        names = ", ".join(tensors.extras) or "none"
        require(
            tensors.extras.keys() == first.keys(), f"the extras of {split} are {names}; of train {', '.join(first)}"
        )
        for name, values in tensors.extras.items():
            require(
                isinstance(values, Tensor), f"extra {name!r} of {split} is {describe(values)}; a tensor is required"
            )
            same = values.dtype == first[name].dtype and values.shape[1:] == first[name].shape[1:]
            require(same, f"extra {name!r} of {split} is {describe(values)}; that of train {describe(first[name])}")


@register_check(
    CHECKS, "sizes-as-declared", "dataset", fix="declare the number of images that open returns", needs=(DECLARED,)
)
def _sizes_as_declared(fixture: Fixture) -> None:
    """Each split has as many images as info declares, and there is a train split."""
    dataset = _dataset(fixture)
    sizes = dataset.info.sizes
    require("train" in sizes, "info declares no train split")
    require(set(sizes) == set(dataset.splits), f"info declares {', '.join(sizes)}; splits are {dataset.splits}")
    for split in dataset.splits:
        size = _opened(fixture, split).size
        require(size == sizes[split], f"the {split} split has {size} images; info declares {sizes[split]}")


@register_check(
    CHECKS,
    "same-images-twice",
    "dataset",
    fix="sort lists of files, and do not shuffle: the engine does",
    needs=(DECLARED,),
)
def _same_images_twice(fixture: Fixture) -> None:
    """Opened twice, and built twice, it has the same images, conditions and extras in order, and one fingerprint."""
    dataset, other = _dataset(fixture), fixture.make()
    for split in dataset.splits:
        expected = _named(_open(dataset, split).tensors)
        for action, again in (("opened", _open(dataset, split)), ("built", _open(other, split))):
            for name, values in _named(again.tensors).items():
                same = name in expected and torch.equal(values, expected[name])
                require(same, f"the {name} of the {split} split differ, or their order, when it is {action} twice")
    require(dataset.info.fingerprint == other.info.fingerprint, "its fingerprint differs when it is built twice")
    require(dataset.info.fingerprint, "its fingerprint is empty; a resumed run could not detect other data")


@register_check(
    CHECKS,
    "resolved-options",
    "dataset",
    fix="return options from resolved() that lead to the same images",
    needs=(DECLARED,),
)
def _resolved_options(fixture: Fixture) -> None:
    """The options that it writes into run.toml lead to the same images."""
    dataset = _dataset(fixture)
    again = replace(fixture, options=dataset.resolved(), kept={})
    require(_dataset(again).info.fingerprint == dataset.info.fingerprint, "resolved() returns options for other images")


@register_check(
    CHECKS,
    "pickles",
    "dataset",
    fix="open files in __getitem__, not in __init__, and keep no lambdas",
    needs=(DECLARED,),
)
def _pickles(fixture: Fixture) -> None:
    """A map-style dataset can be sent to a worker that is spawned."""
    items = _dataset(fixture).open("train")
    if isinstance(items, ImageTensors):
        skip("it is in memory; no worker reads it")
    if fixture.entry.source.path is not None:
        skip("a spawned worker cannot import a local plugin; install it for that")
    image, again = items[0][0], pickle.loads(pickle.dumps(items))[0][0]  # noqa: S301 - pickled a moment ago
    require(torch.equal(image, again), "its images differ after pickling")


@register_check(
    CHECKS,
    "pictures",
    "dataset",
    fix="return (N, 1 or 3, H, W) uint8 from to_pixels, and (1 or 3, H, W) uint8 or None from render",
    needs=(DECLARED,),
)
def _pictures(fixture: Fixture) -> None:
    """to_pixels makes one uint8 picture of each image, real or not; render makes one of all, or returns None.

    Both give the same for the same images, and leave these unchanged.
    """
    dataset = _dataset(fixture)
    real = normalize(_opened(fixture, "train").tensors.images[:MAX_READ])
    channels = PICTURE_CHANNELS if type(dataset).to_pixels is not Dataset.to_pixels else {dataset.info.image.channels}
    for images in (real, real[:1], 2 * torch.randn(real.shape, generator=fixture.rng())):
        before = images.clone()
        pictures, picture = dataset.to_pixels(images), dataset.render(images)
        _check_picture("to_pixels", pictures, (len(images),), channels)
        require(torch.equal(dataset.to_pixels(images), pictures), "to_pixels makes other pictures of the same images")
        if picture is not None:
            _check_picture("render", picture, (), PICTURE_CHANNELS)
        require(torch.equal(images, before), "to_pixels or render changes the images in place")


def _check_picture(method: str, picture: Any, batch: tuple[int, ...], channels: set[int]) -> None:  # noqa: ANN401
    """Raise CheckFailed unless a method returned uint8 pictures: `batch`, channels, height and width."""
    valid = isinstance(picture, Tensor) and picture.dtype == torch.uint8 and picture.ndim == len(batch) + len("CHW")
    valid = valid and tuple(picture.shape[:-3]) == batch and picture.shape[-3] in channels and picture.numel() > 0
    expected = (*batch, " or ".join(map(str, sorted(channels))), "H", "W")
    require(valid, f"{method} returns {describe(picture)}; uint8 ({', '.join(map(str, expected))}) is required")
