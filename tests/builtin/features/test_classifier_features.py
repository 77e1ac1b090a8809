"""Laws of the features `digits` and `fashion`: accuracy, refused images, unchanged weights."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2.functional import gaussian_blur

from ganforge.builtin.datasets.mnist import Mnist
from ganforge.builtin.features import classifier_features as trained_features
from ganforge.builtin.features.classifier import Classifier
from ganforge.builtin.features.classifier_features import FOLDER, Digits, Fashion, TrainedFeatures
from ganforge.builtin.metrics.fid import frechet_distance, gaussians
from ganforge.components import ImageSpec, ImageTensors
from ganforge.config import command_line_layer, to_document
from ganforge.config.resolve import resolve
from ganforge.errors import DataError, IncompatibleError
from ganforge.plugins.registry import Registry
from tests.helpers.runs import ROOT

GRAY = ImageSpec(1, 28, 28)
EXTRACTORS = [Digits, Fashion]

#: SHA-256 of the weights as tensors. If it changes, scores of older runs cannot be compared any more.
FINGERPRINTS = {
    "digits": "d384be24f77bb7e33e5f653f1764d52a10a2cf0d3b2308351e0baad7f68c215a",
    "fashion": "9ba4a8838c1e1d49d1d002664c82023d2193186d391173339c82e6b8ab3ff15d",
}


def built(cls: type[TrainedFeatures], weights: Path | None = None) -> TrainedFeatures:
    """Return an extractor as an evaluation has it."""
    return cls(cls.Options(weights=weights), GRAY).eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def digits() -> ImageTensors:
    """Return the test digits that ship with ganforge; the classifier was trained without them."""
    images = Mnist(Mnist.Options(source="sample")).open("test")
    assert isinstance(images, ImageTensors)
    return images


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Tensor]:
    """Return the weights of the digits' classifier."""
    return load_file(FOLDER / "digits.safetensors")


def test_the_digits_are_recognised(digits: ImageTensors) -> None:
    """At least 99% of the test digits that ship are classified right; logits have the order of the class names."""
    logits = built(Digits)(digits.images).logits
    assert logits is not None
    assert logits.argmax(1).eq(digits.condition).float().mean() >= 0.99
    assert built(Digits).class_names == Mnist(Mnist.Options(source="sample")).class_names


def test_clothes_classifier_recognizes_drawn_shapes() -> None:
    """Drawn clothes: two legs are trousers, and a filled square with a handle is a bag."""
    trousers, bag = torch.zeros(2, 28, 28, dtype=torch.uint8)
    trousers[1:27, 9:13] = trousers[1:27, 15:19] = trousers[1:8, 9:19] = 180
    bag[10:26, 3:25] = 170
    bag[4:6, 9:19] = bag[4:10, 9:11] = bag[4:10, 17:19] = 120
    extractor = built(Fashion)
    logits = extractor(torch.stack([trousers, bag])[:, None]).logits
    assert logits is not None
    assert [extractor.class_names[number] for number in logits.argmax(1)] == ["Trouser", "Bag"]


def test_trained_features_match_a_plain_loop(digits: ImageTensors, weights: dict[str, Tensor]) -> None:
    """The features are those of a loop over the file's tensors; the logits are linear in them."""
    maps = digits.images[:20].float() / 255
    numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("layers.")})
    for number in numbers:
        kernel, bias = (weights[f"layers.{number}.{part}"].float() for part in ("weight", "bias"))
        widens = kernel.shape[0] > 1.5 * kernel.shape[1] and kernel.shape[1] > 1  # there the map is halved
        maps = conv2d(maps, kernel, bias, stride=2 if widens else 1, padding=1).clamp(min=0)
    expected = maps.flatten(2).sum(2) / 49
    found = built(Digits)(digits.images[:20])
    torch.testing.assert_close(found.features, expected)
    torch.testing.assert_close(found.logits, expected @ weights["head.weight"].float().T + weights["head.bias"].float())


@pytest.mark.parametrize("cls", EXTRACTORS)
def test_an_image_is_described_by_itself(cls: type[TrainedFeatures], digits: ImageTensors) -> None:
    """Alone, among others and in training mode an image has the same features, but for rounding."""
    extractor, images = built(cls), digits.images[:64]
    together = extractor(images)
    alone = torch.cat([extractor(image[None]).features for image in images])
    torch.testing.assert_close(alone, together.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(extractor.train()(images.flip(0)).features.flip(0), together.features)
    assert torch.equal(extractor.eval()(images).features, together.features)
    assert (together.features.shape, together.features.dtype) == ((64, 64), torch.float32)


@pytest.mark.parametrize("cls", EXTRACTORS)
def test_trained_weights_are_the_pinned_files(cls: type[TrainedFeatures]) -> None:
    """The files are the pinned ones, under 1 MB each; their fingerprint, which protocols carry, stays the same."""
    content = (FOLDER / f"{cls.name}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == cls.sha256
    assert len(content) < 1_000_000
    assert built(cls).fingerprint() == FINGERPRINTS[cls.name]


def test_worse_digits_are_farther_away(digits: ImageTensors) -> None:
    """The Fréchet distance grows with noise, with blur and with missing classes, from that of untouched digits on."""
    extractor = built(Digits)
    assert digits.condition is not None
    real, fakes, labels = digits.images[::4], digits.images[1::4], digits.condition[1::4]
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(fakes.shape, generator=rng)

    def distance(images: Tensor) -> float:
        one, two = (extractor(each).features for each in (real, images))
        return frechet_distance(next(gaussians(one, [len(one)])), next(gaussians(two, [len(two)])))

    least = distance(fakes)
    noisy = [distance((fakes + noise * deviation).clamp(0, 255).byte()) for deviation in (10, 50)]
    blurred = [distance(gaussian_blur(fakes, [7, 7], [sigma, sigma])) for sigma in (0.5, 1.0)]
    fewer = [distance(fakes[labels < classes]) for classes in (8, 3)]
    for growing in (noisy, blurred, fewer):
        assert least < growing[0] < growing[1]
    assert least < 2
    assert min(noisy[1], fewer[1]) > 50


def test_building_draws_no_random_numbers() -> None:
    """Weights that are read at once are not drawn first: the caller's random numbers are unchanged."""
    before = torch.get_rng_state()
    built(Digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_that_ship_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit that differs, a part that is missing, or no file at all: the error names the file and what to do."""
    file = tmp_path / "digits.safetensors"
    shutil.copy(FOLDER / file.name, file)
    monkeypatch.setattr(trained_features, "FOLDER", tmp_path)
    whole = file.read_bytes()
    assert built(Digits).fingerprint() == FINGERPRINTS["digits"]
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:1000], b""):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"digits\.safetensors is damaged: its SHA-256 is \w{64}, not") as error:
            built(Digits)
        assert error.value.fix is not None
        assert "--force-reinstall" in error.value.fix
    file.unlink()
    with pytest.raises(DataError, match=r"digits\.safetensors cannot be read: No such file"):
        built(Digits)


def test_weights_of_ones_own(tmp_path: Path, weights: dict[str, Tensor], digits: ImageTensors) -> None:
    """Weights are used in the precision in which they are stored, and protocols differ from those that ship."""
    file = tmp_path / "own.safetensors"
    save_file({name: tensor.double() for name, tensor in weights.items()}, file)
    own, shipped = built(Digits, file), built(Digits)
    assert torch.equal(own(digits.images[:9]).features, shipped(digits.images[:9]).features)
    assert own.fingerprint() == shipped.fingerprint()
    save_file({name: tensor * (1.5 if name == "head.bias" else 1) for name, tensor in weights.items()}, file)
    assert built(Digits, file).fingerprint() != shipped.fingerprint()


def test_weights_that_do_not_fit(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    """Each is refused by one message that names the file and what is wrong with it, and never run as code."""
    file = tmp_path / "own.safetensors"

    def said() -> str:
        with pytest.raises(DataError) as error:
            built(Digits, file)
        assert error.value.fix is not None
        assert str(file) in error.value.message
        assert len(error.value.message.splitlines()) == 1
        return error.value.message

    assert "No such file" in said()
    torch.save(weights, file)
    assert "is not a safetensors file" in said()
    file.write_bytes(b"\xff" * 100)
    assert "is not a safetensors file" in said()
    file.write_bytes(b"\0" * ((4 << 20) + 1))
    assert "is longer than 4,194,304 bytes" in said()
    bias = weights["head.bias"]
    for name, tensor, words in (
        ("head.bias", bias[:9], "head.bias is (9,), not (10,)"),
        ("head.bias", bias.int(), "head.bias is torch.int32, not floating point"),
        ("head.bias", bias / 0, "head.bias has numbers that are not finite"),
        ("tail.bias", bias.clone(), "the network has no tail.bias"),
    ):
        save_file({**weights, name: tensor}, file)
        assert words in said()
    save_file({name: tensor for name, tensor in weights.items() if name != "head.bias"}, file)
    assert "head.bias is missing" in said()
    file.unlink()
    file.mkdir()
    assert "Is a directory" in said()


@pytest.mark.parametrize("cls", EXTRACTORS)
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (1, 28, 27), (3, 64, 64), (4, 28, 28)])
def test_other_images_are_refused(cls: type[TrainedFeatures], shape: tuple[int, int, int]) -> None:
    """Nothing is resized in silence; the message names both shapes and an extractor that takes such images."""
    with pytest.raises(IncompatibleError, match=cls.name) as error:
        cls.check_image(cls.Options(), ImageSpec(*shape))
    assert error.value.fix is not None
    assert "×".join(map(str, shape)) in error.value.message
    assert "1×28×28" in error.value.message
    assert "random-convolutions" in error.value.fix
    assert ("inception" in error.value.fix) == (shape[0] in (1, 3))
    cls.check_image(cls.Options(), GRAY)


def test_what_ships_computes_what_was_trained(monkeypatch: pytest.MonkeyPatch, digits: ImageTensors) -> None:
    """In the script that makes the weights, folding batch norm into the convolutions changes no feature."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "scripts"))
    script = importlib.import_module("train_features")
    images = digits.images[:50].float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = script.with_batch_norm(Classifier())
        for _ in range(3):  # statistics and scales that are not those of the start
            network(script.changed(images, script.TASKS["digits"]))
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    expected, _ = network.eval()(images)
    folded = script.folded(network)
    assert folded.state_dict().keys() == Classifier().state_dict().keys()
    torch.testing.assert_close(folded.train()(images)[0], expected, rtol=1e-4, atol=1e-5)


def test_images_are_changed_within_bounds(monkeypatch: pytest.MonkeyPatch, digits: ImageTensors) -> None:
    """In that script, a task that moves nothing leaves images as they are; one that flips mirrors about a half."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "scripts"))
    script = importlib.import_module("train_features")
    images = digits.images[:200].float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        still, flipped, moved = (
            script.changed(images, script.Task("", **how))
            for how in ({"shift": 0}, {"shift": 0, "flip": True}, {"shift": 2 / 28})
        )
    torch.testing.assert_close(still, images, rtol=0, atol=1e-5)
    mirrored = (flipped - images.flip(3)).abs().amax((1, 2, 3)) < 1e-3
    kept = (flipped - images).abs().amax((1, 2, 3)) < 1e-3
    assert bool((mirrored | kept).all())
    assert 60 < int(mirrored.sum()) < 140
    assert float((moved.sum((2, 3)) / images.sum((2, 3))).min()) > 0.8


def test_mnist_recommends_digits(registry: Registry) -> None:
    """A plan for MNIST has them, and names the origin; the user's own choice goes before."""
    found = resolve([command_line_layer([])], registry)
    assert (found.one("features").cls, found.origin("features")) == (Digits, "recommended by dataset mnist")
    found = resolve([command_line_layer(["features=pixels"])], registry)
    assert (found.experiment.features.name, found.origin("features")) == ("pixels", "command line")


def test_a_path_means_the_same_everywhere(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Custom weights are written into run.toml with their whole path, from any folder."""
    monkeypatch.chdir(tmp_path)
    found = resolve([command_line_layer(["features.weights=own.safetensors"])], registry)
    assert to_document(found.experiment)["features"]["digits"]["weights"] == str(tmp_path / "own.safetensors")
    found = resolve([command_line_layer(["features.weights=none"])], registry)
    assert found.one("features").options == Digits.Options()
