"""What a data set must keep."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import torch

from ganforge.components import Dataset, Images, check_images
from ganforge.errors import DataError
from ganforge.testing.checks import Check, Failed, define, does_not_apply, require
from ganforge.testing.fixture import Subject

CHECKS: list[Check] = []
#: Images that are read one by one; reading all of a large data set would take hours.
READ = 16


def opened(subject: Subject) -> Dataset:
    """Return the data set, opened once for all checks."""
    if "dataset" not in subject.kept:
        subject.kept["dataset"] = subject.make()
    made: Dataset = subject.kept["dataset"]
    return made


def first_images(dataset: Dataset, split: Any) -> tuple[Images, int, str]:  # noqa: ANN401 - one of its splits
    """Return a split's images, all or the first few, how many there are in all, and which method gave them."""
    loaded = dataset.load(split)
    if loaded is not None:
        return loaded, len(loaded), "load"
    items = dataset.open(split)
    count = len(items)  # type: ignore[arg-type]  # map-style data has a length; torch does not type it
    read = [items[index] for index in range(min(READ, count))]
    pixels = torch.stack([image for image, _ in read])
    return Images(pixels, torch.tensor([int(label) for _, label in read])), count, "open"


@define(CHECKS, "images-as-declared", "dataset", fix="give uint8 pixels (N, C, H, W), and the shape that info declares")
def _images_as_declared(subject: Subject) -> None:
    """Every split gives uint8 pixels `(N, C, H, W)` of the declared shape, from 0 to 255, and not all the same."""
    dataset = opened(subject)
    image = dataset.info.image
    for split in dataset.splits:
        images, _, method = first_images(dataset, split)
        try:
            check_images(images, f"{method}({split!r})")
        except DataError as error:
            raise Failed(error.message) from None
        found, declared = tuple(images.pixels.shape[1:]), (image.channels, image.height, image.width)
        require(found == declared, f"{method}({split!r}) gives images of {found}; info declares {declared}")
        require(int(images.pixels.max()) > 1, f"{method}({split!r}) gives pixels of 0 and 1 alone; they go up to 255")
        require(int(images.pixels.max()) > int(images.pixels.min()), f"{method}({split!r}) gives blank images")


@define(CHECKS, "labels-as-declared", "dataset", fix="number the classes from 0, and name each in `classes`")
def _labels_as_declared(subject: Subject) -> None:
    """Labels are int64 `(N,)` from 0 to K - 1 where K classes are declared, and each class has a name."""
    dataset = opened(subject)
    info = dataset.info
    names = info.class_names
    require((names is None) == (info.image.num_classes is None), "classes and info.image.num_classes do not agree")
    if names is None:
        does_not_apply("it has no classes")
    require(
        len(names) == info.image.num_classes, f"{info.image.num_classes} classes are declared, with {len(names)} names"
    )
    for split in dataset.splits:
        labels = first_images(dataset, split)[0].labels
        require(labels is not None, f"the {split} split has no labels")
        assert labels is not None  # noqa: S101 - just required
        low, high = int(labels.min()), int(labels.max())
        require(low >= 0 and high < len(names), f"the {split} split has labels from {low} to {high}")


@define(CHECKS, "sizes-as-declared", "dataset", fix="count what load gives, or what open(split) says len() is")
def _sizes_as_declared(subject: Subject) -> None:
    """Each split has as many images as info declares, and there is one to train on."""
    dataset = opened(subject)
    sizes = dataset.info.sizes
    require("train" in sizes, "info declares no train split")
    require(set(sizes) == set(dataset.splits), f"info declares {', '.join(sizes)}; splits are {dataset.splits}")
    for split in dataset.splits:
        count = first_images(dataset, split)[1]
        require(count == sizes[split], f"the {split} split has {count} images; info declares {sizes[split]}")


@define(CHECKS, "same-images-twice", "dataset", fix="sort what you list; shuffle nothing: the engine does")
def _same_images_twice(subject: Subject) -> None:
    """Opened twice it gives the same images in the same order, with the same fingerprint."""
    one, two = opened(subject), subject.make()
    for split in one.splits:
        (ours, _, _), (theirs, _, _) = first_images(one, split), first_images(two, split)
        require(
            torch.equal(ours.pixels, theirs.pixels), f"the {split} split has other images, or another order, each time"
        )
    require(one.info.fingerprint == two.info.fingerprint, "its fingerprint is another one each time that it is opened")
    require(one.info.fingerprint, "its fingerprint is empty; a resumed run could not tell other data")


@define(CHECKS, "resolved-options", "dataset", fix="let resolved() return options that find the same images again")
def _resolved_options(subject: Subject) -> None:
    """The options that it writes into run.toml find the same images again."""
    dataset = opened(subject)
    expected = dataset.info.fingerprint
    again = replace(subject, options=dataset.resolved(), kept={})
    require(opened(again).info.fingerprint == expected, "resolved() gives options that find other images")


@define(CHECKS, "pickles", "dataset", fix="open files in __getitem__, not in __init__; keep no lambdas or handles")
def _pickles(subject: Subject) -> None:
    """What `open` returns can be sent to a process that is spawned."""
    dataset = opened(subject)
    if dataset.load("train") is not None:
        does_not_apply("it is loaded whole; no process reads it")
    if subject.entry.source.path is not None:
        does_not_apply("a local plugin's classes cannot be found by a process that is spawned; install it for that")
    items = dataset.open("train")
    read, again = items[0], pickle.loads(pickle.dumps(items))[0]  # noqa: S301 - what was pickled a moment ago
    require(torch.equal(read[0], again[0]), "after being pickled it gives other images")
