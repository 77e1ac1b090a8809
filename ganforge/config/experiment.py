"""A resolved, validated configuration: everything that decides what a run computes."""

from __future__ import annotations

import math
from itertools import count
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from ganforge.components.spec import Section
from ganforge.config.optimizers import Optimizers

#: Sections that name one component each, and those that name any number. What is trained, and on what, comes first.
TRAINED: tuple[Section, ...] = ("gen", "disc", "loss", "data")
SINGLE: tuple[Section, ...] = (*TRAINED, "features")
SEVERAL: tuple[Section, ...] = ("penalty", "augment", "metric")


class ComponentRef(BaseModel):
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


#: A step is whole or not there: with more updates in it, nobody could stop it.
MOST_UPDATES = 1000
Switch = Literal["auto", "on", "off"]
One = Annotated[ComponentRef, BeforeValidator(_selection)]
Several = Annotated[tuple[ComponentRef, ...], BeforeValidator(_selections)]


class Experiment(BaseModel):
    """Hold everything that decides what a run computes.

    Units stand in the names: `*_every` are steps, `ema_halflife_images` is real images. A step is one generator update
    with the discriminator updates that go with it: `critic_steps` of them, in every `generator_steps`-th step.
    `Experiment(gen="dcgan", disc="mlp", epochs=2)` is enough; what is left out takes the defaults, or what a component
    recommends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gen: One = ComponentRef(name="dcgan")
    disc: One = ComponentRef(name="dcgan")
    loss: One = ComponentRef(name="bce")
    data: One = ComponentRef(name="mnist")
    penalty: Several = ()
    augment: Several = ()
    features: One = ComponentRef(name="random-convolutions")
    metric: Several = (ComponentRef(name="sliced-wasserstein"),)

    epochs: PositiveInt | None = Field(None, description="Passes over the training images; 20 unless steps is given.")
    steps: PositiveInt | None = Field(None, description="Generator updates, instead of epochs.")
    batch_size: PositiveInt = Field(60, description="Real images in each discriminator update.")
    critic_steps: PositiveInt = Field(1, description="Discriminator updates in a row.", le=MOST_UPDATES)
    generator_steps: PositiveInt = Field(1, description="Generator updates in a row.", le=MOST_UPDATES)
    reuse_fakes: bool = Field(
        False, description="Train the generator on the discriminator's fakes instead of fresh ones; faster."
    )
    gradient_accumulation: PositiveInt = Field(
        1,
        description="Equal parts that each batch is computed in, one after the other, to need less memory.",
        le=MOST_UPDATES,
    )
    workers: NonNegativeInt = Field(
        2, description="Processes that read streamed data; data that fits in memory needs none."
    )
    seed: NonNegativeInt = Field(0, description="Decides weights, data order, latents and dropout.", lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto", description="auto measures and takes the fastest."
    )
    compile: Switch = Field("auto", description="Compile the networks; auto: on a GPU, in long trainings.")
    cuda_graphs: Switch = Field("auto", description="Record each update once on a GPU and replay it; auto: on.")
    sync_batch_norm: bool = Field(False, description="Share batch norm's statistics among processes.")
    on_nan: Literal["stop", "rollback"] = Field(
        "stop",
        description="What follows a loss or weight that is not finite: stop, or go back to the last checkpoint and "
        "train on with half the learning rate.",
    )
    on_collapse: Literal["warn", "stop", "rollback"] = Field(
        "warn",
        description="What follows when the fakes lose their diversity: a warning, the end, or going back to the last "
        "checkpoint with half the learning rate.",
    )
    ema_halflife_images: PositiveInt | None = Field(
        None, description="Keep an exponential moving average of the generator with this half-life; none by default."
    )
    optimizer: Optimizers = Optimizers()

    log_every: PositiveInt = Field(10, description="Steps between rows of metrics.jsonl.")
    sample_every: PositiveInt | None = Field(None, description="Steps between sample grids; an epoch by default.")
    checkpoint_every: PositiveInt | None = Field(None, description="Steps between checkpoints; an epoch by default.")
    evaluate_every: PositiveInt | None = Field(None, description="Steps between evaluations; none by default.")
    num_samples: PositiveInt = Field(1000, description="Fakes, and real images, that an evaluation compares.")
    max_eval_time_fraction: float = Field(
        0.5, description="The largest share of the training's time that evaluations may take.", gt=0, le=1
    )
    best: str | None = Field(None, description="The score that decides which checkpoint is best; the first by default.")
    keep_checkpoints: PositiveInt = Field(3, description="Newest checkpoints kept, beside the best one.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.reuse_fakes and self.generator_steps > 1:
            raise ValueError("reuse_fakes needs fakes of the discriminator in every step; generator_steps must be 1")
        if self.reuse_fakes and self.gradient_accumulation > 1:
            raise ValueError("reuse_fakes keeps whole batches in memory; gradient_accumulation must be 1")
        if self.batch_size % self.gradient_accumulation:
            wanted = min(self.gradient_accumulation, self.batch_size)
            near = (parts for far in count() for parts in (wanted - far, wanted + far))
            nearest = next(parts for parts in near if self.batch_size % parts == 0)
            raise ValueError(
                f"batch_size {self.batch_size} cannot be divided into {self.gradient_accumulation} equal parts; into "
                f"{nearest} it can"
            )
        return self

    def steps_per_epoch(self, images: int) -> int:
        """Return the steps in which `images` training images are seen once, but for the last part batch."""
        return self._steps(images // self.batch_size)

    def total_steps(self, images: int) -> int:
        """Return the step that training on `images` images ends after."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None, "a resolved experiment has one of the two"  # noqa: S101
        return self._steps(self.epochs * (images // self.batch_size))

    def batches(self, steps: int) -> int:
        """Return how many batches of real images the first `steps` steps consume."""
        return math.ceil(steps / self.generator_steps) * self.critic_steps

    def _steps(self, batches: int) -> int:
        """Return the steps after which so many batches are consumed."""
        return math.ceil(batches / self.critic_steps) * self.generator_steps
