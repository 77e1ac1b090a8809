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

_TRAINING = ("outputs", "networks", "latents", "train_step", "losses", "augmentations", "optimizers")
#: Modules in the order in which names are looked up: those without torch first.
_MODULES = ("base", "image_spec", "trained_component", *_TRAINING, "datasets", "features", "metrics")

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
    if name in __all__:
        for module in _MODULES:
            names = vars(import_module(f"ganforge.components.{module}"))
            if name in names:
                return names[name]
    raise AttributeError(f"module 'ganforge.components' has no attribute {name!r}")
