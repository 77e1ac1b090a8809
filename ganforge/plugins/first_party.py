"""Components of the distributions in ganforge's repository, for messages about those that are not installed."""

from __future__ import annotations

from collections.abc import Mapping

from ganforge.components.spec import Kind

#: Distribution → kind → names.
FIRST_PARTY: Mapping[str, Mapping[Kind, frozenset[str]]] = {
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
    "ganforge-r3gan": {"generator": frozenset({"r3gan"}), "discriminator": frozenset({"r3gan"})},
    "ganforge-resnet": {"generator": frozenset({"resnet"}), "discriminator": frozenset({"resnet"})},
}


def providing_distribution(kind: Kind, name: str) -> str | None:
    """Return the distribution that provides a component, or None."""
    component = name.replace("_", "-")
    return next((owner for owner, kinds in FIRST_PARTY.items() if component in kinds.get(kind, ())), None)
