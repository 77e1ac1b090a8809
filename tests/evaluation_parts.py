"""What the tests of evaluations share: a local plugin with extractors and metrics that are easy to see through."""

from __future__ import annotations

from pathlib import Path

from plugin_parts import local

#: Means of rows of pixels; classes by brightness; and metrics, each of which shows one thing.
SOURCE = '''
import random
import sys
import time

import numpy
import torch

from ganforge import FeatureOutput, FeatureExtractor, Metric

described = []  # how many images were described in each call
computed = []  # names of metrics, in the order in which they were computed
seen = {}  # the context that a metric was given last, by the metric's name


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


class Shown(Metric):
    """Share what the metrics here have in common: they tell that they were computed, and on what."""

    needs = frozenset({"features"})

    def compute(self, context):
        (name,) = self.better
        computed.append(name)
        seen[name] = context
        return {name: float(self.score(context))}


class Gap(Shown):
    """Distance of the mean features; a picture and details beside."""

    better = {"gap": "lower"}

    def score(self, context):
        real, fake = (context.extract(images).features for images in (context.real, context.fake))
        assert context.extract(context.fake).features is fake
        context.details["gap"] = {"deviation": 0.25, "largest": float((real - fake).abs().max()), "none": float("nan")}
        context.pictures["first"] = context.fake[0]
        return (real.mean(0) - fake.mean(0)).norm()


class Draws(Shown):
    """Draws from its own generator, and from all global ones."""

    better = {"draws": "lower"}
    needs = frozenset()

    def score(self, context):
        drawn = [torch.rand((), generator=context.rng), torch.rand(()), random.random(), numpy.random.rand()]
        return sum(map(float, drawn))


class Bright(Shown):
    """The share of bright fakes, as a classifier sees it."""

    better = {"bright": "higher"}
    needs = frozenset({"logits"})

    def score(self, context):
        return context.extract(context.fake).logits.argmax(1).float().mean()


class Copied(Shown):
    """The share of fakes that are training images."""

    better = {"copied": "lower"}
    needs = frozenset({"train"})
    has_reference = False

    def score(self, context):
        known = {image.numpy().tobytes() for image in context.train}
        return sum(image.numpy().tobytes() in known for image in context.fake) / len(context.fake)


class Many(Shown):
    """Needs a hundred images."""

    better = {"many": "lower"}

    def check(self, *, count, extractor):
        from ganforge.errors import DataError

        if count < 100:
            raise DataError(f"many needs 100 images, not {count}, for {extractor.size} features")

    def score(self, context):
        return len(context.fake)


class Slow(Shown):
    """Takes its time."""

    better = {"slow": "lower"}
    needs = frozenset()
    has_reference = False

    def score(self, context):
        time.sleep(0.3)
        return context.fake.float().mean()


class Later(Shown):
    """Grows with each metric that is computed: the first value is the best."""

    better = {"later": "lower"}
    needs = frozenset()
    has_reference = False

    def score(self, context):
        return len(computed)


class Raises(Shown):
    better = {"raises": "lower"}

    def score(self, context):
        raise RuntimeError("cannot count")


class Exits(Shown):
    better = {"exits": "lower"}

    def score(self, context):
        sys.exit(3)


class Infinite(Shown):
    better = {"infinite": "lower"}

    def score(self, context):
        return float("inf")


class Secret(Shown):
    """Looks at features without saying so."""

    better = {"secret": "lower"}
    needs = frozenset()

    def score(self, context):
        return context.extract(context.fake).features.mean()


class Telling(Metric):
    """Tells what JSON cannot hold, gives another score than it declares, or a picture of no type, as asked."""

    class Options(Metric.Options):
        what: str = "details"

    better = {"telling": "lower"}

    def compute(self, context):
        if self.options.what == "details":
            context.details["telling"] = {"tensor": context.real}
        if self.options.what == "picture":
            context.pictures["telling"] = context.real.float()[0]
        if self.options.what == "name":
            context.pictures["../telling"] = context.real[0]
        return {"score": {"told": 1.0}, "text": {"telling": "high"}}.get(self.options.what, {"telling": 1})


@hookimpl
def ganforge_components():
    extractors = {"rows": Rows, "classes": Classes, "broken": Broken, "misshapen": Misshapen, "listed": Listed}
    metrics = (Gap, Draws, Bright, Copied, Many, Slow, Later, Raises, Exits, Infinite, Secret, Telling)
    return [
        *(Component(kind="features", name=name, target=cls) for name, cls in extractors.items()),
        *(Component(kind="metric", name=cls.__name__.lower(), target=cls) for cls in metrics),
    ]
'''


def scoring_plugin(folder: Path) -> Path:
    """Write the plugin, and return its file."""
    return local(folder / "scoring.py", SOURCE)
