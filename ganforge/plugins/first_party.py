"""What the distributions of ganforge's own repository bring, for those who ask for it without having installed them."""

from __future__ import annotations

from collections.abc import Mapping

from ganforge.components.spec import Kind

#: Distribution → kind → names.
SIBLINGS: Mapping[str, Mapping[Kind, frozenset[str]]] = {
    "ganforge-augment": {"augmentation": frozenset({"ada", "diffaugment"})},
    "ganforge-conditional": {
        "generator": frozenset({"conditional-dcgan", "conditional-mlp"}),
        "discriminator": frozenset({"ac-dcgan", "conditional-dcgan", "conditional-mlp"}),
        "loss": frozenset({"ac-gan", "feature-matching"}),
    },
    "ganforge-datasets": {
        "dataset": frozenset({"celeba", "cifar10", "emnist", "fashion-mnist", "huggingface", "kmnist", "svhn"})
    },
    "ganforge-inception": {"features": frozenset({"inception"})},
    "ganforge-losses": {
        "loss": frozenset({"hinge", "least-squares", "minimax", "relativistic", "wasserstein", "wasserstein-gp"}),
        "penalty": frozenset({"gradient-penalty", "r1", "r2"}),
    },
    "ganforge-r3gan": {"generator": frozenset({"r3gan"}), "discriminator": frozenset({"r3gan"})},
    "ganforge-resnet": {"generator": frozenset({"resnet"}), "discriminator": frozenset({"resnet"})},
}


def who_brings(kind: Kind, name: str) -> str | None:
    """Return the distribution that brings a component, or None."""
    wanted = name.replace("_", "-")
    return next((found for found, kinds in SIBLINGS.items() if wanted in kinds.get(kind, ())), None)
