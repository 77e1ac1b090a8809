"""Typed options of the optimisers, by name; torch's own defaults where the textbook does not say otherwise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat

Beta = Annotated[float, Field(ge=0, lt=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Adam(_Settings):
    """Adam with the textbook's learning rate and betas (Kingma & Ba 2014; Radford et al. 2015)."""

    name: Literal["adam"] = "adam"
    lr: PositiveFloat = 2e-4
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0


class AdamW(_Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    name: Literal["adamw"] = "adamw"
    lr: PositiveFloat = 2e-4
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 1e-2


class RMSprop(_Settings):
    """RMSprop, which the first Wasserstein GANs were trained with."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: PositiveFloat = 5e-5
    alpha: Beta = 0.99
    eps: PositiveFloat = 1e-8
    momentum: Beta = 0.0
    weight_decay: NonNegativeFloat = 0.0


class Sgd(_Settings):
    """Stochastic gradient descent, with or without momentum."""

    name: Literal["sgd"] = "sgd"
    lr: PositiveFloat = 1e-2
    momentum: Beta = 0.0
    nesterov: bool = False
    weight_decay: NonNegativeFloat = 0.0


OptimizerOptions = Annotated[Adam | AdamW | RMSprop | Sgd, Field(discriminator="name")]

OPTIMIZERS: dict[str, type[_Settings]] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": Sgd}


class Optimizers(_Settings):
    """One optimiser for each network; `optimizer.lr` on the command line or in a file means both."""

    gen: OptimizerOptions = Adam()
    disc: OptimizerOptions = Adam()
