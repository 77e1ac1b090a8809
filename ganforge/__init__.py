"""ganforge: name a generator, a discriminator, a loss and a dataset; train, resume, sample and compare.

Importing it is light: modules that need torch are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import Component
from ganforge.errors import DataError, GanforgeError, IncompatibleError
from ganforge.plugins.commands import CommandGroup
from ganforge.plugins.hookspecs import RunInfo, hookimpl
from ganforge.plugins.installed import own_source
from ganforge.plugins.presets import Preset

if TYPE_CHECKING:
    from ganforge.api import evaluate, load, resume, train
    from ganforge.components import (
        Augmentation,
        ComponentOptions,
        ConditionSpec,
        Dataset,
        DatasetInfo,
        Discriminator,
        DiscriminatorOutput,
        EvaluationContext,
        FeatureExtractor,
        FeatureOutput,
        Generator,
        GeneratorOutput,
        ImageSpec,
        ImageTensors,
        LatentDistribution,
        Loss,
        LossTerm,
        Metric,
        MetricResult,
        OptimizerFactory,
        Schedule,
        TrainStep,
    )
    from ganforge.config.experiment import Experiment
    from ganforge.config.keywords import ExperimentSettings
    from ganforge.plugins.catalog import list_components
    from ganforge.report.comparison import Comparison, compare
    from ganforge.runs.trained_run import TrainedRun
    from ganforge.training.callbacks import Callback

__version__ = own_source().version

#: Modules of names that are imported on first use; those of other names are in `ganforge.components`.
_LAZY = {
    "Callback": "ganforge.training.callbacks",
    "Comparison": "ganforge.report.comparison",
    "Experiment": "ganforge.config.experiment",
    "ExperimentSettings": "ganforge.config.keywords",
    "TrainedRun": "ganforge.runs.trained_run",
    "compare": "ganforge.report.comparison",
    "evaluate": "ganforge.api",
    "list_components": "ganforge.plugins.catalog",
    "load": "ganforge.api",
    "resume": "ganforge.api",
    "train": "ganforge.api",
}

__all__ = [
    "Augmentation",
    "Callback",
    "CommandGroup",
    "Comparison",
    "Component",
    "ComponentOptions",
    "ConditionSpec",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "Discriminator",
    "DiscriminatorOutput",
    "EvaluationContext",
    "Experiment",
    "ExperimentSettings",
    "FeatureExtractor",
    "FeatureOutput",
    "GanforgeError",
    "Generator",
    "GeneratorOutput",
    "ImageSpec",
    "ImageTensors",
    "IncompatibleError",
    "LatentDistribution",
    "Loss",
    "LossTerm",
    "Metric",
    "MetricResult",
    "OptimizerFactory",
    "Preset",
    "RunInfo",
    "Schedule",
    "TrainStep",
    "TrainedRun",
    "compare",
    "evaluate",
    "hookimpl",
    "list_components",
    "load",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have every type
    if name in __all__:
        return getattr(import_module(_LAZY.get(name, "ganforge.components")), name)
    raise AttributeError(f"module 'ganforge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
