"""Typed options of the optimisers, by name; torch's own defaults where the textbook does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    Tag,
    field_validator,
    model_validator,
)

Beta = Annotated[float, Field(ge=0, lt=1)]


#: TOML has no null. Where an option is set to nothing, this word says so.
NOTHING = "none"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Optimizer(_Settings):
    """Hold what every optimiser has beside its own formula: how its learning rate changes, and clipping."""

    lr: PositiveFloat
    """The learning rate."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate grows from nothing to `lr`."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls to nothing at the last step of the training, or that it does not."""
    decay_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the training after which it begins to fall."""
    clip_norm: PositiveFloat | None = None
    """Gradients longer than this, over all weights of the network, are shortened to it; none by default."""

    @model_validator(mode="after")
    def _falls_only_with_a_schedule(self) -> Self:
        if self.decay_from and self.schedule == "constant":
            raise ValueError("decay_from says when a learning rate begins to fall; choose a schedule, linear or cosine")
        return self

    @field_validator("clip_norm", mode="before")
    @classmethod
    def _read_none(cls, value: object) -> object:
        return None if value == NOTHING else value

    def formula(self) -> dict[str, Any]:
        """Return the options of the optimiser's own formula, as torch names them."""
        return self.model_dump(exclude={"name", *Optimizer.model_fields} - {"lr"})


class Adam(Optimizer):
    """Adam with the textbook's learning rate and betas (Kingma & Ba 2014; Radford et al. 2015)."""

    name: Literal["adam"] = "adam"
    lr: PositiveFloat = 2e-4
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    """How slowly the averages of the gradient and of its square forget."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"] = "adamw"
    lr: PositiveFloat = 2e-4
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    """How slowly the averages of the gradient and of its square forget."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    weight_decay: NonNegativeFloat = 1e-2
    """Shrinks each weight by this share of the learning rate in every step."""


class RMSprop(Optimizer):
    """RMSprop, which the first Wasserstein GANs were trained with."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: PositiveFloat = 5e-5
    alpha: Beta = 0.99
    """How slowly the average of the gradient's square forgets."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    momentum: Beta = 0.0
    """How much of the last step goes into this one."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""


class Sgd(Optimizer):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 1e-2
    momentum: Beta = 0.0
    """How much of the last step goes into this one."""
    nesterov: bool = False
    """Whether momentum looks ahead (Nesterov); it needs a momentum above 0."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""

    @model_validator(mode="after")
    def _looks_ahead_with_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


def _name_of(settings: object) -> str:
    """Return the optimiser that settings are for: Adam where they name none."""
    named = settings.get("name", "adam") if isinstance(settings, Mapping) else getattr(settings, "name", "adam")
    return str(named)


OptimizerOptions = Annotated[
    Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[RMSprop, Tag("rmsprop")]
    | Annotated[Sgd, Tag("sgd")],
    Discriminator(_name_of),
]

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": Sgd}


NETWORKS = ("gen", "disc")


def spread(content: object) -> dict[str, dict[str, Any]]:
    """Return each network's settings: what stands beside `gen` and `disc` means both. Raises ValueError.

    A word alone is an optimiser's name: "sgd", or `{"lr": 1e-4, "disc": "sgd"}`.
    """
    table = {"name": content} if isinstance(content, str) else content
    if not isinstance(table, Mapping):
        raise ValueError("it must be an optimizer's name, or a table such as {lr = 0.0001}")  # noqa: TRY004 - pydantic's
    both = {key.replace("-", "_"): value for key, value in table.items() if key not in NETWORKS}
    spreaded = {}
    for network in NETWORKS:
        own = table.get(network, {})
        own = {"name": own} if isinstance(own, str) else own
        if not isinstance(own, Mapping):
            raise ValueError(f"{network} must be an optimizer's name, or a table such as {{lr = 0.0001}}")  # noqa: TRY004
        spreaded[network] = both | {key.replace("-", "_"): value for key, value in own.items()}
    return spreaded


class Optimizers(_Settings):
    """One optimiser for each network; `optimizer.lr` means both, `optimizer.gen.lr` one."""

    gen: OptimizerOptions = Adam()
    """The generator's."""
    disc: OptimizerOptions = Adam()
    """The discriminator's."""

    def of(self, network: Literal["gen", "disc"]) -> OptimizerOptions:
        """Return one network's."""
        return self.gen if network == "gen" else self.disc

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, content: object) -> object:
        if isinstance(content, Mapping) and any(isinstance(value, BaseModel) for value in content.values()):
            return content
        return spread(content)
