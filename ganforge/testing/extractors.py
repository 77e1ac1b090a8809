"""What a feature extractor must keep."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganforge.components import FeatureExtractor, FeatureOutput, ImageSpec
from ganforge.errors import IncompatibleError
from ganforge.testing.checks import Check, define, does_not_apply, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject
from ganforge.utils.images import to_uint8

CHECKS: list[Check] = []
COUNT = 5
#: Rounding that another batch size may bring, as a share of the largest number.
ROUNDING = 1e-4
SHA256 = re.compile(r"[0-9a-f]{64}")
#: Tensors of a large network that are changed, one after the other, to see whether the fingerprint tells.
MOST_CHANGED = 20


def ready(subject: Subject) -> FeatureExtractor:
    """Return the extractor as an evaluation has it, built once for all checks: in evaluation mode."""
    if "extractor" not in subject.kept:
        subject.kept["extractor"] = subject.make()
    made: FeatureExtractor = copy.deepcopy(subject.kept["extractor"]).eval()
    return made


def extracted(extractor: FeatureExtractor, images: Tensor) -> FeatureOutput:
    """Return what it says of images, uint8 `(N, C, H, W)`."""
    with torch.no_grad():
        found: FeatureOutput = extractor(images)
    return found


def numbers(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return the features, and the logits where there are any, `(N, D + K)`."""
    found = extracted(extractor, images)
    return found.features if found.logits is None else torch.cat([found.features, found.logits], 1)


def usual(subject: Subject, count: int = COUNT, number: int = 0) -> Tensor:
    """Return blobs, uint8 `(N, C, H, W)`."""
    return to_uint8(subject.pictures(count, number))


def noise(subject: Subject, count: int = COUNT) -> Tensor:
    """Return images in which no pixel tells of another, uint8 `(N, C, H, W)`."""
    shape = (count, subject.image.channels, subject.image.height, subject.image.width)
    return torch.randint(0, 256, shape, generator=subject.rng(3), dtype=torch.uint8)


@define(
    CHECKS, "features-as-declared", "features", fix="return FeatureOutput(features); set self.size before it is asked"
)
def _features_as_declared(subject: Subject) -> None:
    """One, two or five images give as many rows of `size` features, float32."""
    extractor = ready(subject)
    size = extractor.size
    require(isinstance(size, int) and size > 0, f"its size is {size!r}; a count of features is needed")
    for count in (1, 2, COUNT):
        found = extracted(extractor, usual(subject, count))
        require(isinstance(found, FeatureOutput), f"it gives {type(found).__name__}; an FeatureOutput is needed")
        _is_table(found.features, (count, size), "features")


@define(CHECKS, "logits-as-declared", "features", fix="name a class for each logit in class_names, or give no logits")
def _logits_as_declared(subject: Subject) -> None:
    """A classifier's logits are float32, one for each of `class_names`; what does not classify has neither."""
    extractor = ready(subject)
    names = extractor.class_names
    logits = extracted(extractor, usual(subject)).logits
    if logits is None:
        require(not names, f"it names {len(names)} classes, but gives no logits")
        does_not_apply("it does not classify")
    words = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
    require(words and len(set(names)) == len(names), f"class_names is {names!r}; it must be a tuple of different names")
    _is_table(logits, (COUNT, len(names)), "logits")


def _is_table(values: Tensor, shape: tuple[int, int], what: str) -> None:
    found = f"{values.dtype} {tuple(values.shape)}"
    require(
        values.dtype == torch.float32 and tuple(values.shape) == shape, f"its {what} are {found}, not float32 {shape}"
    )


@define(CHECKS, "says-preprocessing", "features", fix='say it in the class: preprocessing = "pixels scaled to [0, 1]"')
def _says_preprocessing(subject: Subject) -> None:
    """`preprocessing` says in one line what happens to the pixels first; protocols carry it."""
    said = getattr(ready(subject), "preprocessing", None)
    line = isinstance(said, str) and said.strip() and said.isprintable()
    require(line, f"its preprocessing is {said!r}; a line of text is needed")


@define(CHECKS, "features-finite", "features", fix="look for divisions by a deviation or a norm that may be zero")
def _features_finite(subject: Subject) -> None:
    """Features and logits are finite: for usual images, noise, black and white."""
    extractor, images = ready(subject), usual(subject)
    kinds = {
        "usual images": images,
        "noise": noise(subject),
        "black images": torch.zeros_like(images),
        "white images": torch.full_like(images, 255),
    }
    for words, given in kinds.items():
        require(bool(numbers(extractor, given).isfinite().all()), f"for {words} it gives numbers that are not finite")


@define(CHECKS, "images-matter-to-features", "features", fix="use the images in forward")
def _images_matter(subject: Subject) -> None:
    """Other images have other features."""
    extractor = ready(subject)
    one, two = (extracted(extractor, images).features for images in (usual(subject), noise(subject)))
    require(not torch.equal(one, two), "blobs and noise have the same features")


@define(CHECKS, "image-by-image", "features", fix="take no statistics over the batch: call eval(), use no batch's mean")
def _image_by_image(subject: Subject) -> None:
    """What is said of an image depends neither on the others beside it, nor on how many they are, but for rounding."""
    extractor, images = ready(subject), usual(subject)
    expected = numbers(extractor, images)
    most = ROUNDING * float(expected.abs().max())
    beside = numbers(extractor, torch.cat([noise(subject, 2), images]))[2:]
    require(_distance(beside, expected) <= most, "beside other images an image has other features")
    alone = torch.cat([numbers(extractor, image.unsqueeze(0)) for image in images])
    require(_distance(alone, expected) <= most, "alone an image has other features than among others")
    turned = numbers(extractor, images.flip(0)).flip(0)
    require(_distance(turned, expected) <= most, "in another order images have other features")


def _distance(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max())


@define(
    CHECKS, "same-features-twice", "features", fix="in evaluation mode draw nothing, and keep nothing of what passed"
)
def _same_features_twice(subject: Subject) -> None:
    """In evaluation mode the same images give the same bits, whatever came between; no random numbers are drawn."""
    extractor, images = ready(subject), usual(subject)
    before = _drawn()
    one = numbers(extractor, images)
    numbers(extractor, noise(subject))
    two = numbers(extractor, images)
    require(_drawn() == before, "it draws from global random numbers, which belong to the training")
    require(torch.equal(one, two), "the same images have other features each time")


def _drawn() -> tuple[str, ...]:
    """Return the states of torch's, Python's and numpy's global generators."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is what is meant
    return torch.get_rng_state().numpy().tobytes().hex(), repr(random.getstate()), repr(numpy)


@define(CHECKS, "pixels-unchanged", "features", fix="convert first (images.float()), then compute in place if you must")
def _pixels_unchanged(subject: Subject) -> None:
    """The images that it is given stay as they were."""
    images = usual(subject)
    before = images.clone()
    extracted(ready(subject), images)
    unchanged(before, images, "its images")


@define(CHECKS, "state-is-whole", "features", fix="keep all that matters in parameters and registered buffers")
def _state_is_whole(subject: Subject) -> None:
    """Its state dict, loaded into one of another seed, and its deep copy give the same features."""
    extractor, images = ready(subject), usual(subject)
    loaded: FeatureExtractor = subject.make(1).eval()
    loaded.load_state_dict(extractor.state_dict())
    expected = numbers(extractor, images)
    for what, twin in (("loaded from its state dict", loaded), ("copied deeply", copy.deepcopy(extractor))):
        require(torch.equal(numbers(twin, images), expected), f"{what}, it gives other features")
        require(twin.fingerprint() == extractor.fingerprint(), f"{what}, it has another fingerprint")


@define(CHECKS, "fingerprint-tells-weights", "features", fix="leave fingerprint() as the interface defines it")
def _fingerprint_tells_weights(subject: Subject) -> None:
    """Its fingerprint is a SHA-256, the same for each that is built alike, and another when a number changes."""
    extractor = ready(subject)
    fingerprint = extractor.fingerprint()
    require(SHA256.fullmatch(fingerprint), f"its fingerprint is {fingerprint!r}, not a SHA-256 in hexadecimal digits")
    require(subject.make().fingerprint() == fingerprint, "its fingerprint is another one each time that it is built")
    state = [(name, values) for name, values in extractor.state_dict().items() if values.numel()]
    for name, values in state[:: max(1, len(state) // MOST_CHANGED)]:  # which share memory with the extractor's own
        first = values.view(-1)[:1]
        was = first.clone()
        first.copy_(~was if values.dtype == torch.bool else was + 1)
        require(extractor.fingerprint() != fingerprint, f"its fingerprint stays the same when {name} changes")
        first.copy_(was)


@define(
    CHECKS, "other-images", "features", fix="raise ganforge.errors.IncompatibleError in check_image for what cannot be"
)
def _other_images(subject: Subject) -> None:
    """Images of another size or channel count are described as well, or refused by check_image."""
    for image in _shapes(subject.image):
        try:
            extractor: FeatureExtractor = subject.make(image=image).eval()
        except IncompatibleError:
            continue
        found = extracted(extractor, usual(replace(subject, image=image, kept={}), 2)).features
        expected = (2, extractor.size)
        require(tuple(found.shape) == expected, f"at {image} its features are {tuple(found.shape)}, not {expected}")


def _shapes(image: ImageSpec) -> Iterator[ImageSpec]:
    for height, width in ((1, 1), (5, 7), (28, 32), (50, 50)):
        yield replace(image, height=height, width=width)
    for channels in (1, 2, 3, 4):
        yield replace(image, channels=channels)
