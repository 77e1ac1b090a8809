"""Checks of feature extractors."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import torch
from torch import Tensor

from ganforge.components import FeatureExtractor, FeatureOutput
from ganforge.errors import IncompatibleError
from ganforge.testing.checks import Checks, require, require_finite, skip, twins, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.utils.images import normalize, to_uint8

checks = Checks("features", needs="features-as-declared")
COUNT = 5
#: Rounding that another batch size may bring, as a share of the largest number.
ROUNDING = 1e-4
SHA256 = re.compile(r"[0-9a-f]{64}")
#: Most tensors of a network that are changed, one after the other, to test the fingerprint.
MAX_CHANGED = 20


def ready(fixture: Fixture) -> FeatureExtractor:
    """Return a copy of the extractor in evaluation mode, built once for all checks."""
    extractor: FeatureExtractor = copy.deepcopy(fixture.once(Fixture.make)).eval()
    return extractor


@torch.no_grad()
def extract(extractor: FeatureExtractor, images: Tensor) -> FeatureOutput:
    """Return the output for images."""
    output: FeatureOutput = extractor(images)
    return output


def numbers(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return the features and, for classifiers, the logits, `(N, D + K)`."""
    output = extract(extractor, images)
    return output.features if output.logits is None else torch.cat([output.features, output.logits], 1)


def usual(fixture: Fixture, count: int = COUNT) -> Tensor:
    """Return real images, `(N, C, H, W)` uint8, or float32 for an extractor of raw images."""
    return _as_input(fixture, to_uint8(fixture.batch(count).images))


def noise(fixture: Fixture, count: int = COUNT) -> Tensor:
    """Return images of independent pixels, of the same type."""
    pixels = torch.randint(0, 256, (count, *fixture.image.shape), generator=fixture.rng(3), dtype=torch.uint8)
    return _as_input(fixture, pixels)


def unlike(fixture: Fixture) -> dict[str, Tensor]:
    """Return images of several sorts, by name."""
    white = torch.full((COUNT, *fixture.image.shape), 255, dtype=torch.uint8)
    black = _as_input(fixture, torch.zeros_like(white))
    white = _as_input(fixture, white)
    return {"usual images": usual(fixture), "noise": noise(fixture), "black images": black, "white images": white}


def _as_input(fixture: Fixture, pictures: Tensor) -> Tensor:
    return normalize(pictures) if fixture.cls.raw_images else pictures


def _require_near(values: Tensor, expected: Tensor, reason: str) -> None:
    """Raise CheckFailed unless numbers are equal within rounding."""
    difference = float((values - expected).abs().max())
    require(difference <= ROUNDING * float(expected.abs().max()), reason)


def _require_table(values: Tensor, shape: tuple[int, int], name: str) -> None:
    valid = values.dtype == torch.float32 and tuple(values.shape) == shape
    require(valid, f"its {name} are {values.dtype} {tuple(values.shape)}, not float32 {shape}")


@checks.add("return FeatureOutput(features), and set self.size in the constructor", needs="builds initialized-weights")
def features_as_declared(fixture: Fixture) -> None:
    """One, two or five images give as many rows of `size` features, float32."""
    extractor = ready(fixture)
    size = extractor.size
    require(isinstance(size, int) and size > 0, f"its size is {size!r}; a number of features is required")
    for count in (1, 2, COUNT):
        output = extract(extractor, usual(fixture, count))
        require(isinstance(output, FeatureOutput), f"it returns {type(output).__name__}; a FeatureOutput is required")
        _require_table(output.features, (count, size), "features")


@checks.add("name a class for each logit in class_names, or return no logits")
def logits_as_declared(fixture: Fixture) -> None:
    """A classifier's logits are float32, one for each of `class_names`; other extractors have neither."""
    extractor = ready(fixture)
    names = extractor.class_names
    logits = extract(extractor, usual(fixture)).logits
    if logits is None:
        require(not names, f"it names {len(names)} classes, but returns no logits")
        skip("it is not a classifier")
    valid = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
    require(valid and len(set(names)) == len(names), f"class_names is {names!r}; it must be a tuple of different names")
    _require_table(logits, (COUNT, len(names)), "logits")


@checks.add('describe it in the class: preprocessing = "pixels scaled to [0, 1]"', needs="builds")
def preprocessing_declared(fixture: Fixture) -> None:
    """`preprocessing` describes the preprocessing of pixels in one line, for protocols."""
    text = getattr(ready(fixture), "preprocessing", None)
    line = isinstance(text, str) and text.strip() and text.isprintable()
    require(line, f"its preprocessing is {text!r}; a line of text is required")


@checks.add("look for divisions by a deviation or a norm that may be zero")
def features_finite(fixture: Fixture) -> None:
    """Features and logits are finite for usual images, noise, black and white."""
    extractor = ready(fixture)
    for name, images in unlike(fixture).items():
        require_finite(numbers(extractor, images), f"for {name} it returns numbers that are")


@checks.add("use the images in forward")
def images_matter_to_features(fixture: Fixture) -> None:
    """Different images have different features."""
    extractor = ready(fixture)
    one, two = (extract(extractor, images).features for images in (usual(fixture), noise(fixture)))
    require(not torch.equal(one, two), "real images and noise have the same features")


@checks.add(
    "compute no statistics over the batch: call eval(), use no batch mean",
    needs="features-as-declared same-features-twice",
)
def image_by_image(fixture: Fixture) -> None:
    """An image's output depends neither on the other images of the batch nor on their number, up to rounding."""
    extractor, images = ready(fixture), usual(fixture)
    expected = numbers(extractor, images)
    mixed = numbers(extractor, torch.cat([noise(fixture, 2), images]))[2:]
    _require_near(mixed, expected, "in a batch with other images an image has other features")
    alone = torch.cat([numbers(extractor, image.unsqueeze(0)) for image in images])
    _require_near(alone, expected, "alone an image has other features than in a batch")
    flipped = numbers(extractor, images.flip(0)).flip(0)
    _require_near(flipped, expected, "in another order images have other features")


@checks.add("in evaluation mode draw no random numbers, and keep no state of earlier images")
def same_features_twice(fixture: Fixture) -> None:
    """In evaluation mode the same images give the same bits, and no random numbers are drawn."""
    extractor, images = ready(fixture), usual(fixture)
    with no_global_draws():
        one = numbers(extractor, images)
        for others in unlike(fixture).values():
            numbers(extractor, others)
        two = numbers(extractor, images)
    require(torch.equal(one, two), "the same images have other features each time")


@checks.add("convert pictures with images.float(), or leave accepts_float False")
def float_pictures(fixture: Fixture) -> None:
    """If `accepts_float` is True, float32 pictures in [0, 255] have the features of the same bytes, up to rounding."""
    extractor = ready(fixture)
    if extractor.raw_images:
        skip("it takes raw images")
    if not extractor.accepts_float:
        skip("it takes pictures as bytes only")
    images = usual(fixture)
    same = numbers(extractor, images)
    _require_near(numbers(extractor, images.float()), same, "float32 pictures have other features than bytes")


@checks.add("convert first (images.float()), then compute in place if you must")
def pixels_unchanged(fixture: Fixture) -> None:
    """Its input stays as it was."""
    images = usual(fixture)
    with unchanged({"its images": images}):
        extract(ready(fixture), images)


@checks.add("keep all state in parameters and registered buffers", needs="features-as-declared same-features-twice")
def state_is_whole(fixture: Fixture) -> None:
    """A module of another seed with its state dict, and its deep copy, give the same features."""
    extractor, images = ready(fixture), usual(fixture)
    expected = numbers(extractor, images)
    for how, twin in twins(fixture, extractor):
        require(torch.equal(numbers(twin, images), expected), f"{how}, it returns other features")
        require(twin.fingerprint() == extractor.fingerprint(), f"{how}, it has another fingerprint")


@checks.add("do not override fingerprint()", needs="initialized-weights")
def fingerprint_of_weights(fixture: Fixture) -> None:
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


@checks.add("raise ganforge.errors.IncompatibleError in check_image for images that are not supported")
def other_images(fixture: Fixture) -> None:
    """Images of another size or channel count have features as well, or are refused by check_image."""
    sizes = [replace(fixture.image, height=h, width=w) for h, w in ((1, 1), (5, 7), (28, 32), (50, 50))]
    for image in (*sizes, *(replace(fixture.image, channels=channels) for channels in (1, 2, 3, 4))):
        try:
            extractor: FeatureExtractor = fixture.at(image).make().eval()
        except IncompatibleError:
            continue
        features = tuple(extract(extractor, usual(fixture.at(image), 2)).features.shape)
        expected = (2, extractor.size)
        require(features == expected, f"at {image} its features are {features}, not {expected}")
