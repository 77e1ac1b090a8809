"""What can be wrong with a training, in words, and what helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Ailment = Literal["collapse", "saturation", "divergence", "fooled", "not-finite"]

#: Of more findings than this the oldest that are over are forgotten.
MOST_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Meaning:
    """Hold what is wrong, with a place for the number that shows it, and what helps.

    Flags and components exist; where ganforge itself has not got one, the plugin that has it is named.
    """

    words: str
    helps: str


MEANINGS: Final[dict[Ailment, Meaning]] = {
    "collapse": Meaning(
        words="the fakes are nearly all alike; their diversity is {:.2g} times the real images'",
        helps="a smaller step helps most often (--optimizer.lr 5e-5); then a discriminator that does not run ahead "
        "(--penalty r1 of ganforge-losses, --augment diffaugment of ganforge-augment), or another game (--loss "
        "relativistic or --loss wasserstein-gp, both of ganforge-losses)",
    ),
    "saturation": Meaning(
        words="the discriminator tells every fake; its loss is {:.2g} times what it was at first, and the generator "
        "learns next to nothing from it",
        helps="weaken the discriminator: --optimizer.disc.lr 5e-5, --generator-steps 2, --disc.dropout 0.5 where it "
        "has dropout as mlp does, --penalty r1 of ganforge-losses, --augment diffaugment of ganforge-augment",
    ),
    "divergence": Meaning(
        words="a loss grows without end; it is {:.3g} times its usual size",
        helps="take smaller steps (--optimizer.lr 5e-5), shorten long gradients (--optimizer.clip-norm 1.0), or hold "
        "the discriminator (--penalty r1 or --penalty gradient-penalty, both of ganforge-losses)",
    ),
    "fooled": Meaning(
        words="the discriminator takes fakes for real and real images for fakes; it scores fakes higher by {:.2g}",
        helps="strengthen the discriminator: --optimizer.disc.lr 5e-4, --critic-steps 2, --disc.dropout 0.2 where it "
        "has dropout as mlp does, another one such as --disc dcgan, or smaller weights of its penalties",
    ),
    "not-finite": Meaning(
        words="a loss, score, penalty or weight was not a finite number",
        helps="take smaller steps (--optimizer.lr 5e-5, or by itself: --on-nan rollback), shorten long gradients "
        "(--optimizer.clip-norm 1.0), or compute in --precision fp32",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold what was found, from the step it began at to the one at which it was over (None: it is not).

    value: the number that showed it, when it was found.
    """

    ailment: Ailment
    since_step: int
    until_step: int | None
    value: float

    @property
    def words(self) -> str:
        """Say what is wrong."""
        return MEANINGS[self.ailment].words.format(self.value)

    @property
    def helps(self) -> str:
        """Say what usually helps."""
        return MEANINGS[self.ailment].helps

    @property
    def news(self) -> str:
        """Say that it has begun, or that it is over, in a line."""
        if self.until_step is None:
            return f"{self.ailment} since step {self.since_step}: {self.words}. What helps: {self.helps}"
        return f"the {self.ailment} since step {self.since_step} was over at step {self.until_step}"

    def as_state(self) -> dict[str, Any]:
        """Return it as a checkpoint keeps it: numbers, and no sentences."""
        steps = {"since_step": self.since_step, "until_step": self.until_step}
        return {"finding": self.ailment, **steps, "value": self.value}

    def as_dict(self) -> dict[str, Any]:
        """Return it as run.json tells it."""
        steps = {"since_step": self.since_step, "until_step": self.until_step}
        return {"finding": self.ailment, **steps, "words": self.words, "helps": self.helps}
