"""Detectors of failure modes, on smoothed statistics of the training metrics.

A row of metrics costs a few microseconds. docs/health.md has the measurements behind the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ganforge.schemas.manifest import FailureMode

# Weights of the newest row in moving averages. Early rows are averaged evenly until 1/rows is smaller.
DIVERSITY_WEIGHT, LOSS_SIZE_WEIGHT, D_WEIGHT, BASELINE_WEIGHT = 0.5, 0.2, 0.05, 0.002
#: Rows before baselines are trusted.
WARMUP_ROWS: Final = 100
#: Numbers below this are rounding errors.
EPSILON: Final = 1e-5

#: Diversity, as a share of the real images', below which all fakes are one image.
MIN_DIVERSITY: Final = 1e-4
#: Share of the best diversity below which the fakes have collapsed; above twice this share they have recovered.
COLLAPSE_RATIO: Final = 0.1
#: Multiple of its minimum from which a tiny diversity counts as growing.
GROWTH_RATIO: Final = 4.0

#: Share of its first value below which the discriminator's loss is saturated; above twice this share it has recovered.
SATURATION_RATIO: Final = 0.02
#: Upper bound of that threshold, for discriminators whose first loss is large.
MAX_SATURATED_LOSS: Final = 0.05
#: Difference of D(x) and D(G(z)) from which the discriminator separates real images from fakes.
SEPARATION_MARGIN: Final = 0.2
#: Excess of D(G(z)) over D(x) from which the discriminator is fooled.
FOOLED_MARGIN: Final = 0.05

#: Multiple of its baseline from which a loss diverges. Growth as t² reaches a multiple of three at most.
DIVERGENCE_RATIO: Final = 10.0
#: Size below which a loss cannot diverge.
MIN_DIVERGED_LOSS: Final = 20.0


@dataclass(slots=True)
class SmoothedStats:
    """Moving averages of the training metrics.

    Attributes:
        rows: Number of rows.
        diversity: Diversity of the fakes, relative to real images.
        max_diversity: Its maximum after the warm-up, 1 at most.
        min_diversity: Its minimum.
        d_loss: The discriminator's loss.
        first_d_loss: Its first value.
        prob_real: D(x), mean over real images.
        prob_fake: D(G(z)), mean over fakes. Methods without discriminator outputs leave both at 0.
        d_size: Size of the discriminator's loss.
        d_baseline: Usual size of the discriminator's loss.
        g_size: Size of the generator's loss.
        g_baseline: Usual size of the generator's loss.
    """

    rows: int = 0
    diversity: float = 0.0
    max_diversity: float = 0.0
    min_diversity: float = 0.0
    d_loss: float = 0.0
    first_d_loss: float = 0.0
    prob_real: float = 0.0
    prob_fake: float = 0.0
    d_size: float = 0.0
    d_baseline: float = 0.0
    g_size: float = 0.0
    g_baseline: float = 0.0

    def update(self, row: Mapping[str, float], *, freeze_baselines: bool) -> None:
        """Add a row of finite metrics; during a divergence, the usual sizes of the losses stay unchanged."""
        self.rows += 1
        even = 1 / self.rows
        self.diversity += max(DIVERSITY_WEIGHT, even) * (row["health/diversity"] - self.diversity)
        if self.rows > WARMUP_ROWS:
            self.max_diversity = max(self.max_diversity, min(self.diversity, 1.0))
        self.min_diversity = min(self.min_diversity, self.diversity) if self.rows > 1 else self.diversity
        d_loss, g_loss = row["loss/discriminator"], row["loss/generator"]
        if self.rows == 1:
            self.first_d_loss = d_loss
        weight = max(D_WEIGHT, even)
        self.d_loss += weight * (d_loss - self.d_loss)
        if "prob/real" in row and "prob/fake" in row:
            self.prob_real += weight * (row["prob/real"] - self.prob_real)
            self.prob_fake += weight * (row["prob/fake"] - self.prob_fake)
        weight = max(LOSS_SIZE_WEIGHT, even)
        self.d_size += weight * (abs(d_loss) - self.d_size)
        self.g_size += weight * (abs(g_loss) - self.g_size)
        if not freeze_baselines:
            weight = max(BASELINE_WEIGHT, even)
            self.d_baseline += weight * (abs(d_loss) - self.d_baseline)
            self.g_baseline += weight * (abs(g_loss) - self.g_baseline)

    @property
    def saturated_loss(self) -> float:
        """Loss below which the discriminator counts as saturated."""
        return min(SATURATION_RATIO * self.first_d_loss, MAX_SATURATED_LOSS)

    @property
    def growth(self) -> float:
        """Larger of both losses' ratios to their baselines; small losses do not count."""
        return max(
            size / max(baseline, EPSILON) if size > MIN_DIVERGED_LOSS else 0.0
            for size, baseline in ((self.d_size, self.d_baseline), (self.g_size, self.g_baseline))
        )


def _is_collapsed(stats: SmoothedStats) -> bool:
    """Return whether the fakes are and stay one image, or have lost the diversity that they had.

    Networks without normalization start with little diversity. Others start with noise, which is more diverse than real
    images, and may pass through a gray mean, so the diversity of the warm-up is not a baseline.
    """
    diversity = stats.diversity
    stays_tiny = diversity < MIN_DIVERSITY and diversity < GROWTH_RATIO / 2 * max(stats.min_diversity, EPSILON)
    return diversity < COLLAPSE_RATIO * stats.max_diversity or stays_tiny


def _is_diverse(stats: SmoothedStats) -> bool:
    diversity = stats.diversity
    grows = diversity > GROWTH_RATIO * max(stats.min_diversity, EPSILON)
    return diversity > 2 * COLLAPSE_RATIO * stats.max_diversity and (diversity > 2 * MIN_DIVERSITY or grows)


def _is_saturated(stats: SmoothedStats) -> bool:
    """Return whether the discriminator separates real images from fakes and its loss is nearly zero.

    The loss is compared with its first value, so that logits need not be log-odds. A negative loss, such as a
    Wasserstein critic's, is never saturated.
    """
    return 0 <= stats.d_loss < stats.saturated_loss and stats.prob_real - stats.prob_fake > SEPARATION_MARGIN


def _is_unsaturated(stats: SmoothedStats) -> bool:
    return not 0 <= stats.d_loss < 2 * stats.saturated_loss or stats.prob_real - stats.prob_fake < SEPARATION_MARGIN / 2


@dataclass(frozen=True, slots=True)
class Detector:
    """Rule that raises and resolves the alerts of a failure mode, after `patience` rows with the condition."""

    raised: Callable[[SmoothedStats], bool]
    resolved: Callable[[SmoothedStats], bool]
    patience: int
    value: Callable[[SmoothedStats], float]


DETECTORS: Final[Mapping[FailureMode, Detector]] = {
    "collapse": Detector(_is_collapsed, _is_diverse, 50, lambda stats: stats.diversity),
    "saturation": Detector(_is_saturated, _is_unsaturated, 50, lambda stats: stats.d_loss / stats.first_d_loss),
    "divergence": Detector(
        lambda stats: stats.rows > WARMUP_ROWS and stats.growth > DIVERGENCE_RATIO,
        lambda stats: stats.growth < DIVERGENCE_RATIO / 3,
        10,
        lambda stats: stats.growth,
    ),
    "fooled": Detector(
        lambda stats: stats.prob_fake - stats.prob_real > FOOLED_MARGIN,
        lambda stats: stats.prob_fake - stats.prob_real < FOOLED_MARGIN / 2,
        50,
        lambda stats: stats.prob_fake - stats.prob_real,
    ),
}
