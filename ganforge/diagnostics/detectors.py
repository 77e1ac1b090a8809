"""What numbers tell that a training is not well, and that it is well again.

Every step's row moves a few levels, and each ailment is a comparison of levels: a few microseconds in all. The
thresholds are measured; docs/health.md has the numbers of healthy trainings beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ganforge.diagnostics.alerts import Ailment

#: The weight of the newest row in a level, at least; the first rows count alike.
AT_ONCE, QUICK, STEADY, SLOW = 0.5, 0.2, 0.05, 0.002

#: Fakes with less diversity than this share of the real images' are one image.
POINT = 1e-4
#: Fakes that keep less than this share of their best diversity have collapsed; more than twice it is well again.
LOST = 0.1
#: A diversity of so many times its lowest is growing.
GROWING = 4.0
#: So many rows tell nothing of what is usual.
NEWBORN = 100
#: What rounding may leave of nothing.
NOTHING = 1e-5

#: A discriminator's loss below this share of its first is next to none; above twice that, it is some.
NEXT_TO_NONE = 0.02
#: However large the first one was, as that of a discriminator that begins with large logits.
MOST_NEXT_TO_NONE = 0.05
#: Mean scores so far apart tell real images from fakes.
APART = 0.2
#: Fakes whose mean score is so much above the real images' are taken for real.
PREFERRED = 0.05

#: A loss of so many times its usual size grows exponentially: one that grows as t² comes to three times at most.
EXPLODED = 10.0
#: A loss is no reason to worry while it is as small as this.
SMALL_LOSS = 20.0


@dataclass(slots=True)
class Levels:
    """Hold what a training's numbers have come to, after so many rows.

    diversity: now; best: its highest since the network has learned a little, 1 at most; lowest: its lowest. loss: the
    discriminator's; first: its first. real, fake: mean scores. disc, gen: the size of each loss; usual_…: what it
    usually is.
    """

    rows: int = 0
    diversity: float = 0.0
    best: float = 0.0
    lowest: float = 0.0
    loss: float = 0.0
    first: float = 0.0
    real: float = 0.0
    fake: float = 0.0
    disc: float = 0.0
    usual_disc: float = 0.0
    gen: float = 0.0
    usual_gen: float = 0.0

    def follow(self, row: Mapping[str, float], *, usual_stands_still: bool) -> None:
        """Move all levels towards a row's finite numbers."""
        self.rows += 1
        even = 1 / self.rows  # a mean of all rows, until they are many
        quick, steady = max(QUICK, even), max(STEADY, even)
        loss, generator_loss = row["loss/discriminator"], row["loss/generator"]
        self.diversity += max(AT_ONCE, even) * (row["health/diversity"] - self.diversity)
        if self.rows > NEWBORN:
            self.best = max(self.best, min(self.diversity, 1.0))
        self.lowest = min(self.lowest, self.diversity) if self.rows > 1 else self.diversity
        if self.rows == 1:
            self.first = loss
        self.loss += steady * (loss - self.loss)
        self.real += steady * (row["score/real"] - self.real)
        self.fake += steady * (row["score/fake"] - self.fake)
        loss, generator_loss = abs(loss), abs(generator_loss)
        self.disc += quick * (loss - self.disc)
        self.gen += quick * (generator_loss - self.gen)
        if not usual_stands_still:
            slow = max(SLOW, even)
            self.usual_disc += slow * (loss - self.usual_disc)
            self.usual_gen += slow * (generator_loss - self.usual_gen)

    @property
    def next_to_none(self) -> float:
        """What the discriminator's loss is below when it has next to nothing left to say."""
        return min(NEXT_TO_NONE * self.first, MOST_NEXT_TO_NONE)

    @property
    def growth(self) -> float:
        """How many times its usual size a loss has, where it is not small: the higher of the two."""
        disc = self.disc / max(self.usual_disc, NOTHING) if self.disc > SMALL_LOSS else 0.0
        gen = self.gen / max(self.usual_gen, NOTHING) if self.gen > SMALL_LOSS else 0.0
        return max(disc, gen)


def _collapsed(levels: Levels) -> bool:
    """Whether the fakes are one image and stay it, or have lost the diversity that they had.

    Networks without normalisation begin with little. Others begin with noise, which has more than real images, and may
    pass through a grey mean of them; what they had as newborns is therefore no measure.
    """
    now = levels.diversity
    return now < LOST * levels.best or (now < POINT and now < GROWING / 2 * max(levels.lowest, NOTHING))


def _diverse_again(levels: Levels) -> bool:
    now = levels.diversity
    return now > 2 * LOST * levels.best and (now > 2 * POINT or now > GROWING * max(levels.lowest, NOTHING))


def _saturated(levels: Levels) -> bool:
    """Whether the discriminator tells real images from fakes, and its loss has next to nothing left to say.

    Logits need not be log-odds for that: a loss is compared with its beginning. One that falls below zero, as a
    Wasserstein critic's, is never next to nothing.
    """
    return 0 <= levels.loss < levels.next_to_none and levels.real - levels.fake > APART


def _in_doubt_again(levels: Levels) -> bool:
    return not 0 <= levels.loss < 2 * levels.next_to_none or levels.real - levels.fake < APART / 2


def _fooled(levels: Levels) -> bool:
    """Whether fakes have higher scores than real images, whatever these mean: nobody is left to learn from."""
    return levels.fake - levels.real > PREFERRED


def _judging_again(levels: Levels) -> bool:
    return levels.fake - levels.real < PREFERRED / 2


def _diverging(levels: Levels) -> bool:
    """Whether a loss has left its usual size behind, which has not been able to follow."""
    return levels.rows > NEWBORN and levels.growth > EXPLODED


def _usual_again(levels: Levels) -> bool:
    return levels.growth < EXPLODED / 3


@dataclass(frozen=True, slots=True)
class Symptom:
    """Hold how an ailment shows: when it is there and when over, for how many steps in a row, and in which number."""

    there: Callable[[Levels], bool]
    over: Callable[[Levels], bool]
    patience: int
    value: Callable[[Levels], float]


SYMPTOMS: Final[Mapping[Ailment, Symptom]] = {
    "collapse": Symptom(_collapsed, _diverse_again, 50, lambda levels: levels.diversity),
    "saturation": Symptom(_saturated, _in_doubt_again, 50, lambda levels: levels.loss / levels.first),
    "divergence": Symptom(_diverging, _usual_again, 10, lambda levels: levels.growth),
    "fooled": Symptom(_fooled, _judging_again, 50, lambda levels: levels.fake - levels.real),
}
