"""ganforge: name a generator, a discriminator, a loss and data; train, resume, sample and compare.

Importing it is light: whatever needs torch is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import Component
from ganforge.errors import GanforgeError
from ganforge.plugins.hookspecs import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge.api import resume, train
    from ganforge.components import (
        Augmentation,
        Dataset,
        DatasetInfo,
        Discriminator,
        DiscriminatorOutput,
        EvaluationContext,
        FeatureExtractor,
        FeatureOutput,
        Generator,
        Images,
        ImageSpec,
        Loss,
        Metric,
        Penalty,
    )
    from ganforge.config.experiment import Experiment
    from ganforge.report.comparison import Comparison, compare
    from ganforge.runs.trained import TrainedRun, load_run
    from ganforge.training.callbacks import Observer

__version__ = version("ganforge")

_LAZY = {
    **dict.fromkeys(
        (
            "Augmentation",
            "DatasetInfo",
            "Dataset",
            "Discriminator",
            "EvaluationContext",
            "FeatureOutput",
            "FeatureExtractor",
            "Generator",
            "ImageSpec",
            "Images",
            "DiscriminatorOutput",
            "Loss",
            "Metric",
            "Penalty",
        ),
        "ganforge.components",
    ),
    "Comparison": "ganforge.report.comparison",
    "Experiment": "ganforge.config.experiment",
    "Observer": "ganforge.training.callbacks",
    "TrainedRun": "ganforge.runs.trained",
    "compare": "ganforge.report.comparison",
    "load_run": "ganforge.runs.trained",
    "resume": "ganforge.api",
    "train": "ganforge.api",
}

__all__ = [
    "Augmentation",
    "Comparison",
    "Component",
    "Dataset",
    "DatasetInfo",
    "Discriminator",
    "DiscriminatorOutput",
    "EvaluationContext",
    "Experiment",
    "FeatureExtractor",
    "FeatureOutput",
    "GanforgeError",
    "Generator",
    "ImageSpec",
    "Images",
    "Loss",
    "Metric",
    "Observer",
    "Penalty",
    "RunInfo",
    "TrainedRun",
    "compare",
    "hookimpl",
    "load_run",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have every type
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'ganforge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
