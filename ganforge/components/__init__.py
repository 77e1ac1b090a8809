"""Component interfaces: the classes that plugin authors subclass.

The interfaces import torch; they are loaded on first use, so that `components.spec` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganforge.components.augmentations import Augmentation
    from ganforge.components.base import Configurable, Options
    from ganforge.components.datasets import Dataset, DatasetInfo, Images, Split, check_images
    from ganforge.components.features import FeatureExtractor, FeatureOutput, weights_sha256
    from ganforge.components.losses import Loss
    from ganforge.components.metrics import EvaluationContext, Metric, Need
    from ganforge.components.networks import Discriminator, DiscriminatorOutput, Generator, ImageSpec, Network
    from ganforge.components.penalties import Penalty

_MODULES = {
    "augmentations": ("Augmentation",),
    "base": ("Configurable", "Options"),
    "datasets": ("Dataset", "DatasetInfo", "Images", "Split", "check_images"),
    "features": ("FeatureExtractor", "FeatureOutput", "weights_sha256"),
    "losses": ("Loss",),
    "metrics": ("EvaluationContext", "Metric", "Need"),
    "networks": ("Discriminator", "DiscriminatorOutput", "Generator", "ImageSpec", "Network"),
    "penalties": ("Penalty",),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Augmentation",
    "Configurable",
    "Dataset",
    "DatasetInfo",
    "Discriminator",
    "DiscriminatorOutput",
    "EvaluationContext",
    "FeatureExtractor",
    "FeatureOutput",
    "Generator",
    "ImageSpec",
    "Images",
    "Loss",
    "Metric",
    "Need",
    "Network",
    "Options",
    "Penalty",
    "Split",
    "check_images",
    "weights_sha256",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have every type
    if name in _LAZY:
        return getattr(import_module(f"ganforge.components.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ganforge.components' has no attribute {name!r}")
