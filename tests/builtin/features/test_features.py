"""Laws of the built-in feature extractors: the pixels themselves, and a random network that is the same everywhere."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganforge.builtin.datasets.mnist import Mnist
from ganforge.builtin.features.classifier_features import Digits
from ganforge.builtin.features.pixels import Pixels, Raw
from ganforge.builtin.features.random_convolutions import RandomConvolutions
from ganforge.cli._completion import completions
from ganforge.components import FeatureExtractor, ImageSpec
from ganforge.components.features import weights_sha256
from ganforge.config import Layer, command_line_layer, from_document, read_document, to_document, write_document
from ganforge.config.reload import reload
from ganforge.config.resolve import resolve
from ganforge.errors import ConfigError, UnknownComponentError
from ganforge.plugins.registry import Registry
from ganforge.training.build import build
from tests.helpers.plugins import command, local, provides

GRAY, COLOR = ImageSpec(1, 28, 28), ImageSpec(3, 32, 32)
#: The SHA-256 of all weights, with their names, types and shapes: what protocols hold, on whichever machine.
FINGERPRINTS = {
    (GRAY, 0): "a24bfe35ad63fe0e39a3ed9f34d981e6dc34ad3435a0d9f51b2063f79177cb81",
    (GRAY, 1): "03a19a5c24355a9c088e67c7139830db8d6d5f35c88f5f2bc38acdcbc4e2d237",
    (COLOR, 0): "8ec73de9240ced821603c9d7ac787d4f544ce9948c8582ce0365a4dc5263bdb4",
}
TINY = ("gen=mlp", "gen.hidden=[4]", "disc=mlp", "disc.hidden=[4]", "data.source=sample", "steps=1")


def random_images(image: ImageSpec, count: int = 3, seed: int = 0) -> Tensor:
    """Return noise, uint8 `(N, C, H, W)`."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, image.channels, image.height, image.width), generator=rng, dtype=torch.uint8)


def convolutions(image: ImageSpec, seed: int = 0) -> RandomConvolutions:
    """Return the random network."""
    return RandomConvolutions(RandomConvolutions.Options(seed=seed), image)


# Pixels


def test_pixels_are_the_pixels() -> None:
    """Features times 255 are the image again, and there are C·H·W of them."""
    image = ImageSpec(3, 5, 7)
    images = random_images(image)
    extractor = Pixels(Pixels.Options(), image)
    features = extractor(images).features
    assert features.shape == (3, extractor.size) == (3, 105)
    assert torch.equal((features * 255).round().to(torch.uint8).view_as(images), images)
    assert (float(features.min()), float(features.max())) >= (0, 0)
    assert float(features.max()) <= 1


def test_raw_features_are_the_numbers_as_networks_see_them() -> None:
    """Numbers of any range pass unchanged, channel by channel; nothing is rounded."""
    image = ImageSpec(2, 1, 3, dtype="float32")
    images = 100 * torch.randn(4, 2, 1, 3, generator=torch.Generator().manual_seed(0))
    extractor = Raw(Raw.Options(), image)
    assert extractor.raw_images
    assert extractor.size == 6
    assert torch.equal(extractor(images).features, images.view(4, 6))


@pytest.mark.parametrize("cls", [Pixels, RandomConvolutions, Digits])
def test_pictures_that_are_not_rounded_have_features_too(cls: type[FeatureExtractor]) -> None:
    """Bytes and the same numbers as floats have the same features; a tenth of a level makes a difference."""
    extractor = cls(cls.Options(), GRAY).eval()
    images = random_images(GRAY).clamp(max=254)
    expected = extractor(images).features
    assert extractor.accepts_float
    assert torch.equal(extractor(images.float()).features, expected)
    assert not torch.equal(extractor(images + 0.1).features, expected)


# Random convolutions


@pytest.mark.parametrize(("image", "seed"), list(FINGERPRINTS), ids=str)
def test_weights_are_the_same_on_every_machine(image: ImageSpec, seed: int) -> None:
    """The fingerprint is the one that was written down, whatever torch's seed is: scores can be compared."""
    torch.manual_seed(12)
    assert convolutions(image, seed).fingerprint() == FINGERPRINTS[image, seed]


def test_weights_follow_from_shake_256() -> None:
    """Each weight is a 32-bit word of the digest, put into (-1, 1), times √(3/inputs): repeated with whole numbers."""
    weights = convolutions(COLOR, 5).state_dict()["weights_0"]
    words = struct.unpack("<432I", hashlib.shake_256(b"random-convolutions 5 0").digest(4 * 432))
    expected = [(2 * word + 1 - 2**32) / 2**32 * math.sqrt(3 / 27) for word in words]
    assert weights.shape == (16, 3, 3, 3)
    assert weights.flatten().tolist() == torch.tensor(expected, dtype=torch.float64).float().tolist()


def test_features_are_those_of_a_plain_loop() -> None:
    """Pixel by pixel, for 10×9 of them: convolve with edges repeated, take the absolute value, halve, again."""
    image = ImageSpec(2, 10, 9)
    extractor, images = convolutions(image), random_images(image, 1)
    maps = [[[value / 255 for value in row] for row in channel] for channel in images[0].tolist()]
    for stage, weights in enumerate(extractor.state_dict().values()):
        maps = convolved(halved(maps) if stage else maps, weights.tolist())
    height, width = len(maps[0]), len(maps[0][0])
    assert (len(maps), height, width) == (24, 5, 5)
    quarters = [
        mean([channel[row][column] for row in rows for column in columns])
        for channel in maps
        for rows in (range(3), range(2, 5))
        for columns in (range(3), range(2, 5))
    ]
    assert extractor(images).features[0].tolist() == pytest.approx(quarters, rel=1e-4, abs=1e-6)


def mean(values: list[float]) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def halved(maps: list[list[list[float]]]) -> list[list[list[float]]]:
    """Return maps of the means of 2×2 squares, smaller ones at the far edges."""
    return [
        [
            [
                mean([value for row in channel[y : y + 2] for value in row[x : x + 2]])
                for x in range(0, len(channel[0]), 2)
            ]
            for y in range(0, len(channel), 2)
        ]
        for channel in maps
    ]


def convolved(maps: list[list[list[float]]], weights: list[Any]) -> list[list[list[float]]]:
    """Return the absolute values of a 3×3 convolution; beyond the edge the edge's pixels are repeated."""
    height, width = len(maps[0]), len(maps[0][0])

    def at(channel: list[list[float]], y: int, x: int) -> float:
        return channel[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)]

    return [
        [
            [
                abs(
                    math.fsum(
                        kernel[number][down][right] * at(channel, y + down - 1, x + right - 1)
                        for number, channel in enumerate(maps)
                        for down in range(3)
                        for right in range(3)
                    )
                )
                for x in range(width)
            ]
            for y in range(height)
        ]
        for kernel in weights
    ]


@given(st.builds(ImageSpec, st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)))
def test_any_image_has_96_features(image: ImageSpec) -> None:
    """Images of any size and channels, down to a single pixel, have finite features, none negative."""
    features = convolutions(image)(random_images(image)).features
    assert features.shape == (3, 96)
    assert bool(features.isfinite().all())
    assert float(features.min()) >= 0


def test_a_thousand_digits_suffice_and_what_is_worse_is_farther(digits: Tensor) -> None:
    """The covariance of 1,000 digits has full rank; more noise, and fewer digits, are farther from the data."""
    extractor = convolutions(GRAY)
    real, other = (extractor(images).features.double() for images in (digits[:1000], digits[1000:]))
    assert int(torch.linalg.matrix_rank(torch.cov(real.T))) == extractor.size
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randn(digits[1000:].shape, generator=rng)
    distances = [frechet(real, other)]
    for strength in (15, 30, 60):
        noisy = (digits[1000:] + strength * drawn).clamp(0, 255).round().to(torch.uint8)
        distances.append(frechet(real, extractor(noisy).features.double()))
    assert all(one * 1.5 < two for one, two in pairwise(distances)), distances
    few = extractor(digits[1000:1010].repeat(100, 1, 1, 1)).features.double()
    assert frechet(real, few) > 2 * distances[0]


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """Return the 2,000 test images of MNIST's sample, `(2000, 1, 28, 28)`."""
    return Mnist(Mnist.Options(source="sample")).open("test").images


def frechet(one: Tensor, two: Tensor) -> float:
    """Return |μ - ν|² + tr(Σ + Τ - 2(ΣΤ)^½), by the eigenvalues of ΣΤ, from `(N, D)` each."""
    means, covariances = (one.mean(0), two.mean(0)), (torch.cov(one.T), torch.cov(two.T))
    roots = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0).sqrt()
    traces = sum(float(covariance.trace()) for covariance in covariances)
    return float((means[0] - means[1]).square().sum()) + traces - 2 * float(roots.sum())


# The section


def resolved(*settings: str, registry: Registry) -> Any:
    """Return what settings on the command line resolve to."""
    return resolve([command_line_layer([*TINY, *settings])], registry)


def test_the_features_are_chosen_like_anything_else(registry: Registry) -> None:
    """The default is the random network; the command line names another, and its options; TOML gives it back."""
    default = resolve([command_line_layer(["data=folder", "data.path=."])], registry)
    assert (default.experiment.features.name, default.origin("features")) == ("random-convolutions", "default")
    chosen = resolved("features=random-convolutions", "features.seed=3", registry=registry)
    assert chosen.one("features").options.seed == 3
    assert (chosen.origin("features"), chosen.origin("features.seed")) == ("command line", "command line")
    document = to_document(chosen.experiment)
    assert document["features"] == {"name": "random-convolutions", "random-convolutions": {"seed": 3}}
    again = from_document(tomllib.loads(write_document(document)))
    assert again == chosen.experiment
    repeated = resolve([Layer("run.toml", document)], registry)
    assert repeated.experiment == chosen.experiment
    assert reload(again, registry, None).one("features").options == chosen.one("features").options


def test_a_file_has_a_table_for_each_extractor(tmp_path: Path, registry: Registry) -> None:
    """An option stands in its extractor's own table; that of another is kept, and reported as unused."""
    file = tmp_path / "experiment.toml"
    file.write_text('features = "pixels"\n')
    assert resolve([Layer("file", read_document(file))], registry).experiment.features.name == "pixels"
    file.write_text('[features]\nname = "pixels"\n[features.random-convolutions]\nseed = 4\n')
    notices = resolve([Layer("file", read_document(file))], registry).notices
    assert notices == ["[features.random-convolutions] (file) is kept but not used: features is pixels"]
    file.write_text('[features]\nname = "random-convolutions"\nseed = 4\n')
    with pytest.raises(ConfigError, match=r"\[features\] seed \(file\): in a file an option belongs in its"):
        resolve([Layer("file", read_document(file))], registry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("features=pixel",), r"no features 'pixel'; did you mean 'pixels'"),
        (("features=pixels,pixels",), "features = 'pixels,pixels' names several; a run has one"),
        (("features=[]",), r"features = \[\] \(command line\) is not the name of a component"),
        (("features.sed=1", "features=random-convolutions"), "no option 'sed' .*did you mean 'seed'"),
        (("features.seed=-1", "features=random-convolutions"), r"features.seed = -1 \(command line\)"),
    ],
)
def test_mistakes_name_the_nearest(settings: tuple[str, ...], message: str, registry: Registry) -> None:
    """An extractor that there is not, several, an option that there is not, or a value that cannot be."""
    with pytest.raises((ConfigError, UnknownComponentError), match=message):
        resolved(*settings, registry=registry)


DATA = """
from ganforge import Dataset, ImageTensors
import torch

class Stripes(Dataset):
    recommended = {"features": "pixels"}

    def open(self, split):
        return ImageTensors(torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8), None)

""" + provides("dataset", "stripes", "PLACE").replace("'PLACE'", "Stripes")


def test_data_recommends_features(tmp_path: Path) -> None:
    """Recommended features of a dataset apply unless the user names others; the plan names the origin."""
    file = local(tmp_path / "stripes.py", DATA)
    arguments = ("run", "--plugin", file, "--data", "stripes", "--gen", "mlp", "--disc", "mlp", "--batch-size", "2")
    more = ("--steps", "1", "--precision", "fp32", "--dry-run", "--json")
    for words, expected in (
        ((), ("pixels", "recommended by dataset stripes")),
        (("--features", "random-convolutions"), ("random-convolutions", "command line")),
    ):
        done = command(*arguments, *words, *more)
        assert done.returncode == 0, done.stderr
        (item,) = (item for item in json.loads(done.stdout)["components"] if item["kind"] == "features")
        assert (item["name"], item["origin"]) == expected


def test_a_run_remembers_its_features(tmp_path: Path) -> None:
    """run.json and run.toml name the extractor and whose it is, and the run can be repeated from run.toml."""
    words = [word for setting in TINY for word in ("--set", setting)]
    short = ("--precision", "fp32", "--batch-size", "2", "--quiet", "--json")
    done = command("run", *words, *short, "--features", "pixels", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["qualified"]["features"] == ["ganforge/pixels"]
    assert manifest["components"]["features"] == "pixels"
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text())["features"] == {"name": "pixels"}
    done = command("run", "--config", tmp_path / "run" / "run.toml", "--dry-run", "--json")
    assert json.loads(done.stdout)["experiment"]["features"] == {"name": "pixels"}


def test_the_extractor_is_the_same_for_every_run(registry: Registry) -> None:
    """It is built once, in evaluation mode, learns nothing, and no run's seed changes it."""
    assemblies = [build(resolved(f"seed={seed}", "features=random-convolutions", registry=registry)) for seed in (0, 1)]
    one, other = (gan.extractor() for gan in assemblies)
    assert one.fingerprint() == other.fingerprint() == FINGERPRINTS[GRAY, 0]
    assert assemblies[0].extractor() is one
    assert not one.training


def test_flags_are_completed() -> None:
    """`--features.` has the options of the extractor that was named."""
    words = ["--features", "random-convolutions"]
    assert dict(completions(words, "--features.")).keys() == {"--features.seed"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_weights_of_every_type_have_a_hash(dtype: torch.dtype) -> None:
    """It is that of names, types, shapes and bytes, and changes with a value."""
    module = torch.nn.Module()
    values, one = torch.tensor([[1, 0], [0, 1]]).to(dtype), torch.ones((), dtype=dtype)
    module.register_buffer("values", values)
    module.register_buffer("one", one)
    before = weights_sha256(module)
    expected = hashlib.sha256()
    for name, value in (("one", one), ("values", values)):
        expected.update(
            f"{name} {dtype} {tuple(value.shape)}\n".encode() + value.reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    assert before == expected.hexdigest()
    values[0, 1] = 1
    assert weights_sha256(module) != before
