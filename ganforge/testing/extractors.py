"""Checks of feature extractors."""

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
from ganforge.testing.checks import Check, register_check, require, skip
from ganforge.testing.common import BUILDS, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.utils.images import normalize, to_uint8

CHECKS: list[Check] = []
COUNT = 5
#: Rounding that another batch size may bring, as a share of the largest number.
ROUNDING = 1e-4
SHA256 = re.compile(r"[0-9a-f]{64}")
#: Most tensors of a network that are changed, one after the other, to test the fingerprint.
MAX_CHANGED = 20
DECLARED = "features-as-declared"


def ready(fixture: Fixture) -> FeatureExtractor:
    """Return a copy of the extractor in evaluation mode, built once for all checks."""
    if "extractor" not in fixture.kept:
        fixture.kept["extractor"] = fixture.make()
    extractor: FeatureExtractor = copy.deepcopy(fixture.kept["extractor"]).eval()
    return extractor


def extract(extractor: FeatureExtractor, images: Tensor) -> FeatureOutput:
    """Return the output for images."""
    with torch.no_grad():
        output: FeatureOutput = extractor(images)
    return output


def numbers(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return the features and, for classifiers, the logits, `(N, D + K)`."""
    output = extract(extractor, images)
    return output.features if output.logits is None else torch.cat([output.features, output.logits], 1)


def usual(fixture: Fixture, count: int = COUNT, number: int = 0) -> Tensor:
    """Return blobs, `(N, C, H, W)` uint8, or float32 for an extractor of raw images."""
    return _as_input(fixture, to_uint8(fixture.pictures(count, number)))


def noise(fixture: Fixture, count: int = COUNT) -> Tensor:
    """Return images of independent pixels, of the same type."""
    pixels = torch.randint(0, 256, (count, *fixture.image.shape), generator=fixture.rng(3), dtype=torch.uint8)
    return _as_input(fixture, pixels)


def _as_input(fixture: Fixture, pictures: Tensor) -> Tensor:
    return normalize(pictures) if fixture.cls.raw_images else pictures


@register_check(
    CHECKS, DECLARED, "features", fix="return FeatureOutput(features), and set self.size in the constructor"
)
def _features_as_declared(fixture: Fixture) -> None:
    """One, two or five images give as many rows of `size` features, float32."""
    extractor = ready(fixture)
    size = extractor.size
    require(isinstance(size, int) and size > 0, f"its size is {size!r}; a number of features is required")
    for count in (1, 2, COUNT):
        output = extract(extractor, usual(fixture, count))
        require(isinstance(output, FeatureOutput), f"it returns {type(output).__name__}; a FeatureOutput is required")
        _check_table(output.features, (count, size), "features")


@register_check(
    CHECKS,
    "logits-as-declared",
    "features",
    fix="name a class for each logit in class_names, or return no logits",
    needs=(DECLARED,),
)
def _logits_as_declared(fixture: Fixture) -> None:
    """A classifier's logits are float32, one for each of `class_names`; other extractors have neither."""
    extractor = ready(fixture)
    names = extractor.class_names
    logits = extract(extractor, usual(fixture)).logits
    if logits is None:
        require(not names, f"it names {len(names)} classes, but returns no logits")
        skip("it is not a classifier")
    valid = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
    require(valid and len(set(names)) == len(names), f"class_names is {names!r}; it must be a tuple of different names")
    _check_table(logits, (COUNT, len(names)), "logits")


def _check_table(values: Tensor, shape: tuple[int, int], name: str) -> None:
    actual = f"{values.dtype} {tuple(values.shape)}"
    valid = values.dtype == torch.float32 and tuple(values.shape) == shape
    require(valid, f"its {name} are {actual}, not float32 {shape}")


@register_check(
    CHECKS,
    "preprocessing-declared",
    "features",
    fix='describe it in the class: preprocessing = "pixels scaled to [0, 1]"',
    needs=(BUILDS,),
)
def _preprocessing_declared(fixture: Fixture) -> None:
    """`preprocessing` describes the preprocessing of pixels in one line, for protocols."""
    text = getattr(ready(fixture), "preprocessing", None)
    line = isinstance(text, str) and text.strip() and text.isprintable()
    require(line, f"its preprocessing is {text!r}; a line of text is required")


@register_check(
    CHECKS,
    "features-finite",
    "features",
    fix="look for divisions by a deviation or a norm that may be zero",
    needs=(DECLARED,),
)
def _features_finite(fixture: Fixture) -> None:
    """Features and logits are finite for usual images, noise, black and white."""
    extractor, images = ready(fixture), usual(fixture)
    white = torch.full(images.shape, 255, dtype=torch.uint8)
    inputs = {
        "usual images": images,
        "noise": noise(fixture),
        "black images": _as_input(fixture, torch.zeros_like(white)),
        "white images": _as_input(fixture, white),
    }
    for name, given in inputs.items():
        require(bool(numbers(extractor, given).isfinite().all()), f"for {name} it returns numbers that are not finite")


@register_check(CHECKS, "images-matter-to-features", "features", fix="use the images in forward", needs=(DECLARED,))
def _images_matter(fixture: Fixture) -> None:
    """Different images have different features."""
    extractor = ready(fixture)
    one, two = (extract(extractor, images).features for images in (usual(fixture), noise(fixture)))
    require(not torch.equal(one, two), "blobs and noise have the same features")


@register_check(
    CHECKS,
    "image-by-image",
    "features",
    fix="compute no statistics over the batch: call eval(), use no batch mean",
    needs=(DECLARED, "same-features-twice"),
)
def _image_by_image(fixture: Fixture) -> None:
    """An image's output depends neither on the other images of the batch nor on their number, up to rounding."""
    extractor, images = ready(fixture), usual(fixture)
    expected = numbers(extractor, images)
    tolerance = ROUNDING * float(expected.abs().max())
    mixed = numbers(extractor, torch.cat([noise(fixture, 2), images]))[2:]
    require(_distance(mixed, expected) <= tolerance, "in a batch with other images an image has other features")
    alone = torch.cat([numbers(extractor, image.unsqueeze(0)) for image in images])
    require(_distance(alone, expected) <= tolerance, "alone an image has other features than in a batch")
    reversed_ = numbers(extractor, images.flip(0)).flip(0)
    require(_distance(reversed_, expected) <= tolerance, "in another order images have other features")


def _distance(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max())


@register_check(
    CHECKS,
    "same-features-twice",
    "features",
    fix="in evaluation mode draw no random numbers, and keep no state of earlier images",
    needs=(DECLARED,),
)
def _same_features_twice(fixture: Fixture) -> None:
    """In evaluation mode the same images give the same bits, and no random numbers are drawn."""
    extractor, images = ready(fixture), usual(fixture)
    before = _random_states()
    one = numbers(extractor, images)
    numbers(extractor, noise(fixture))
    two = numbers(extractor, images)
    require(_random_states() == before, "it draws from global random generators, which belong to the training")
    require(torch.equal(one, two), "the same images have other features each time")


def _random_states() -> tuple[str, ...]:
    """Return the states of torch's, Python's and numpy's global generators."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is meant
    return torch.get_rng_state().numpy().tobytes().hex(), repr(random.getstate()), repr(numpy)


@register_check(
    CHECKS,
    "float-pictures",
    "features",
    fix="convert pictures with images.float(), or leave accepts_float False",
    needs=(DECLARED,),
)
def _float_pictures(fixture: Fixture) -> None:
    """If `accepts_float` is True, float32 pictures in [0, 255] have the features of the same bytes, up to rounding."""
    extractor = ready(fixture)
    if not extractor.accepts_float or extractor.raw_images:
        skip("it takes pictures as bytes only" if not extractor.raw_images else "it takes raw images")
    pictures = usual(fixture)
    expected = numbers(extractor, pictures)
    difference = _distance(numbers(extractor, pictures.float()), expected)
    require(difference <= ROUNDING * float(expected.abs().max()), "float32 pictures have other features than bytes")


@register_check(
    CHECKS,
    "pixels-unchanged",
    "features",
    fix="convert first (images.float()), then compute in place if you must",
    needs=(DECLARED,),
)
def _pixels_unchanged(fixture: Fixture) -> None:
    """Its input stays as it was."""
    images = usual(fixture)
    before = images.clone()
    extract(ready(fixture), images)
    unchanged(before, images, "its images")


@register_check(
    CHECKS,
    "state-is-whole",
    "features",
    fix="keep all state in parameters and registered buffers",
    needs=(DECLARED, "same-features-twice"),
)
def _state_is_whole(fixture: Fixture) -> None:
    """A module of another seed with its state dict, and its deep copy, give the same features."""
    extractor, images = ready(fixture), usual(fixture)
    loaded: FeatureExtractor = fixture.make(1).eval()
    loaded.load_state_dict(extractor.state_dict())
    expected = numbers(extractor, images)
    for what, twin in (("loaded from its state dict", loaded), ("copied deeply", copy.deepcopy(extractor))):
        require(torch.equal(numbers(twin, images), expected), f"{what}, it returns other features")
        require(twin.fingerprint() == extractor.fingerprint(), f"{what}, it has another fingerprint")


@register_check(
    CHECKS,
    "fingerprint-of-weights",
    "features",
    fix="do not override fingerprint()",
    needs=(BUILDS,),
)
def _fingerprint_of_weights(fixture: Fixture) -> None:
    """Its fingerprint is a SHA-256, equal for equal weights, and different if a number changes."""
    extractor = ready(fixture)
    fingerprint = extractor.fingerprint()
    require(SHA256.fullmatch(fingerprint), f"its fingerprint is {fingerprint!r}, not a SHA-256 in hexadecimal digits")
    require(fixture.make().fingerprint() == fingerprint, "its fingerprint differs each time that it is built")
    state = [(name, values) for name, values in extractor.state_dict().items() if values.numel()]
    for name, values in state[:: max(1, len(state) // MAX_CHANGED)]:  # they share memory with the extractor's own
        first = values.view(-1)[:1]
        original = first.clone()
        first.copy_(~original if values.dtype == torch.bool else original + 1)
        require(extractor.fingerprint() != fingerprint, f"its fingerprint stays the same when {name} changes")
        first.copy_(original)


@register_check(
    CHECKS,
    "other-images",
    "features",
    fix="raise ganforge.errors.IncompatibleError in check_image for images that are not supported",
    needs=(DECLARED,),
)
def _other_images(fixture: Fixture) -> None:
    """Images of another size or channel count have features as well, or are refused by check_image."""
    for image in _shapes(fixture.image):
        try:
            extractor: FeatureExtractor = fixture.make(image=image).eval()
        except IncompatibleError:
            continue
        features = extract(extractor, usual(fixture.at(image), 2)).features
        expected = (2, extractor.size)
        require(
            tuple(features.shape) == expected, f"at {image} its features are {tuple(features.shape)}, not {expected}"
        )


def _shapes(image: ImageSpec) -> Iterator[ImageSpec]:
    for height, width in ((1, 1), (5, 7), (28, 32), (50, 50)):
        yield replace(image, height=height, width=width)
    for channels in (1, 2, 3, 4):
        yield replace(image, channels=channels)
