"""Law of components that train together, but not as intended: one notice each, by what they declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from ganforge.training.build import build
from tests.helpers.runs import tiny
from tests.helpers.updates import loader_of, stepped

SOURCE = """
import torch
from ganforge import Augmentation, Component, Discriminator, Generator, Loss, LossTerm, hookimpl
from torch import nn


class Difference(Loss):
    relative_logits = True

    def discriminator_loss(self, *, real, fake):
        return fake.logits - real.logits

    def generator_loss(self, *, real, fake):
        return real.logits - fake.logits


class Paired(Difference):
    pairs_images = True


class Adaptive(Augmentation):
    reads_signs = True

    def sample_parameters(self, images, step, *, real):
        return torch.zeros(len(images))

    def forward(self, images, parameters):
        return images


class Knowing(Discriminator):
    conditional = True

    def __init__(self, options, image):
        super().__init__(options, image)
        self.classes = nn.Embedding(image.num_classes, image.numel)
        self.labels = []

    def forward(self, images, condition=None):
        self.labels.append(condition.tolist())
        return (self.classes(condition) * images.flatten(1)).sum(1)


class Penalty(LossTerm):
    phases = ("disc",)
    per_image_gradients = True

    def forward(self, step):
        return step.real_output.logits ** 2


class Classifier(LossTerm):
    conditional = True

    def forward(self, step):
        return step.fake_output.logits * step.condition


class Classes(Generator):
    conditional = True

    def __init__(self, options, image):
        super().__init__(options, image)
        self.classes = nn.Embedding(image.num_classes, image.numel)

    def forward(self, z, condition=None):
        return self.classes(condition).tanh().view(-1, *self.image.shape)


class Sigmoid(Generator):
    def __init__(self, options, image):
        super().__init__(options, image)
        self.net = nn.Linear(self.latent_dim, image.numel)

    def forward(self, z, condition=None):
        return torch.sigmoid(self.net(z)).view(-1, *self.image.shape)


@hookimpl
def ganforge_components():
    kinds = {"difference": "loss", "paired": "loss", "adaptive": "augmentation", "knowing": "discriminator"}
    kinds |= {"penalty": "term", "classifier": "term", "classes": "generator", "sigmoid": "generator"}
    return [Component(kind=kind, name=name, target=globals()[name.capitalize()]) for name, kind in kinds.items()]
"""


COMMON = ("gen=mlp", "batch_size=8")


@pytest.fixture
def doubtful(tmp_path: Path) -> Registry:
    """Return a registry with the components above."""
    (tmp_path / "doubtful.py").write_text(SOURCE, encoding="utf-8")
    return Registry.discover([tmp_path / "doubtful.py"], no_plugins=True)


@pytest.mark.parametrize(
    ("settings", "notice"),
    [
        (("loss=paired", "disc=dcgan"), "discriminator 'dcgan' (ganforge 0.1.0) has batch norm"),
        (("loss=paired", "disc=mlp"), None),
        (("loss=difference", "disc=dcgan"), None),
        (("term=penalty", "disc=dcgan"), "term 'penalty' (doubtful.py local) penalizes the gradient of each image"),
        (("term=penalty", "disc=mlp"), None),
        (
            ("loss=difference", "disc=mlp", "augment=adaptive"),
            "'adaptive' (doubtful.py local) adapts to the signs",
        ),
        (("loss=bce", "disc=mlp", "augment=adaptive"), None),
        (
            ("loss=bce", "disc=knowing"),
            "discriminator 'knowing' (doubtful.py local) is conditional, but gen",
        ),
        (("gen=classes", "disc=mlp"), "generator 'classes' (doubtful.py local) is conditional, but neither disc"),
        (("gen=classes", "disc=knowing"), None),
        (("gen=classes", "disc=mlp", "term=classifier"), None),
    ],
)
def test_a_doubtful_pair_is_one_notice(settings: tuple[str, ...], notice: str | None, doubtful: Registry) -> None:
    """Batch norm under a loss of pairs or a penalty, adaptation to signs, conditions that one network gets alone."""
    notices = prepare(tiny(doubtful, *COMMON, *settings), doubtful).resolved.notices
    assert len(notices) == (notice is not None)
    assert notice is None or notice in notices[0]


def test_images_of_half_the_range_are_one_notice(doubtful: Registry) -> None:
    """A generator whose images are within [0, 1], next to data within [-1, 1], is noticed."""
    (notice,) = prepare(tiny(doubtful, "gen=sigmoid", "disc=mlp", "batch_size=8"), doubtful).resolved.notices
    assert notice.startswith("images of generator 'sigmoid' (doubtful.py local) are within [0.")
    assert notice.endswith("but data within [-1, 1]: its last layer is usually tanh, not sigmoid")


def test_conditional_discriminator_gets_labels_without_a_conditional_generator(doubtful: Registry) -> None:
    """Real images and fakes of both updates have the labels of the batch."""
    gan = build(tiny(doubtful, *COMMON, "disc=knowing"))
    stepped(gan, 1)
    condition = loader_of(gan).batch(0).condition
    assert condition is not None
    labels: list[list[int]] = gan.discriminator.labels  # type: ignore[assignment]
    assert labels
    assert all(values == condition.tolist() for values in labels)
