"""Validated configuration of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from ganforge.config.references import ComponentRef, Initial, Names, One, Optimizers, Several, spelled
from ganforge.errors import ConfigError
from ganforge.utils.schema import spell_scalars, validation_message

if TYPE_CHECKING:
    from ganforge.config.keywords import ExperimentSettings

#: Limit of the updates in one step, since a step cannot be interrupted.
MAX_UPDATES = 1000
Switch = Literal["auto", "on", "off"]


class Experiment(BaseModel):
    """Settings that determine the results of a run.

    Units are in the names: `*_every` are steps, `ema_halflife_images` is real images. A step is one generator update
    with the discriminator updates that belong to it: `critic_steps` of them, in every `generator_steps`-th step.
    `Experiment(gen="dcgan", disc="mlp", epochs=2)` is enough; other settings take the values that the components
    recommend, or the defaults. Options are next to a component's name, `gen={"name": "dcgan", "base_channels": 64}`,
    and a class may stand in place of a name.

    Attributes:
        optimizer: Optimizer of each phase; `{"lr": 1e-4}` or "sgd" applies to every phase.
        schedules: Schedule of each scheduled option by its dotted key, such as `optimizer.gen.lr`, `term.r1.weight`.

    Raises:
        ConfigError: A setting is unknown, with the nearest name, or invalid. Names of components are looked up when a
            training starts, with its local plugins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gen: One = ComponentRef(name="dcgan")
    disc: One = ComponentRef(name="dcgan")
    loss: One = ComponentRef(name="bce")
    data: One = ComponentRef(name="mnist")
    latent: One = ComponentRef(name="normal")
    term: Several = ()
    augment: Several = ()
    features: One = ComponentRef(name="random-convolutions")
    metric: Several = (ComponentRef(name="sliced-wasserstein"),)

    init: Initial = Field(
        None,
        description="Run (RUN or RUN@STEP), bundle, hub:OWNER/NAME or safetensors file whose weights the training "
        "starts from.",
    )
    epochs: PositiveInt | None = Field(
        None, description="Passes over the training images; 20 unless steps is given.", lt=2**63
    )
    steps: PositiveInt | None = Field(None, description="Generator updates, instead of epochs.", lt=2**63)
    batch_size: PositiveInt = Field(60, description="Real images in each discriminator update.")
    generator_batch_size: PositiveInt | None = Field(
        None, description="Fakes in each generator update; batch_size by default."
    )
    critic_steps: PositiveInt = Field(1, description="Discriminator updates in a row.", le=MAX_UPDATES)
    generator_steps: PositiveInt = Field(1, description="Generator updates in a row.", le=MAX_UPDATES)
    phase_order: Names | None = Field(
        None, description="Order of the updates in a step; by default disc, gen, then the phases of further networks."
    )
    reuse_fakes: bool = Field(
        False, description="Train the generator on the discriminator's fakes instead of fresh ones; faster."
    )
    gradient_accumulation: PositiveInt = Field(
        1,
        description="Equal parts of each batch, computed one after the other to save memory.",
        le=MAX_UPDATES,
    )
    workers: NonNegativeInt = Field(
        2, description="Worker processes that read streamed data; data that fits in memory needs none."
    )
    seed: NonNegativeInt = Field(0, description="Seed of weights, data order, latents and dropout.", lt=2**63)
    device: str = Field("auto", description="Device: auto, cpu, cuda, cuda:1, mps.")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="Precision; auto chooses by the hardware and the size of the networks."
    )
    compile: Switch = Field("auto", description="Compile the networks; auto: on a GPU, in long trainings.")
    cuda_graphs: Switch = Field("auto", description="Record each update once on a GPU and replay it; auto: on.")
    sync_batch_norm: bool = Field(False, description="Share statistics of batch norm between ranks.")
    on_nan: Literal["stop", "rollback"] = Field(
        "stop",
        description="Reaction to a loss or weight that is not finite: stop, or roll back to the last checkpoint and "
        "resume with half the learning rate.",
    )
    on_collapse: Literal["warn", "stop", "rollback"] = Field(
        "warn",
        description="Reaction to fakes that lose their diversity: a warning, stop, or roll back to the last checkpoint "
        "and resume with half the learning rate.",
    )
    ema_halflife_images: PositiveInt | None = Field(
        None, description="Keep an exponential moving average of the generator with this half-life; none by default."
    )
    optimizer: Optimizers = Field(
        default_factory=dict, description="Optimizer of every phase (adam); --optimizer.gen NAME is that of one."
    )
    schedules: Mapping[str, One] = Field(
        default_factory=dict, description="Schedules of numeric options, such as --schedules.term.r1.weight cosine."
    )

    log_every: PositiveInt = Field(10, description="Steps between rows of metrics.jsonl.")
    sample_every: PositiveInt | None = Field(None, description="Steps between sample grids; an epoch by default.")
    checkpoint_every: PositiveInt | None = Field(None, description="Steps between checkpoints; an epoch by default.")
    evaluate_every: PositiveInt | None = Field(None, description="Steps between evaluations; none by default.")
    evaluate: Literal["auto"] | None = Field(
        "auto", description="Score at the end: auto, where it takes a few seconds (digits and clothes), or none."
    )
    num_samples: PositiveInt = Field(1000, description="Fakes, and real images, in an evaluation.")
    max_eval_time_fraction: float = Field(
        0.5, description="Largest share of the training time that evaluations may take.", gt=0, le=1
    )
    best_metric: str | None = Field(
        None, description="Score that decides which checkpoint is best; the first by default."
    )
    keep_checkpoints: PositiveInt = Field(3, description="Newest checkpoints kept, in addition to the best one.")

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[ExperimentSettings]) -> None:
            """Create an experiment; editors complete its settings."""

    @model_validator(mode="before")
    @classmethod
    def _spell_scalars(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic passes on any input
        return spell_scalars(values, cls) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.reuse_fakes and self.generator_steps > 1:
            raise ValueError("reuse_fakes needs fakes of the discriminator in every step; generator_steps must be 1")
        if self.reuse_fakes and self.gradient_accumulation > 1:
            raise ValueError("reuse_fakes keeps whole batches in memory; gradient_accumulation must be 1")
        if self.reuse_fakes and self.generator_batch_size not in {None, self.batch_size}:
            raise ValueError(
                f"reuse_fakes needs equal batches; generator_batch_size {self.generator_batch_size} must be batch_size "
                f"{self.batch_size}"
            )
        for name in ("batch_size", "generator_batch_size"):
            size = getattr(self, name)
            if size is not None and size % self.gradient_accumulation:
                raise ValueError(
                    f"{name} {size} cannot be divided into {self.gradient_accumulation} equal parts; into "
                    f"{_nearest_divisor(size, self.gradient_accumulation)} it can"
                )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_setting(cls, values: object, validate: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Raise ConfigError for invalid settings; `info.context` has their origins, if they are known."""
        try:
            return validate(values)
        except ValidationError as error:
            raise ConfigError(validation_message("", error, cls, info.context or {})) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the settings that differ from their defaults."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.get_default(call_default_factory=True):
                yield name, spelled(value)

    def images_per_update(self, phase: str) -> int:
        """Return the number of images in an update of a phase, on all ranks."""
        return (self.generator_batch_size or self.batch_size) if phase == "gen" else self.batch_size

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of steps in which `images` training images are seen once, except a partial last batch."""
        return self._steps(images // self.batch_size)

    def total_steps(self, images: int) -> int:
        """Return the total number of steps of a training on `images` images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None, "a resolved experiment has one of the two"  # noqa: S101
        return self._steps(self.epochs * (images // self.batch_size))

    def batches(self, steps: int) -> int:
        """Return the number of batches of real images that the first `steps` steps consume."""
        return math.ceil(steps / self.generator_steps) * self.critic_steps

    def _steps(self, batches: int) -> int:
        """Return the number of steps that consume a number of batches."""
        return math.ceil(batches / self.critic_steps) * self.generator_steps


def _nearest_divisor(size: int, parts: int) -> int:
    """Return the divisor of `size` that is nearest to `parts`."""
    parts = min(parts, size)
    return next(
        near for distance in count() for near in (parts - distance, parts + distance) if near and size % near == 0
    )
