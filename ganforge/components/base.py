"""Options and recommendations, shared by all component interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from ganforge.utils.schema import spell_scalars


class ComponentOptions(BaseModel):
    """Options of a component: frozen, typed, unknown keys refused.

    A component extends the options of its interface: `class Options(Generator.Options)`.
    TOML has no null, so the string "none" means None for an option whose type allows it.
    A string below a field is its description; `ganforge describe` prints it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic passes on any input
        if not isinstance(values, Mapping):
            return values
        absent = {
            key: None
            for key, value in values.items()
            if value == "none" and key in cls.model_fields and NoneType in get_args(cls.model_fields[key].annotation)
        }
        return spell_scalars({**values, **absent}, cls)


class Configurable:
    """Base of all interfaces: options, recommendations and partners.

    Attributes:
        recommended: Dotted configuration keys and values outside the component itself, such as
            `{"critic_steps": 5, "optimizer.betas": (0.0, 0.9)}`. Every other layer of the configuration overrides them.
        partners: Components that the conformance kit combines this one with, by flag, such as
            `{"disc": "conditional-dcgan"}`. Needed only where the kit's own stubs do not fit.
    """

    Options: ClassVar[type[ComponentOptions]] = ComponentOptions
    recommended: ClassVar[Mapping[str, Any]] = {}
    partners: ClassVar[Mapping[str, str]] = {}
    options: Any

    def __init__(self, options: Any) -> None:  # noqa: ANN401 - each component has its own
        super().__init__()
        self.options = options
