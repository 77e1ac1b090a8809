"""ganforge: name a generator, a discriminator, a loss and data; train, resume, sample and compare.

Importing it is light: whatever needs torch is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ganforge.component import Component
from ganforge.errors import GanforgeError
from ganforge.hookspecs import RunInfo, hookimpl

if TYPE_CHECKING:
    from ganforge.config.experiment import Experiment
    from ganforge.engine.observer import Observer
    from ganforge.experiments.api import resume, train
    from ganforge.experiments.comparison import Comparison, compare
    from ganforge.interfaces import (
        Augmentation,
        DataInfo,
        Dataset,
        Discriminator,
        EvaluationContext,
        Extracted,
        FeatureExtractor,
        Generator,
        Images,
        ImageShape,
        Judgement,
        Loss,
        Metric,
        Penalty,
    )
    from ganforge.using.trained import TrainedRun, load_run

__version__ = version("ganforge")

_LAZY = {
    **dict.fromkeys(
        (
            "Augmentation",
            "DataInfo",
            "Dataset",
            "Discriminator",
            "EvaluationContext",
            "Extracted",
            "FeatureExtractor",
            "Generator",
            "ImageShape",
            "Images",
            "Judgement",
            "Loss",
            "Metric",
            "Penalty",
        ),
        "ganforge.interfaces",
    ),
    "Comparison": "ganforge.experiments.comparison",
    "Experiment": "ganforge.config.experiment",
    "Observer": "ganforge.engine.observer",
    "TrainedRun": "ganforge.using.trained",
    "compare": "ganforge.experiments.comparison",
    "load_run": "ganforge.using.trained",
    "resume": "ganforge.experiments.api",
    "train": "ganforge.experiments.api",
}

__all__ = [
    "Augmentation",
    "Comparison",
    "Component",
    "DataInfo",
    "Dataset",
    "Discriminator",
    "EvaluationContext",
    "Experiment",
    "Extracted",
    "FeatureExtractor",
    "GanforgeError",
    "Generator",
    "ImageShape",
    "Images",
    "Judgement",
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
