"""What the options of every component have in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Options(BaseModel):
    """Hold a component's options: frozen, typed, unknown keys refused.

    Every interface extends it, and a component extends its interface's: `class Options(Generator.Options)`. TOML has no
    null, so that the word "none" means None for an option whose type allows it. A string below a field describes it to
    people: `ganforge describe` shows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, values: Any) -> Any:  # noqa: ANN401 - whatever is being validated
        if not isinstance(values, Mapping):
            return values
        nothing = {
            key: None
            for key, value in values.items()
            if value == "none" and key in cls.model_fields and NoneType in get_args(cls.model_fields[key].annotation)
        }
        return {**values, **nothing}


class Configurable:
    """Share what all interfaces have: options, and values that a component recommends outside itself.

    recommended: dotted configuration keys and values, such as `{"critic_steps": 5, "optimizer.betas": (0.0, 0.9)}`.
    They apply unless the person set that value.
    """

    Options: ClassVar[type[Options]] = Options
    recommended: ClassVar[Mapping[str, Any]] = {}
