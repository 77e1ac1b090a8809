"""Evaluation of any data: float32 numbers, an autoencoder's latents, conditions of every kind, sampling options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import ConfigError, PluginError
from ganforge.evaluation.comparability import diff
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.plugins.registry import Registry
from ganforge.training.build import GANComponents, build
from tests.helpers.plugins import local

COUNT = 40
SOURCE = '''
import torch
from torch import nn

from ganforge import (
    ConditionSpec, Dataset, DatasetInfo, FeatureExtractor, FeatureOutput, Generator, ImageSpec, ImageTensors, Metric,
    MetricResult,
)

seen = {}  # what the metric `sees` saw last, by source


def rng(split):
    return torch.Generator().manual_seed(len(split))


class Points(Dataset):
    """Points in the plane, far outside of [-1, 1]."""

    def open(self, split):
        return ImageTensors(10 + 5 * torch.randn(100, 2, 1, 1, generator=rng(split)))


class Latents(Dataset):
    """Latents of an autoencoder, whose decoder repeats them four times as wide and inverts the first channel."""

    def open(self, split):
        return ImageTensors(3 * torch.rand(100, 4, 2, 2, generator=rng(split)))

    def to_pixels(self, images):
        assert images.device.type == "cpu"
        return (255 - 80 * images[:, :1]).repeat_interleave(4, 2).repeat_interleave(4, 3).to(torch.uint8)


class Wrong(Latents):
    """Pictures of a wrong type."""

    def to_pixels(self, images):
        return images


class Conditioned(Dataset):
    """Images that equal their condition: a class, a vector, or a tensor."""

    class Options(Dataset.Options):
        kind: str = "classes"
        stream: bool = False

    class_names = None

    def open(self, split):
        images = torch.randint(0, 4, (100, 1, 2, 2), generator=rng(split), dtype=torch.uint8)
        condition = {
            "classes": images[:, 0, 0, 0].long(),
            "vector": images.flatten(1).float(),
            "tensor": images,
        }[self.options.kind]
        tensors = ImageTensors(images, condition)
        return Items(tensors) if self.options.stream else tensors

    @property
    def info(self):
        spec = {
            "classes": ConditionSpec.classes(4),
            "vector": ConditionSpec.vector(4),
            "tensor": ConditionSpec.tensor((1, 2, 2)),
        }[self.options.kind]
        return DatasetInfo(ImageSpec(1, 2, 2, spec), None, {"train": 100, "test": 100}, "fixed")


class Items(torch.utils.data.Dataset):
    def __init__(self, tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors)

    def __getitem__(self, index):
        condition = self.tensors.condition[index]
        return self.tensors.images[index], int(condition) if condition.ndim == 0 else condition


class Shifted(Generator):
    """Numbers around a mean, with a truncation of what is added to it."""

    bounded = False

    class SamplingOptions(Generator.SamplingOptions):
        truncation: float = 1.0

    def __init__(self, options, image):
        super().__init__(options, image)
        self.mean = nn.Parameter(torch.full((1,), 10.0))

    def forward(self, z, condition=None):
        noise = z[:, : self.image.numel].view(-1, *self.image.shape)
        return self.mean + 5 * self.sampling.truncation * noise


class Copies(Generator):
    """Images that show their condition."""

    def __init__(self, options, image):
        super().__init__(options, image)
        self.weight = nn.Parameter(torch.ones(1))

    @property
    def conditional(self):
        return True

    def forward(self, z, condition=None):
        if self.image.condition.kind == "tensor":
            return condition * self.weight  # as networks see it, in [-1, 1]
        shown = condition.float().view(len(z), -1) * self.weight / 127.5 - 1
        return shown.view(len(z), -1, 1, 1).expand(-1, -1, 2, 2) if shown.shape[1] == 1 else shown.view(-1, 1, 2, 2)


class Sees(Metric):
    """Keeps what it sees; its score is the distance of the mean features."""

    higher_is_better = {"sees": False}
    needs = frozenset({"features"})

    def compute(self, context):
        for source in ("real", "fake"):
            pictures = torch.cat(list(context.batches(source)))
            # the reference, which is computed last, must not replace it
            seen.setdefault(source, (pictures, context.features(source).features, context.condition(source)))
        real, fake = (context.features(source).features.mean(0) for source in ("real", "fake"))
        return MetricResult({"sees": float((real - fake).norm())})


class Shapes(FeatureExtractor):
    """Extractor that remembers the images that it was built for and the types of those that it gets."""

    preprocessing = "none"
    size = 1

    def forward(self, images):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == self.image.shape
        return FeatureOutput(images.flatten(1).float().mean(1, keepdim=True))


@hookimpl
def ganforge_components():
    datasets = {"points": Points, "latents": Latents, "wrong": Wrong, "conditioned": Conditioned}
    return [
        *(Component(kind="dataset", name=name, target=cls) for name, cls in datasets.items()),
        Component(kind="generator", name="shifted", target=Shifted),
        Component(kind="generator", name="copies", target=Copies),
        Component(kind="features", name="shapes", target=Shapes),
        Component(kind="metric", name="sees", target=Sees),
    ]
'''

Make = Callable[..., GANComponents]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Build components of the local plugin."""
    plugin = local(tmp_path / "kinds.py", SOURCE)

    def components(*settings: str) -> GANComponents:
        registry = Registry.discover([plugin], no_plugins=True)
        words = ["precision=fp32", "device=cpu", "disc=mlp", "disc.mlp.hidden=[4]", "metric=sees", *settings]
        return build(resolve([command_line_layer(words)], registry))

    return components


def evaluated(gan: GANComponents, **more: Any) -> Evaluation:
    """Score the components' own generator on 40 images, 7 at a time."""
    seen(gan).clear()
    evaluator = Evaluator(gan, num_samples=COUNT, split="test", seed=1, weights="generator", batch_size=7, **more)
    return evaluator.evaluate(gan.generator, gan.latent)


def seen(gan: GANComponents) -> dict[str, Any]:
    """Return pictures, features and conditions that the metric saw, by source."""
    found: dict[str, Any] = sys.modules[type(gan.metrics["sees"]).__module__].seen
    return found


def test_points_are_compared_as_they_are(make: Make) -> None:
    """With `--features raw` numbers outside of [-1, 1] are neither clamped nor rounded."""
    gan = make("data=points", "gen=shifted", "features=raw", "metric=precision,recall")
    found = evaluated(gan)
    test = gan.images("test")
    assert test is not None
    features = seen(gan)["real"][1]
    assert {tuple(row) for row in features.tolist()} <= {tuple(row) for row in test.images.flatten(1).tolist()}
    assert features.max() > 15
    assert found.scores["sees"] < 3  # type: ignore[operator]
    assert found.scores["precision"] > 0.6  # type: ignore[operator]
    assert found.protocol.features is not None
    assert found.protocol.features.name == "raw"


def test_latents_are_decoded_for_features_and_pictures(make: Make) -> None:
    """The extractor is built for the decoder's pictures, and both sources are decoded."""
    gan = make("data=latents", "gen=shifted", "features=shapes")
    evaluated(gan)
    assert gan.extractor().image.shape == (1, 8, 8)
    real, fake = (seen(gan)[source][0] for source in ("real", "fake"))
    assert real.shape == fake.shape == (COUNT, 1, 8, 8)
    test = gan.images("test")
    assert test is not None
    assert {int(value) for value in real[:, 0, 0, 0]} <= {int(255 - 80 * value) for value in test.images[:, 0, 0, 0]}


def test_a_wrong_to_pixels_is_named(make: Make) -> None:
    """The dataset is blamed, before anything is generated."""
    with pytest.raises(PluginError, match=r"to_pixels returns torch.float32"):
        evaluated(make("data=wrong", "gen=shifted", "features=shapes"))


@pytest.mark.parametrize("stream", ["no", "yes"])
@pytest.mark.parametrize("kind", ["classes", "vector", "tensor"])
def test_fakes_get_the_conditions_of_the_real_images(kind: str, stream: str, make: Make) -> None:
    """In their order, whatever their kind, in memory or read image by image: a generator that shows them is perfect."""
    settings = (f"data.conditioned.kind={kind}", f"data.conditioned.stream={stream}")
    gan = make("data=conditioned", "gen=copies", "features=pixels", *settings)
    evaluated(gan)
    (real, _, condition), (fake, _, given) = seen(gan)["real"], seen(gan)["fake"]
    assert torch.equal(condition, given)
    assert condition.dtype == {"classes": torch.int64, "vector": torch.float32, "tensor": torch.uint8}[kind]
    if kind == "classes":
        assert torch.equal(fake, condition.byte().view(-1, 1, 1, 1).expand_as(fake))
        assert torch.equal(real[:, 0, 0, 0], condition.byte())
    else:
        assert torch.equal(fake, real)


def test_sampling_options_change_fakes_and_protocol(make: Make) -> None:
    """Only options that differ from the defaults are in the protocol; scores with others are not comparable."""
    gan = make("data=points", "gen=shifted", "features=raw")
    usual, truncated = evaluated(gan), evaluated(gan, sampling={"truncation": 0})
    assert usual.protocol.sampling == {}
    assert truncated.protocol.sampling == {"truncation": 0.0}
    features = seen(gan)["fake"][1]
    assert torch.equal(features, torch.full_like(features, 10.0))
    lines = diff(usual.protocol, truncated.protocol, "sees")
    assert lines == ["sampling options, truncation: unknown, 0.0"]
    assert evaluated(gan).scores == usual.scores
    with pytest.raises(ConfigError, match="invalid sampling option 'trunc'; did you mean 'truncation'"):
        evaluated(gan, sampling={"trunc": 1})


def test_raw_features_of_bytes_are_as_networks_see_them(make: Make) -> None:
    """uint8 images are in [-1, 1], for real images and fakes alike."""
    gan = make("data=conditioned", "data.conditioned.kind=tensor", "gen=copies", "features=raw")
    evaluated(gan)
    for pictures, features, _ in seen(gan).values():
        assert torch.equal(features, pictures.flatten(1) / 127.5 - 1)
