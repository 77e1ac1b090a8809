"""Failure modes of GAN training, with a message and a hint for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ganforge.schemas.manifest import FailureMode


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Text of an alert.

    Attributes:
        message: Description with a placeholder for the value that triggered the alert.
        hint: Flags that usually help. Components of other distributions are named with their plugin.
    """

    message: str
    hint: str


DIAGNOSES: Final[dict[FailureMode, Diagnosis]] = {
    "collapse": Diagnosis(
        message="the fakes are nearly identical; their diversity is {:.2g} times that of the real images",
        hint="a smaller learning rate helps most often (--optimizer.lr 5e-5); then a weaker discriminator (--term r1 "
        "of ganforge-losses, --augment diffaugment of ganforge-augment), or another loss (--loss relativistic or "
        "--loss wasserstein-gp, both of ganforge-losses)",
    ),
    "saturation": Diagnosis(
        message="the discriminator recognizes every fake; its loss is {:.2g} times its first value, and the generator "
        "gets almost no gradient",
        hint="weaken the discriminator: --optimizer.disc.lr 5e-5, --generator-steps 2, --disc.dropout 0.5 if it has "
        "dropout as mlp does, --term r1 of ganforge-losses, --augment diffaugment of ganforge-augment",
    ),
    "divergence": Diagnosis(
        message="a loss grows without bound; it is {:.3g} times its usual size",
        hint="reduce the learning rate (--optimizer.lr 5e-5), clip gradients (--optimizer.clip-norm 1.0), or "
        "regularize the discriminator (--term r1 or --term gradient-penalty, both of ganforge-losses)",
    ),
    "fooled": Diagnosis(
        message="the discriminator takes fakes for real images and real images for fakes; D(G(z)) exceeds D(x) by "
        "{:.2g}",
        hint="strengthen the discriminator: --optimizer.disc.lr 5e-4, --critic-steps 2, --disc.dropout 0.2 if it has "
        "dropout as mlp does, another one such as --disc dcgan, or smaller weights of its gradient penalties",
    ),
    "not-finite": Diagnosis(
        message="a loss, logit, term, gradient or weight is not finite",
        hint="reduce the learning rate (--optimizer.lr 5e-5, or automatically: --on-nan rollback), clip gradients "
        "(--optimizer.clip-norm 1.0), or compute in --precision fp32",
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Failure of a training run between two steps.

    Attributes:
        failure: The failure mode.
        since_step: First step with the failure.
        until_step: First step without it, or None while it lasts.
        value: Value that triggered the alert.
    """

    failure: FailureMode
    since_step: int
    until_step: int | None
    value: float

    @property
    def message(self) -> str:
        """Description with the value."""
        return DIAGNOSES[self.failure].message.format(self.value)

    @property
    def hint(self) -> str:
        """Flags that usually help."""
        return DIAGNOSES[self.failure].hint

    @property
    def summary(self) -> str:
        """One line for the terminal, when the alert is raised and when it is resolved."""
        if self.until_step is None:
            return f"{self.failure} since step {self.since_step}: {self.message}. Hint: {self.hint}"
        return f"{self.failure} since step {self.since_step} resolved at step {self.until_step}"

    def as_state(self) -> dict[str, Any]:
        """Return the alert as state.json holds it."""
        steps = {"since_step": self.since_step, "until_step": self.until_step}
        return {"alert": self.failure, **steps, "value": self.value}

    def as_dict(self) -> dict[str, Any]:
        """Return the alert as run.json holds it."""
        return {**self.as_state(), "message": self.message, "hint": self.hint}
