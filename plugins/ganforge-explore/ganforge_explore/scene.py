"""Schema of a scene: everything that an image on the page depends on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ganforge.utils.schema import Count, Finite, StrictModel

#: Entries of a dictionary, and numbers of a latent or a condition.
MAX_ENTRIES, MAX_NUMBERS = 10_000, 100_000
#: Seeds that JavaScript represents exactly.
MAX_SEED = 2**53 - 1

Name = Annotated[str, Field(max_length=200)]
Numbers = Annotated[list[Finite], Field(min_length=1, max_length=MAX_NUMBERS)]


class Base(StrictModel):
    """Latent before the sliders: the first one of a seed, or given numbers in the generator's own space."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    values: Numbers | None = None

    @model_validator(mode="after")
    def _check(self) -> Base:
        if (self.seed is None) == (self.values is None):
            raise ValueError("a base has either a seed or values")
        return self


class Scene(StrictModel):
    """State of the page of one visitor; the server keeps none.

    Attributes:
        step: Step of the checkpoint.
        start: The latent at t = 0.
        end: The latent at t = 1, or None.
        t: Position between both.
        amounts: Standard deviations along directions, by the names of their sliders.
        categories: Values of one-hot fields, by name.
        condition: Class or vector of a conditional generator; None for the default one.
        sampling: Sampling options of the generator.
    """

    step: Count
    start: Base
    end: Base | None = None
    t: Annotated[float, Field(ge=0, le=1)] = 0.0
    amounts: dict[Name, Annotated[float, Field(ge=-10, le=10)]] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    categories: dict[Name, Count] = Field(default_factory=dict, max_length=MAX_ENTRIES)
    condition: Annotated[int, Field(ge=0, lt=2**31)] | Numbers | None = None
    sampling: dict[Name, bool | int | Finite | Name] = Field(default_factory=dict, max_length=MAX_ENTRIES)
