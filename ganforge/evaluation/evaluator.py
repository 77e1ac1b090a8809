"""Evaluation of generators: fakes compared with real images, in random streams of their own."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganforge.components import (
    ConditionSpec,
    Generator,
    LatentDistribution,
    Metric,
    MetricResult,
    Split,
    weights_sha256,
)
from ganforge.components.sampling import Sampler, draw_latents
from ganforge.data.scoring import Scoring
from ganforge.errors import GanforgeError, PluginError
from ganforge.evaluation.context import MetricContext
from ganforge.evaluation.image_sets import GeneratedImages, ImageSelection, ImageSet, StoredImages, Take
from ganforge.evaluation.protocol import protocol
from ganforge.evaluation.real_images import RealImageSets, Sets
from ganforge.evaluation.reference_statistics import ReferenceStatistics
from ganforge.evaluation.validation import check_pictures, plain_details, plain_scores
from ganforge.plugins.registry import Entry
from ganforge.schemas.rows import Protocol
from ganforge.utils.devices import float32_matmul, module_device
from ganforge.utils.process import kept_process
from ganforge.utils.rng import derive_generator, fork_all_rngs, fork_torch_rng
from ganforge.utils.tracebacks import summarize_exception

Report = Callable[[str], None]
Scores = dict[str, float | None]
Fakes = TypeVar("Fakes", bound=ImageSet)


def _missing(metrics: Mapping[str, Metric]) -> Scores:
    """Return scores of None."""
    return {score: None for metric in metrics.values() for score in metric.higher_is_better}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a generator.

    Attributes:
        scores: Value of each score, None if it is not finite or its metric has failed.
        reference: Scores of training images in place of the fakes, for metrics that have such a reference; None if
            there are too few training images.
        details: Further values for readers, by metric, as JSON can hold them.
        protocol: Everything that must agree before two scores may be compared.
        seconds: Duration of the evaluation.
        pictures: Pictures by name, `(C, H, W)` uint8.
    """

    scores: Scores
    reference: Scores
    details: dict[str, Any]
    protocol: Protocol
    seconds: float
    pictures: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def row(self) -> dict[str, Any]:
        """Return the row of evaluation.jsonl, without step and source."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "pictures"}


@dataclass(slots=True)
class _Results:
    """Results of several metrics: scores, details and pictures."""

    scores: Scores = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Model:
    """Model whose fakes are scored; generator and latents are None for images that exist already."""

    device: torch.device
    generator: Generator | None = None
    latent: LatentDistribution | None = None


class Evaluator:
    """Scores of generators, or of stored images, on the same real images, whose features are extracted once.

    Args:
        num_samples: Number of fakes, and of real images.
        seed: Seed of latents and of the selection of images.
        weights: File of the generator's weights, `generator` or `generator_ema`; unused for stored images.
        sampling: Sampling options that differ from the generator's own.
        keep_going: Whether a metric that raises gets scores of None and a message to `notice`; otherwise it ends the
            evaluation.
        progress: Callback for stages of the work.
        batch_size: Most images at once; by default it depends on their size.
        statistics: Features of the real images from a file, or None to read the dataset.
        keeps_training_images: Whether `real` keeps the features of training images in place of the fakes, for a file.

    Attributes:
        reference: Scores of training images in place of the fakes, after the first evaluation.
    """

    def __init__(
        self,
        scoring: Scoring,
        *,
        num_samples: int,
        split: Split,
        seed: int,
        weights: str = "",
        sampling: Mapping[str, Any] | None = None,
        keep_going: bool = False,
        notice: Report = lambda _: None,
        progress: Report = lambda _: None,
        batch_size: int | None = None,
        statistics: ReferenceStatistics | None = None,
        keeps_training_images: bool = False,
    ) -> None:
        self.scoring = scoring
        self.selection = ImageSelection(
            scoring=scoring,
            num_samples=num_samples,
            split=split,
            seed=seed,
            known_fingerprint=None if statistics is None else statistics.protocol.fingerprint,
        )
        self.seed = seed
        self.weights = weights
        self.sampling = sampling
        self.keep_going = keep_going
        self.notice = notice
        self.progress = progress
        self.reference: Scores | None = None
        self.real = RealImageSets(
            self.selection, batch_size=batch_size, statistics=statistics, keeps_training_images=keeps_training_images
        )
        self._tampering: str | None = None

    def evaluate(self, generator: Generator, latent: LatentDistribution) -> Evaluation:
        """Score a generator, in any mode, with latents of a distribution, in float32 on its device, unchanged.

        Raises DataError if the data cannot be read or scored, and PluginError if a metric or the feature extractor
        fails, unless `keep_going`.
        """
        sampler = Sampler(generator, seed=self.seed, sampling=self.sampling)
        model = _Model(module_device(generator), sampler.generator, latent)
        fakes = partial(self._generate, sampler, latent)
        return self._evaluate(fakes, model, self.weights, lambda _: weights_sha256(generator))

    def evaluate_images(
        self, take: Take, spec: ConditionSpec | None, indices: Tensor, device: torch.device
    ) -> Evaluation:
        """Score images that exist already, `take(indices)`, with features on a device. Raises as `evaluate` does.

        The `spec` is that of their condition, or None. `validation` refuses metrics that need a generator.
        """
        fakes = partial(self.real.stored, take, spec, indices)
        return self._evaluate(fakes, _Model(device), "images", StoredImages.sha256)

    @kept_process()
    def _evaluate(
        self, fakes: Callable[[], Fakes], model: _Model, weights: str, checkpoint: Callable[[Fakes], str]
    ) -> Evaluation:
        """Score fakes, and the training images in their place; features can be extracted when `fakes` is called."""
        begin = time.perf_counter()
        self._tampering = None
        with float32_matmul(), torch.autocast(model.device.type, enabled=False):
            self.real.read(model.device, self.progress)
            images = fakes()
            images.scan()
            if images.not_finite:
                results = self._not_finite(images.not_finite)
            else:
                results = self._score(self.real.sets | {"fake": images}, self.scoring.metrics, model)
            reference = self._score_reference(model) if self.reference is None else self.reference
            if self._tampering is None:
                self.reference = reference
            stamped = protocol(
                self.selection,
                weights=weights,
                checkpoint=checkpoint(images),
                sampling=None if model.generator is None else model.generator.sampling,
            )
        seconds = time.perf_counter() - begin
        return Evaluation(results.scores, reference, results.details, stamped, seconds, results.pictures)

    def _generate(self, sampler: Sampler, latent: LatentDistribution) -> GeneratedImages:
        self.progress(f"generating {self.selection.num_samples:,} fakes")
        count, network = self.selection.num_samples, sampler.generator
        latents = draw_latents(latent, network, count, seed=self.seed, stream="evaluation")
        sampler.batch_size = self.real.batch_size
        real = self.real.real if network.conditional else None
        return GeneratedImages(sampler, latents, real, scoring=self.scoring, extraction=self.real.extraction)

    def _not_finite(self, count: int) -> _Results:
        """Return scores of None: as bytes, numbers that are not finite would look like images."""
        message = (
            "the generator returns numbers that are not finite in evaluation mode: "
            f"{count:,} of {self.selection.num_samples:,} images"
        )
        self.notice(message)
        metrics = self.scoring.metrics
        return _Results(_missing(metrics), {name: {"error": message} for name in metrics})

    def _score_reference(self, model: _Model) -> Scores:
        """Score training images in place of fakes, with every metric for which that is meaningful."""
        metrics = {name: metric for name, metric in self.scoring.metrics.items() if metric.has_reference}
        if not metrics or self._tampering is not None:
            return _missing(metrics)
        images = self.real.training_images()
        if images is None:
            self.notice(
                f"no reference scores: data {self.scoring.info.name!r} has too few training images to put "
                f"{self.selection.num_samples:,} in place of the fakes"
            )
            return _missing(metrics)
        sets: Sets = self.real.sets | {"fake": images}
        return self._score(sets, metrics, model, "reference: ").scores

    def _score(self, sets: Sets, metrics: Mapping[str, Metric], model: _Model, stage: str = "") -> _Results:
        """Return the results of some metrics. Each has its own random stream, so that others do not affect it."""
        components = self.scoring.metric_components
        results, shared = _Results(), dict[Any, Any]()
        for name, metric in metrics.items():
            self.progress(f"{stage}{name}")
            entry = components[name].entry
            own = model if "generator" in metric.needs else _Model(model.device)
            context = MetricContext(
                entry,
                metric.needs,
                sets,
                extraction=self.real.extraction,
                generator=copy.deepcopy(own.generator),
                latent=None if own.latent is None else copy.deepcopy(own.latent).cpu().eval(),
                rng=derive_generator(self.seed, "evaluation/metric"),
                shared=shared,
            )
            try:
                result = self._compute(metric, context, sets, entry, model.device)
                scores, details = plain_scores(result.scores, metric.higher_is_better, entry), result.details
                if missing := [score for score, value in scores.items() if value is None]:
                    self.notice(f"{stage}{entry}: {', '.join(missing)} is not finite")
                results.scores |= scores
                if details := plain_details(details, entry):
                    results.details[name] = details
                results.pictures |= check_pictures(result.images, entry)
            except GanforgeError as error:
                if not self.keep_going:
                    raise
                self.notice(f"{stage}{error.message}; its scores are left out")
                results.scores |= dict.fromkeys(metric.higher_is_better)
                results.details[name] = {"error": error.message}
        return results

    @kept_process()
    def _compute(
        self, metric: Metric, context: MetricContext, sets: Sets, entry: Entry, device: torch.device
    ) -> MetricResult:
        """Call a metric: its errors name it, and the global random generators are restored.

        If it wrote into the features, they are dropped, and no further metric is computed.
        """
        if self._tampering is not None:
            raise PluginError(f"{entry} is not computed: {self._tampering}")
        try:
            with (
                fork_all_rngs(self.seed, "evaluation/metric"),
                fork_torch_rng(self.seed, "evaluation/metric", device=device),
            ):
                result = metric.compute(context)
        except PluginError:
            raise
        except GanforgeError as error:
            raise type(error)(f"{entry}: {error.message}", fix=error.fix) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{entry} cannot score {context.num_samples:,} images: {summarize_exception(error)}"
            ) from error
        finally:
            if any(images.tampered() for images in sets.values()):
                self._tampering = f"{entry} changes the features it is given; it must work on copies"
                self.real.forget()
        if self._tampering is not None:
            raise PluginError(self._tampering)
        if not isinstance(result, MetricResult):
            raise PluginError(f"{entry} returns {type(result).__name__}; MetricResult(scores) is required")
        return result
