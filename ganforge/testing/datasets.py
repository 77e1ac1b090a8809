"""Checks of datasets."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganforge.components import Dataset, ImageTensors, Split
from ganforge.data.reader import Reader, check_split, describe
from ganforge.testing.checks import Checks, require, skip, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.utils.images import normalize

checks = Checks("dataset", needs="images-as-declared")
#: Images that are read of a map-style dataset; reading all of a large one would take hours.
MAX_READ = 16
PICTURE_CHANNELS = {1, 3}


class _Opened(NamedTuple):
    """Opened split: its tensors, or the first few of a map-style dataset, and its size."""

    tensors: ImageTensors
    size: int


def _dataset(fixture: Fixture) -> Dataset:
    """Return the dataset, built once for all checks."""
    dataset: Dataset = fixture.once(Fixture.make)
    return dataset


def _splits(fixture: Fixture) -> dict[Split, _Opened]:
    """Return all splits, opened once for all checks."""
    return fixture.once(_open_own)


def _open_own(fixture: Fixture) -> dict[Split, _Opened]:
    return _open_all(_dataset(fixture))


def _open_all(dataset: Dataset) -> dict[Split, _Opened]:
    return {split: _open(dataset, split) for split in dataset.splits}


def _open(dataset: Dataset, split: Split) -> _Opened:
    """Return a split, and check it as the engine does."""
    opened, image, source = dataset.open(split), dataset.info.image, f"open({split!r})"
    if isinstance(opened, ImageTensors):
        check_split(opened, image, source)
        return _Opened(opened, len(opened))
    size = len(opened)  # type: ignore[arg-type]  # map-style datasets have a length; torch does not type it
    reader = Reader(opened, image=image, source=source, seed=0)
    return _Opened(reader.read(range(min(MAX_READ, size)), "check"), size)


def _named(tensors: ImageTensors) -> dict[str, Tensor]:
    """Return all tensors of a split by name."""
    condition = {} if tensors.condition is None else {"condition": tensors.condition}
    return {"images": tensors.images, **condition, **{f"extra {name!r}": v for name, v in tensors.extras.items()}}


@checks.add("return uint8 or float32 images and conditions of the types that info declares", needs="builds")
def images_as_declared(fixture: Fixture) -> None:
    """Every split has images, `(N, C, H, W)` uint8 from 0 to 255 or finite float32, and conditions, as info declares.

    They are not blank.
    """
    for split, opened in _splits(fixture).items():
        low, high = float(opened.tensors.images.min()), float(opened.tensors.images.max())
        if opened.tensors.images.dtype == torch.uint8:
            require(high > 1, f"open({split!r}) returns images of 0 and 1 alone; uint8 images go up to 255")
        require(high > low, f"open({split!r}) returns blank images")


@checks.add("return one name per class from class_names")
def class_names(fixture: Fixture) -> None:
    """There are as many class names as classes, all different, or none."""
    info = _dataset(fixture).info
    names, classes = info.class_names, info.image.num_classes
    if names is None:
        skip("it has no class names")
    declared = "no classes" if classes is None else f"{classes} classes"
    require(len(names) == classes, f"it has {len(names)} class names, but info.image declares {declared}")
    require(len(set(names)) == len(names), "two classes have the same name")


@checks.add("return extras of the same names, types and shapes for every image of every split")
def extras_agree(fixture: Fixture) -> None:
    """Extras are tensors with the batch first, of the same names, types and shapes in every split."""
    extras = {split: opened.tensors.extras for split, opened in _splits(fixture).items()}
    if not any(extras.values()):
        skip("it has no extras")
    first = extras["train"]
    for split, tensors in extras.items():
        names = ", ".join(tensors) or "none"
        require(tensors.keys() == first.keys(), f"the extras of {split} are {names}; of train {', '.join(first)}")
        for name, values in tensors.items():
            subject = f"extra {name!r} of {split} is {describe(values)}"
            require(isinstance(values, Tensor), f"{subject}; a tensor is required")
            same = values.dtype == first[name].dtype and values.shape[1:] == first[name].shape[1:]
            require(same, f"{subject}; that of train {describe(first[name])}")


@checks.add("declare the number of images that open returns")
def sizes_as_declared(fixture: Fixture) -> None:
    """Each split has as many images as info declares, and there is a train split."""
    dataset = _dataset(fixture)
    sizes = dataset.info.sizes
    require("train" in sizes, "info declares no train split")
    require(set(sizes) == set(dataset.splits), f"info declares {', '.join(sizes)}; splits are {dataset.splits}")
    for split, opened in _splits(fixture).items():
        require(
            opened.size == sizes[split], f"the {split} split has {opened.size} images; info declares {sizes[split]}"
        )


@checks.add("sort lists of files, and do not shuffle: the engine does")
def same_images_twice(fixture: Fixture) -> None:
    """Opened twice, and built twice, it has the same images, conditions and extras in order, and one fingerprint."""
    dataset, other = _dataset(fixture), fixture.make()
    first = _open_all(dataset)
    for action, again in (("opened", _open_all(dataset)), ("built", _open_all(other))):
        for split, opened in again.items():
            expected = _named(first[split].tensors)
            for name, values in _named(opened.tensors).items():
                same = name in expected and torch.equal(values, expected[name])
                require(same, f"the {name} of the {split} split differ, or their order, when it is {action} twice")
    require(dataset.info.fingerprint == other.info.fingerprint, "its fingerprint differs when it is built twice")
    require(dataset.info.fingerprint, "its fingerprint is empty; a resumed run could not detect other data")


@checks.add("return options from resolved() that lead to the same images")
def resolved_options(fixture: Fixture) -> None:
    """The options that it writes into run.toml lead to the same images."""
    dataset = _dataset(fixture)
    again = replace(fixture, options=dataset.resolved(), kept={}).make()
    require(again.info.fingerprint == dataset.info.fingerprint, "resolved() returns options for other images")


@checks.add("open files in __getitem__, not in __init__, and keep no lambdas")
def pickles(fixture: Fixture) -> None:
    """A map-style dataset can be sent to a worker that is spawned."""
    items = _dataset(fixture).open("train")
    if isinstance(items, ImageTensors):
        skip("it is in memory; no worker reads it")
    if fixture.entry.source.path is not None:
        skip("a spawned worker cannot import a local plugin; install it for that")
    image, again = items[0][0], pickle.loads(pickle.dumps(items))[0][0]  # noqa: S301 - pickled a moment ago
    require(torch.equal(image, again), "its images differ after pickling")


@checks.add("return (N, 1 or 3, H, W) uint8 from to_pixels, and (1 or 3, H, W) uint8 or None from render")
def pictures(fixture: Fixture) -> None:
    """to_pixels makes one uint8 picture of each image, real or not; render makes one of all, or returns None.

    Both give the same for the same images, and leave these unchanged.
    """
    dataset = _dataset(fixture)
    real = normalize(_splits(fixture)["train"].tensors.images[:MAX_READ])
    channels = PICTURE_CHANNELS if type(dataset).to_pixels is not Dataset.to_pixels else {dataset.info.image.channels}
    for images in (real, real[:1], 2 * torch.randn(real.shape, generator=fixture.rng())):
        with unchanged({"the images": images}):
            made, picture = dataset.to_pixels(images), dataset.render(images)
            _check_picture("to_pixels", made, (len(images),), channels)
            require(torch.equal(dataset.to_pixels(images), made), "to_pixels makes other pictures of the same images")
            if picture is not None:
                _check_picture("render", picture, (), PICTURE_CHANNELS)


def _check_picture(method: str, picture: Any, batch: tuple[int, ...], channels: set[int]) -> None:  # noqa: ANN401
    """Raise CheckFailed unless a method returned uint8 pictures: `batch`, channels, height and width."""
    valid = isinstance(picture, Tensor) and picture.dtype == torch.uint8 and picture.ndim == len(batch) + len("CHW")
    valid = valid and tuple(picture.shape[:-3]) == batch and picture.shape[-3] in channels and picture.numel() > 0
    expected = (*batch, " or ".join(map(str, sorted(channels))), "H", "W")
    require(valid, f"{method} returns {describe(picture)}; uint8 ({', '.join(map(str, expected))}) is required")
