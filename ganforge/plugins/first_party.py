"""Components and presets of the distributions in ganforge's repository, for messages about missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from ganforge.components.spec import Kind

Provided: TypeAlias = Kind | Literal["preset"]

#: Distribution → kind → names.
FIRST_PARTY: Mapping[str, Mapping[Provided, frozenset[str]]] = {
    "ganforge-augment": {"augmentation": frozenset({"ada", "diffaugment"})},
    "ganforge-conditional": {
        "generator": frozenset({"conditional-dcgan", "conditional-mlp"}),
        "discriminator": frozenset({"ac-dcgan", "conditional-dcgan", "conditional-mlp"}),
        "term": frozenset({"ac-gan", "feature-matching"}),
    },
    "ganforge-datasets": {
        "dataset": frozenset(
            {"celeba", "cifar10", "emnist", "fashion-mnist", "hdf5", "huggingface", "kmnist", "lmdb", "parquet", "svhn"}
        )
    },
    "ganforge-inception": {"features": frozenset({"inception"})},
    "ganforge-losses": {
        "loss": frozenset({"hinge", "least-squares", "minimax", "relativistic", "wasserstein", "wasserstein-gp"}),
        "term": frozenset({"gradient-penalty", "r1", "r2"}),
    },
    "ganforge-r3gan": {
        "generator": frozenset({"r3gan"}),
        "discriminator": frozenset({"r3gan"}),
        "preset": frozenset({"r3gan-cifar10"}),
    },
    "ganforge-resnet": {
        "generator": frozenset({"resnet"}),
        "discriminator": frozenset({"resnet"}),
        "preset": frozenset({"best"}),
    },
}


def providing_distribution(kind: Provided, name: str) -> str | None:
    """Return the distribution that provides a component or a preset, or None."""
    return next((owner for owner, kinds in FIRST_PARTY.items() if name.replace("_", "-") in kinds.get(kind, ())), None)
