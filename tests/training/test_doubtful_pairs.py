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
from ganforge import Augmentation, Component, Discriminator, Loss, hookimpl
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


@hookimpl
def ganforge_components():
    kinds = {"difference": "loss", "paired": "loss", "adaptive": "augmentation", "knowing": "discriminator"}
    return [Component(kind=kind, name=name, target=globals()[name.capitalize()]) for name, kind in kinds.items()]
"""


COMMON = ("gen=mlp", "gen.hidden=[8]", "batch_size=8")


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
        (
            ("loss=difference", "disc=mlp", "augment=adaptive"),
            "'adaptive' (doubtful.py local) adapts to the signs",
        ),
        (("loss=bce", "disc=mlp", "augment=adaptive"), None),
        (
            ("loss=bce", "disc=knowing"),
            "discriminator 'knowing' (doubtful.py local) is conditional, but gen",
        ),
    ],
)
def test_a_doubtful_pair_is_one_notice(settings: tuple[str, ...], notice: str | None, doubtful: Registry) -> None:
    """Batch norm under a loss of pairs, adaptation to signs without a meaning, conditions that only D gets."""
    notices = prepare(tiny(doubtful, *COMMON, *settings), doubtful).resolved.notices
    assert len(notices) == (notice is not None)
    assert notice is None or notice in notices[0]


def test_conditional_discriminator_gets_labels_without_a_conditional_generator(doubtful: Registry) -> None:
    """Real images and fakes of both updates have the labels of the batch."""
    gan = build(tiny(doubtful, *COMMON, "disc=knowing"))
    stepped(gan, 1)
    condition = loader_of(gan).batch(0).condition
    assert condition is not None
    labels: list[list[int]] = gan.discriminator.labels  # type: ignore[assignment]
    assert labels
    assert all(values == condition.tolist() for values in labels)
