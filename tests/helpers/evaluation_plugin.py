"""Local plugin for tests of evaluations, with simple extractors and metrics."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.plugins import local

#: Means of rows of pixels; classes by brightness; and metrics, each of which shows one thing.
SOURCE = '''
import random
import sys
import time

import numpy
import torch

from ganforge import FeatureOutput, FeatureExtractor, Metric, MetricResult

described = []  # numbers of images in each call of an extractor
computed = []  # names of metrics, in the order in which they were computed
seen = {}  # last context of each metric, by the metric's name


class Rows(FeatureExtractor):
    """The mean of each row, in float32, by a matrix product that autocast would make inexact."""

    preprocessing = "none"

    def __init__(self, options, image):
        super().__init__(options, image)
        self.size = image.height
        self.register_buffer("weights", torch.full((image.channels * image.width, 1), 1 / image.width))

    def forward(self, images):
        described.append(len(images))
        assert not self.training
        rows = images.float().div(255).transpose(1, 2).flatten(2)
        return FeatureOutput((rows @ self.weights).squeeze(2))


class Classes(Rows):
    """Tells apart what is dark and what is bright."""

    class_names = ("dark", "bright")

    def forward(self, images):
        brightness = images.float().mean((1, 2, 3))
        return FeatureOutput(super().forward(images).features, torch.stack([30 - brightness, brightness - 30], 1))


class Broken(Rows):
    def forward(self, images):
        raise ValueError("no eyes")


class Misshapen(Rows):
    def forward(self, images):
        return FeatureOutput(super().forward(images).features[:, 1:])


class Listed(Rows):
    def forward(self, images):
        return FeatureOutput(super().forward(images).features.tolist())


def pictures(context, source):
    """Return all pictures of a source, `(N, C, H, W)` uint8."""
    return torch.cat(list(context.batches(source)))


class Shown(Metric):
    """Metrics that record their names and contexts."""

    needs = frozenset({"features"})

    def compute(self, context):
        (name,) = self.higher_is_better
        computed.append(name)
        seen[name] = context
        score = self.score(context)
        return score if isinstance(score, MetricResult) else MetricResult({name: float(score)})


class Gap(Shown):
    """Distance of the mean features; a picture and details beside."""

    higher_is_better = {"gap": False}

    def score(self, context):
        real, fake = context.features("real").features, context.features("fake").features
        assert context.features("fake").features is fake
        details = {"deviation": 0.25, "largest": float((real - fake).abs().max()), "none": float("nan")}
        first = next(context.batches("fake"))[0]
        return MetricResult({"gap": float((real.mean(0) - fake.mean(0)).norm())}, details, {"first": first})


class Draws(Shown):
    """Draws from its own generator, and from all global ones."""

    higher_is_better = {"draws": False}
    needs = frozenset()

    def score(self, context):
        drawn = [torch.rand((), generator=context.rng), torch.rand(()), random.random(), numpy.random.rand()]
        return sum(map(float, drawn))


class Bright(Shown):
    """The share of bright fakes, as a classifier sees it."""

    higher_is_better = {"bright": True}
    needs = frozenset({"logits"})

    def score(self, context):
        return context.features("fake").logits.argmax(1).float().mean()


class Copied(Shown):
    """The share of fakes that are training images."""

    higher_is_better = {"copied": False}
    needs = frozenset({"train"})
    has_reference = False

    def score(self, context):
        known = {image.numpy().tobytes() for image in pictures(context, "train")}
        fakes = pictures(context, "fake")
        return sum(image.numpy().tobytes() in known for image in fakes) / len(fakes)


class Many(Shown):
    """Needs a hundred images."""

    higher_is_better = {"many": False}

    def check(self, *, num_samples, extractor):
        from ganforge.errors import DataError

        if num_samples < 100:
            raise DataError(f"many needs 100 images, not {num_samples}, for {extractor.size} features")

    def score(self, context):
        return context.num_samples


class Slow(Shown):
    """Takes its time."""

    higher_is_better = {"slow": False}
    needs = frozenset()
    has_reference = False

    def score(self, context):
        time.sleep(0.3)
        return pictures(context, "fake").float().mean()


class Later(Shown):
    """Grows with each metric that is computed: the first value is the best."""

    higher_is_better = {"later": False}
    needs = frozenset()
    has_reference = False

    def score(self, context):
        return len(computed)


class Raises(Shown):
    higher_is_better = {"raises": False}

    def score(self, context):
        raise RuntimeError("cannot count")


class Exits(Shown):
    higher_is_better = {"exits": False}

    def score(self, context):
        sys.exit(3)


class Infinite(Shown):
    higher_is_better = {"infinite": False}

    def score(self, context):
        return float("inf")


class Secret(Shown):
    """Looks at features without saying so."""

    higher_is_better = {"secret": False}
    needs = frozenset()

    def score(self, context):
        return context.features("fake").features.mean()


class Sees(Shown):
    """Uses the generator and its latents: the mean feature of fakes that it generates itself."""

    higher_is_better = {"sees": False}
    needs = frozenset({"features", "generator"})
    has_reference = False

    def score(self, context):
        z = context.latent.sample(10, context.generator.latent_dim, context.rng)
        with torch.no_grad():
            features = context.extract(context.generator(z)).features
            for weight in context.generator.parameters():
                weight.zero_()  # its copy: nobody else's fakes change
        return features.mean()


class Telling(Metric):
    """Returns what JSON cannot hold, another score than it declares, or a picture of a wrong type, by its option."""

    class Options(Metric.Options):
        what: str = "details"

    higher_is_better = {"telling": False}

    def compute(self, context):
        picture = next(context.batches("real"))[0]
        details = {"details": {"tensor": picture}}.get(self.options.what, {})
        images = {"picture": {"telling": picture.float()}, "name": {"../telling": picture}}.get(self.options.what, {})
        scores = {"score": {"told": 1.0}, "text": {"telling": "high"}}.get(self.options.what, {"telling": 1})
        return scores if self.options.what == "type" else MetricResult(scores, details, images)


@hookimpl
def ganforge_components():
    extractors = {"rows": Rows, "classes": Classes, "broken": Broken, "misshapen": Misshapen, "listed": Listed}
    metrics = (Gap, Draws, Bright, Copied, Many, Slow, Later, Raises, Exits, Infinite, Secret, Sees, Telling)
    return [
        *(Component(kind="features", name=name, target=cls) for name, cls in extractors.items()),
        *(Component(kind="metric", name=cls.__name__.lower(), target=cls) for cls in metrics),
    ]
'''


def scoring_plugin(folder: Path) -> Path:
    """Write the plugin, and return its file."""
    return local(folder / "scoring.py", SOURCE)
