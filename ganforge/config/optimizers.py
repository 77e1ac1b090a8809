"""Typed options of the optimisers, by name; torch's own defaults where the textbook does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, NonNegativeFloat, PositiveFloat, Tag, model_validator

Beta = Annotated[float, Field(ge=0, lt=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Adam(_Settings):
    """Adam with the textbook's learning rate and betas (Kingma & Ba 2014; Radford et al. 2015)."""

    name: Literal["adam"] = "adam"
    lr: PositiveFloat = 2e-4
    """The learning rate."""
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    """How slowly the averages of the gradient and of its square forget."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""


class AdamW(_Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"] = "adamw"
    lr: PositiveFloat = 2e-4
    """The learning rate."""
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    """How slowly the averages of the gradient and of its square forget."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    weight_decay: NonNegativeFloat = 1e-2
    """Shrinks each weight by this share of the learning rate in every step."""


class RMSprop(_Settings):
    """RMSprop, which the first Wasserstein GANs were trained with."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: PositiveFloat = 5e-5
    """The learning rate."""
    alpha: Beta = 0.99
    """How slowly the average of the gradient's square forgets."""
    eps: PositiveFloat = 1e-8
    """Keeps the division by the average square finite."""
    momentum: Beta = 0.0
    """How much of the last step goes into this one."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""


class Sgd(_Settings):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 1e-2
    """The learning rate."""
    momentum: Beta = 0.0
    """How much of the last step goes into this one."""
    nesterov: bool = False
    """Whether momentum looks ahead (Nesterov); it needs a momentum above 0."""
    weight_decay: NonNegativeFloat = 0.0
    """Adds this share of each weight to its gradient."""


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

OPTIMIZERS: dict[str, type[_Settings]] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": Sgd}


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

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, content: object) -> object:
        if isinstance(content, Mapping) and any(isinstance(value, BaseModel) for value in content.values()):
            return content
        return spread(content)
