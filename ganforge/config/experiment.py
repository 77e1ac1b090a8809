"""A resolved, validated configuration: everything that decides what a run computes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from ganforge.component import Section
from ganforge.config.optimizers import Optimizers

#: Sections that name one component each, and those that name any number.
SINGLE: tuple[Section, ...] = ("gen", "disc", "loss", "data")
SEVERAL: tuple[Section, ...] = ("penalty", "augment", "metric")


#: TOML has no null. Where an option is set to nothing, this word says so.
NOTHING = "none"


class Selection(BaseModel):
    """Name a component, with the options that it gets beside its defaults, as TOML can hold them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


def _selection(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _selections(value: object) -> object:
    if isinstance(value, str):
        value = [name for name in value.split(",") if name]
    return tuple(_selection(item) for item in value) if isinstance(value, list | tuple) else value


One = Annotated[Selection, BeforeValidator(_selection)]
Several = Annotated[tuple[Selection, ...], BeforeValidator(_selections)]


class Experiment(BaseModel):
    """Hold everything that decides what a run computes.

    Units stand in the names: `*_every` are steps, `ema_halflife_images` is real images. A step is one generator update
    with the `critic_steps` discriminator updates that go with it. `Experiment(gen="dcgan", disc="mlp", epochs=2)` is
    enough; what is left out takes the defaults, or what a component recommends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gen: One = Selection(name="dcgan")
    disc: One = Selection(name="dcgan")
    loss: One = Selection(name="bce")
    data: One = Selection(name="mnist")
    penalty: Several = ()
    augment: Several = ()
    metric: Several = (Selection(name="sliced-wasserstein"),)

    epochs: PositiveInt | None = Field(None, description="Passes over the training images; 20 unless steps is given.")
    steps: PositiveInt | None = Field(None, description="Generator updates, instead of epochs.")
    batch_size: PositiveInt = Field(60, description="Real images in each discriminator update.")
    critic_steps: PositiveInt = Field(1, description="Discriminator updates for each generator update.")
    seed: NonNegativeInt = Field(0, description="Decides weights, data order, latents and dropout.", lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto", description="auto measures and takes the fastest."
    )
    ema_halflife_images: PositiveInt | None = Field(
        None, description="Keep an exponential moving average of the generator with this half-life; none by default."
    )
    optimizer: Optimizers = Optimizers()

    log_every: PositiveInt = Field(10, description="Steps between rows of metrics.jsonl.")
    sample_every: PositiveInt | None = Field(None, description="Steps between sample grids; an epoch by default.")
    checkpoint_every: PositiveInt | None = Field(None, description="Steps between checkpoints; an epoch by default.")
    evaluate_every: PositiveInt | None = Field(None, description="Steps between evaluations; none by default.")
    evaluation_images: PositiveInt = Field(1000, description="Fakes, and real images, that an evaluation compares.")
    best: str | None = Field(None, description="The score that decides which checkpoint is best; the first by default.")
    keep_checkpoints: PositiveInt = Field(3, description="Newest checkpoints kept, beside the best one.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self

    def steps_per_epoch(self, images: int) -> int:
        """Return the generator updates in which `images` training images are seen once, but for the last part batch."""
        return math.ceil(images // self.batch_size / self.critic_steps)

    def total_steps(self, images: int) -> int:
        """Return the step that training on `images` images ends after."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None, "a resolved experiment has one of the two"  # noqa: S101
        return math.ceil(self.epochs * (images // self.batch_size) / self.critic_steps)
