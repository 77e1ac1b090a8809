"""Compare fakes with real images, in random streams of their own, so that training goes on to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureOutput, Generator, Images, Metric, Split
from ganforge.components.sampling import draw, draw_latents
from ganforge.data.scoring import Scoring
from ganforge.errors import GanforgeError, PluginError
from ganforge.evaluation.comparability import DESCRIBED
from ganforge.evaluation.feature_cache import BATCH, Extraction, checksums
from ganforge.evaluation.output_validation import check_pictures, plain, plain_scores
from ganforge.evaluation.protocol import protocol
from ganforge.evaluation.real_images import Material
from ganforge.evaluation.validation import needs_extractor
from ganforge.plugins.registry import Entry
from ganforge.plugins.sources import explain
from ganforge.utils.matmul import matrix_products
from ganforge.utils.rng import globals_seeded, layers_seeded, stream_rng

Hear = Callable[[str], None]


def _ignore(message: str) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Hold what was scored.

    scores: by name, None where one is not finite. floor: what images of the training split score in the place of the
    fakes, for scores that have such a floor; None where there are too few of them. details: what metrics add for
    people, as JSON can hold it. protocol: everything that must agree before two may be compared. pictures: by name,
    uint8, `(C, H, W)`. seconds: how long it took.
    """

    scores: dict[str, float | None]
    floor: dict[str, float | None]
    details: dict[str, Any]
    protocol: dict[str, Any]
    seconds: float
    pictures: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def row(self) -> dict[str, Any]:
        """Return it as a row of evaluation.jsonl, without the step and who made it."""
        return {
            "scores": self.scores,
            "floor": self.floor,
            "details": self.details,
            "protocol": self.protocol,
            "seconds": self.seconds,
        }


class Evaluator:
    """Score generators, one after the other, on the same real images; what is known of these is remembered.

    weights: the file that they come from, `generator` or `generator_ema`. keep_going: whether a metric that raises
    leaves its scores None, which `notice` hears of; else it ends the evaluation. progress: hears what is being done.
    floor, why_no_floor: what the training split scores, and why that is not known; after the first evaluation.
    """

    def __init__(
        self,
        scoring: Scoring,
        *,
        count: int,
        split: Split,
        seed: int,
        weights: str,
        keep_going: bool = False,
        notice: Hear = _ignore,
        progress: Hear = _ignore,
        batch: int = BATCH,
    ) -> None:
        self.scoring = scoring
        self.material = Material(scoring, count=count, split=split, seed=seed)
        self.seed = seed
        self.weights = weights
        self.keep_going = keep_going
        self.notice = notice
        self.progress = progress
        self.batch = batch
        self.floor: dict[str, float | None] | None = None
        self.why_no_floor: str | None = None
        self._extraction: Extraction | None = None
        self._spoilt: str | None = None

    def evaluate(self, generator: Generator) -> Evaluation:
        """Score a generator, on the device that it is on, in float32.

        Raises DataError, and PluginError, which names the metric or the extractor, unless it shall keep going.
        """
        begun = time.perf_counter()
        self._spoilt = None
        device = next(generator.parameters()).device
        with matrix_products(), torch.autocast(device.type, enabled=False):
            context, not_finite = self._context(generator, device)
            if not_finite:
                scores = self._unscored(context, not_finite)
            else:
                scores = self._scores(context, device, self.scoring.metrics)
            if self._extraction is not None:
                self._extraction.drop(context.fake)
            floor = self._floor(context, device) if self.floor is None else self.floor
            if self._spoilt is None:
                self.floor = floor
            stamped = protocol(self.material, generator, weights=self.weights)
        seconds = time.perf_counter() - begun
        return Evaluation(scores, floor, context.details, stamped, seconds, context.pictures)

    def _unscored(self, context: EvaluationContext, not_finite: int) -> dict[str, float | None]:
        """Give no scores: as bytes, numbers that are not finite would look like images."""
        said = (
            "the generator draws numbers that are not finite in evaluation mode: "
            f"{not_finite:,} of {self.material.count:,} images"
        )
        self.notice(said)
        context.details.update({name: {"error": said} for name in self.scoring.metrics})
        return {score: None for metric in self.scoring.metrics.values() for score in metric.better}

    def _context(self, generator: Generator, device: torch.device) -> tuple[EvaluationContext, int]:
        """Draw the fakes, quantised as files would be, and lay out what the metrics may look at.

        Returns how many of the fakes are not finite, too.
        """
        metrics, count = self.scoring.metrics.values(), self.material.count
        self.progress(f"reading {count:,} real images")
        real = self.material.real
        train = self.material.train if any("train" in metric.needs for metric in metrics) else None
        if needs_extractor(self.scoring) and self._extraction is None:
            entry = self.scoring.resolved.one("features").entry
            self._extraction = Extraction(self.scoring.extractor(), device, entry, self.batch)
            for images in (real.pixels, train):
                if images is not None:
                    self._extraction.keep(images)
        self.progress(f"drawing {count:,} fakes")
        latents = draw_latents(generator, count, seed=self.seed, stream="evaluation")
        fake = draw(generator, latents, real.labels if generator.conditional else None, seed=self.seed)
        return self._laid_out(real, Images(fake.images, fake.labels), train), fake.not_finite

    def _laid_out(self, real: Images, fake: Images, train: Tensor | None) -> EvaluationContext:
        if self._extraction is not None:
            self._extraction.keep(fake.pixels)
        return EvaluationContext(
            real=real.pixels,
            fake=fake.pixels,
            real_labels=real.labels,
            fake_labels=fake.labels,
            rng=stream_rng(self.seed, "evaluation/metric"),
            train=train,
            class_names=() if self._extraction is None else self._extraction.extractor.class_names,
        )

    def _floor(self, context: EvaluationContext, device: torch.device) -> dict[str, float | None]:
        """Score images of the training split in the place of fakes, with every metric for which that makes sense."""
        metrics = {name: metric for name, metric in self.scoring.metrics.items() if metric.has_reference}
        nothing: dict[str, float | None] = {score: None for metric in metrics.values() for score in metric.better}
        if not metrics or self._spoilt is not None:
            return nothing
        images = self.material.floor()
        if images is None:
            self.why_no_floor = (
                f"no floor: data {self.scoring.info.name!r} has too few training images to put {self.material.count:,} "
                "in the place of the fakes"
            )
            return nothing
        laid_out = self._laid_out(self.material.real, images, context.train)
        scores = self._scores(laid_out, device, metrics, "floor: ")
        if self._extraction is not None:
            self._extraction.drop(images.pixels)
        return scores

    def _scores(
        self, context: EvaluationContext, device: torch.device, metrics: Mapping[str, Metric], stage: str = ""
    ) -> dict[str, float | None]:
        """Return the scores of some metrics, each of which draws from a random stream that begins anew."""
        entries = dict(zip(self.scoring.metrics, self.scoring.resolved.chosen["metric"], strict=True))
        scores: dict[str, float | None] = {}
        for name, metric in metrics.items():
            self.progress(f"{stage}{name}")
            try:
                scores |= self._asked(metric, context, device, entries[name].entry)
            except GanforgeError as error:
                if not self.keep_going:
                    raise
                self.notice(f"{error.message}; its scores are left out")
                scores |= dict.fromkeys(metric.better)
                context.details[name] = {"error": error.message}
        return scores

    def _asked(
        self, metric: Metric, context: EvaluationContext, device: torch.device, entry: Entry
    ) -> dict[str, float | None]:
        """Call a metric's own code: what it raises names it, and what it draws from is put back as it was.

        Where it has written into the images, they are forgotten, and no other metric is asked about them.
        """
        if self._spoilt is not None:
            raise PluginError(f"{entry} is not computed: {self._spoilt}")
        own = replace(
            context,
            rng=stream_rng(self.seed, "evaluation/metric"),
            train=context.train if "train" in metric.needs else None,
            extract=self._described(metric, entry),
            details={},
            pictures={},
        )
        shared = (own.real, own.fake, own.real_labels, own.fake_labels, own.train)
        before = checksums(*shared)
        with ExitStack() as stack:
            stack.enter_context(globals_seeded(self.seed, "evaluation/metric"))
            stack.enter_context(layers_seeded(self.seed, "evaluation/metric", device=device))
            try:
                found = metric.compute(own)
            except GanforgeError as error:
                if isinstance(error, PluginError):
                    raise
                raise type(error)(f"{entry}: {error.message}", fix=error.fix) from error
            except (Exception, SystemExit) as error:
                raise PluginError(f"{entry} cannot score {len(own.fake):,} images: {explain(error)}") from error
            finally:
                if checksums(*shared) != before or (self._extraction is not None and self._extraction.altered()):
                    self._spoilt = f"{entry} changes the images it is given; it must work on copies"
                    self.material.forget()
                    self._extraction = None
        if self._spoilt is not None:
            raise PluginError(self._spoilt)
        scores = plain_scores(found, metric.better, entry)
        context.details.update(plain(own.details, entry, "details"))
        context.pictures.update(check_pictures(own.pictures, entry))
        return scores

    def _described(self, metric: Metric, entry: Entry) -> Callable[[Tensor], FeatureOutput]:
        if self._extraction is not None and DESCRIBED & metric.needs:
            return self._extraction

        def refuse(images: Tensor) -> FeatureOutput:
            raise PluginError(f"{entry} asks for features; it must say so: needs = frozenset({{'features'}})")

        return refuse
