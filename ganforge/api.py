"""Python interface: `ganforge.train`, `ganforge.resume`, `ganforge.load` and `ganforge.evaluate`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from numpy.typing import NDArray

from ganforge.components import Split
from ganforge.config import Experiment
from ganforge.config.classes import name_classes
from ganforge.config.keywords import ExperimentSettings
from ganforge.config.layers import experiment_layer, preset_layer
from ganforge.config.resolve import resolve
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.report import report_run
from ganforge.runs.evaluate import EvaluationRequest
from ganforge.runs.evaluate_images import ImageScores, evaluate_images
from ganforge.runs.launch import ResumeOverrides, open_finished, resume_to_end, start_run, wait_for_ranks
from ganforge.runs.notebook import notebook_callback
from ganforge.runs.session import run_rank
from ganforge.runs.setup import prepare
from ganforge.runs.sources import open_source
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.callbacks import Callback
from ganforge.training.distributed import init_distributed
from ganforge.training.run_directory import RunDirectory


def train(
    experiment: Experiment | None = None,
    *,
    preset: str | Sequence[str] = (),
    out: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    callback: Callback | None = None,
    progress: bool = True,
    **settings: Unpack[ExperimentSettings],
) -> TrainedRun:
    """Train and return the finished run: `train(gen="dcgan", data="mnist", steps=500)`.

    Args:
        experiment: Settings as an object; by default every setting has its default.
        preset: Names of presets, such as "quick", below all other settings; later ones win.
        out: The run directory, which must not exist; by default a new one in runs/.
        plugins: Local plugin files.
        callback: In-process callbacks.
        progress: Whether a notebook shows progress, losses and samples.
        settings: Settings of `Experiment`, above those of `experiment`.

    Raises:
        GanforgeError: A setting, the data or a component is invalid.
        DivergedError: The training diverged; the run directory remains.
        TrainingError: The training failed; the run directory remains.
        KeyboardInterrupt: The user interrupted it; a checkpoint was saved, and `ganforge.resume` continues.
    """
    if experiment is not None and not isinstance(experiment, Experiment):
        raise UsageError(
            f"the experiment is a {type(experiment).__name__}, not a ganforge.Experiment",
            fix='pass settings by keyword: ganforge.train(gen="dcgan", steps=500), or ganforge.train(**settings)',
        )
    experiments = [part for part in (experiment, Experiment(**settings)) if part is not None]
    experiments, registry = name_classes(experiments, _discover(plugins))
    layers = [preset_layer(name, registry) for name in ([preset] if isinstance(preset, str) else preset)]
    layers += [experiment_layer(part) for part in experiments]
    place = None if out is None else Path(out)
    RunDirectory.check_new(place)
    with init_distributed() as dist:
        if dist.is_main:
            prepared = prepare(resolve(layers, registry), registry, dist=dist)
            shown = notebook_callback(callback, epochs=prepared.resolved.experiment.epochs, progress=progress)
            outcome = start_run(prepared, out=place, callback=shown, report=report_run)
        else:
            outcome = run_rank(registry, dist)
        wait_for_ranks(dist, outcome)
    return open_finished(outcome, registry, report_run)


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    data: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    callback: Callback | None = None,
    progress: bool = True,
) -> TrainedRun:
    """Resume a run exactly at its newest checkpoint, and return it finished. Raises the errors of `train`.

    Args:
        run: The run directory.
        epochs: Epochs in total, to extend the training.
        steps: Steps in total, to extend the training.
        device: Another device than before.
        workers: Another number of worker processes that read streamed data.
        data: New place of data that has moved: `{"path": …}` or `{"root": …}`.
        plugins: Local plugin files.
        callback: In-process callbacks.
        progress: Whether a notebook shows the training.
    """
    overrides = ResumeOverrides(epochs=epochs, steps=steps, device=device, workers=workers, data=data or {})
    registry, directory = _discover(plugins), RunDirectory.open(Path(run))
    return resume_to_end(directory, registry, overrides, callback=callback, progress=progress, report=report_run)


def load(source: str | Path, *, plugins: Sequence[str | Path] = ()) -> TrainedRun:
    """Open a trained run: a run directory, a bundle of `ganforge export`, or a run on the Hugging Face Hub.

    Args:
        source: The run directory, the bundle, `hub:OWNER/NAME`, optionally with `@REVISION`, or `zoo:NAME`, a small
            generator that ganforge-zoo ships.
        plugins: Local plugin files of the run.

    Raises:
        RunDirectoryError: The run does not exist, or the bundle is invalid or damaged.
        GanforgeError: The Hub has no such run, or cannot be reached.
    """
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    return TrainedRun(open_source(source), registry, report=report_run)


def evaluate(
    images: str | Path | NDArray[Any],
    data: str | Mapping[str, Any] | None = None,
    metrics: str | Sequence[str] | None = None,
    *,
    num_samples: int | None = None,
    split: Split | None = None,
    features: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "auto",
    reference: str | Path | None = None,
    save_reference: str | Path | None = None,
    resize: bool = False,
    plugins: Sequence[str | Path] = (),
) -> ImageScores:
    """Score images without a model: `evaluate("fakes", "mnist")`. `TrainedRun.evaluate` scores a run.

    Args:
        images: Folder or file of images, or an array, `(N, H, W, C)` uint8, or float32 as networks see them.
        data: Dataset that they are compared with, such as "mnist" or `{"name": "folder", "path": "pictures"}`.
        metrics: Names; by default as in `TrainedRun.evaluate`, like the following arguments.
        num_samples: Images to compare; all, at most 10,000.
        split: Split of the real images.
        features: Feature extractor; that which the dataset recommends.
        options: Options of metrics and features, such as `{"metric.kid.subsets": 50}`.
        seed: Seed of the choice of images; 0.
        device: Device to compute on.
        reference: File of statistics of the real images, in place of `data`.
        save_reference: File that statistics of the real images are written to.
        resize: Whether pictures of another size are resized.
        plugins: Local plugin files.

    Raises:
        UsageError: A name, an option, a number or the images are invalid.
        PluginError: A component fails.
    """
    chosen = {"name": data} if isinstance(data, str) else dict(data or {})
    of_data = {"data" if key == "name" else f"data.{key}": value for key, value in chosen.items()}
    request = EvaluationRequest(
        metrics=[metrics] if isinstance(metrics, str) else metrics,
        num_samples=num_samples,
        split=split,
        features=features,
        options=of_data | dict(options or {}),
        seed=seed,
        device=device,
        reference=None if reference is None else Path(reference),
        save_reference=None if save_reference is None else Path(save_reference),
    )
    source = Path(images) if isinstance(images, str | Path) else images
    notices: list[str] = []
    scores = evaluate_images(source, request, _discover(plugins), resize=resize, notice=notices.append)
    for line in notices:
        warnings.warn(line, stacklevel=2)
    return scores


def _discover(plugins: Sequence[str | Path]) -> Registry:
    registry = Registry.discover([Path(plugin) for plugin in plugins])
    for problem in registry.plugins.problems:
        warnings.warn(str(problem), stacklevel=3)
    return registry
