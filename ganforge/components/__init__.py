"""Component interfaces: the classes that plugin authors subclass.

The interfaces import torch; they are loaded on first use, so that `components.spec` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganforge.components.augmentations import Augmentation, Parameters
    from ganforge.components.base import ComponentOptions, Configurable
    from ganforge.components.datasets import Dataset, ImageTensors, Item, Split, check_images
    from ganforge.components.features import FeatureExtractor, FeatureOutput, weights_sha256
    from ganforge.components.image_spec import ConditionSpec, DatasetInfo, ImageSpec
    from ganforge.components.latents import LatentDistribution, Space
    from ganforge.components.losses import Loss, LossTerm
    from ganforge.components.metrics import EvaluationContext, Metric, MetricResult, Need
    from ganforge.components.networks import Discriminator, Generator, Network
    from ganforge.components.optimizers import OptimizerFactory, Schedule
    from ganforge.components.outputs import DiscriminatorInput, DiscriminatorOutput, GeneratorOutput
    from ganforge.components.train_step import TrainStep
    from ganforge.components.trained_component import TrainedComponent

_MODULES = {
    "augmentations": ("Augmentation", "Parameters"),
    "base": ("ComponentOptions", "Configurable"),
    "datasets": ("Dataset", "ImageTensors", "Item", "Split", "check_images"),
    "features": ("FeatureExtractor", "FeatureOutput", "weights_sha256"),
    "image_spec": ("ConditionSpec", "DatasetInfo", "ImageSpec"),
    "latents": ("LatentDistribution", "Space"),
    "losses": ("Loss", "LossTerm"),
    "metrics": ("EvaluationContext", "Metric", "MetricResult", "Need"),
    "networks": ("Discriminator", "Generator", "Network"),
    "optimizers": ("OptimizerFactory", "Schedule"),
    "outputs": ("DiscriminatorInput", "DiscriminatorOutput", "GeneratorOutput"),
    "train_step": ("TrainStep",),
    "trained_component": ("TrainedComponent",),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Augmentation",
    "ComponentOptions",
    "ConditionSpec",
    "Configurable",
    "Dataset",
    "DatasetInfo",
    "Discriminator",
    "DiscriminatorInput",
    "DiscriminatorOutput",
    "EvaluationContext",
    "FeatureExtractor",
    "FeatureOutput",
    "Generator",
    "GeneratorOutput",
    "ImageSpec",
    "ImageTensors",
    "Item",
    "LatentDistribution",
    "Loss",
    "LossTerm",
    "Metric",
    "MetricResult",
    "Need",
    "Network",
    "OptimizerFactory",
    "Parameters",
    "Schedule",
    "Space",
    "Split",
    "TrainStep",
    "TrainedComponent",
    "check_images",
    "weights_sha256",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have every type
    if name in _LAZY:
        return getattr(import_module(f"ganforge.components.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ganforge.components' has no attribute {name!r}")
