"""Perceptual path length: smoothness of the latent space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganforge.builtin.metrics.inputs import require_features
from ganforge.components import EvaluationContext, FeatureExtractor, GeneratorOutput, Metric, MetricResult
from ganforge.components.metrics import Bounds
from ganforge.components.sampling import MAX_BATCH_PIXELS, MAX_BATCH_SIZE
from ganforge.errors import DataError
from ganforge.utils.devices import module_device
from ganforge.utils.images import normalize
from ganforge.utils.interpolation import lerp, slerp
from ganforge.utils.rng import fork_torch_rng


class PerceptualPathLength(Metric):
    """Mean squared distance of features along short steps between random latents (Karras et al. 2019, section 4.1).

    PPL = E[d(G(p(t)), G(p(t + ε))) / ε²] with t uniform in [0, 1], over as many pairs of latents as there are fakes. In
    z, p is the spherical interpolation of two latents; in w, the linear one of two intermediate latents (`style`,
    `synthesis`). Layers that draw noise draw the same for both images of a pair, and both have the same condition.

    d is the squared Euclidean distance of the run's features. It is not LPIPS, which the paper uses, so values compare
    only with those of the same features. Images are not rounded to bytes before they are described, unless the dataset
    has a `to_pixels` of its own: a step of ε would then measure the rounding, so such data needs `--features raw`.
    """

    class Options(Metric.Options):
        """Options of the paths."""

        space: Literal["z", "w"] = "z"
        """Latent space of the paths: z, or w behind the mapping network."""
        epsilon: Annotated[float, Field(gt=0, lt=1)] = 1e-4
        """Length of a step, as a share of the path."""

    options: Options
    higher_is_better: ClassVar = {"ppl": False}
    needs: ClassVar = frozenset({"features", "generator"})
    has_reference: ClassVar = False

    def check(self, *, num_samples: int, extractor: FeatureExtractor | None) -> None:
        """Raise DataError without features, or if they are those of rounded pictures."""
        extractor = require_features(extractor, score="ppl")
        if not (extractor.raw_images or extractor.accepts_float):
            raise DataError(
                f"ppl measures small steps, and {type(extractor).__name__} takes pictures rounded to bytes only",
                fix="pass --features random-convolutions, pixels or raw",
            )

    def bounds(self, extractor: FeatureExtractor | None) -> Mapping[str, Bounds]:
        """Return 0 and no upper bound."""
        return {"ppl": (0.0, None)}

    @torch.no_grad()
    def compute(self, context: EvaluationContext) -> MetricResult:
        """Return the mean over pairs; the deviation in the details is its standard error."""
        assert context.generator is not None, "`needs` names the generator"  # noqa: S101
        image = context.generator.image
        size = max(1, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // (image.height * image.width)))
        starts = range(0, context.num_samples, size)
        lengths = torch.cat([self._lengths(context, begin, min(begin + size, context.num_samples)) for begin in starts])
        error = float(lengths.std(correction=0)) / len(lengths) ** 0.5
        return MetricResult({"ppl": float(lengths.mean())}, {"deviation": error})

    def _lengths(self, context: EvaluationContext, begin: int, end: int) -> Tensor:
        """Return d / ε² of some of the pairs, `(B,)` float64."""
        generator, latent, epsilon, space = context.generator, context.latent, self.options.epsilon, self.options.space
        assert generator is not None and latent is not None, "`needs` names the generator"  # noqa: S101, PT018
        device = module_device(generator)
        condition = context.condition("fake")
        if condition is not None:
            condition = normalize(condition[begin:end].to(device))
        ends = [latent.sample(end - begin, generator.latent_dim, context.rng).to(device) for _ in range(2)]
        if space == "w":
            ends = [generator.style(z, condition) for z in ends]
        t = torch.rand(end - begin, generator=context.rng, dtype=torch.float64).to(device)
        features = []
        for position in (t, t + epsilon):
            point = (slerp if space == "z" else lerp)(ends[0].double(), ends[1].double(), position).to(ends[0].dtype)
            with fork_torch_rng(0, "metric/ppl", begin, device=device):
                output = (generator if space == "z" else generator.synthesis)(point, condition)
            features.append(context.extract(GeneratorOutput.of(output).images).features.double())
        return (features[1] - features[0]).square().sum(dim=1) / epsilon**2
