"""References to components, and the forms in which users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from ganforge.components.base import Configurable
from ganforge.components.spec import NAME, Section

#: Sections of one component each; trained components and their data come first.
TRAINED: tuple[Section, ...] = ("gen", "disc", "loss", "data")
SINGLE: tuple[Section, ...] = (*TRAINED, "latent", "features")
#: Sections of any number of components.
SEVERAL: tuple[Section, ...] = ("term", "augment", "metric")
#: Key of the optimizer's settings that apply to every phase, until the configuration is resolved.
ALL_PHASES = "all"
#: Phases of every GAN.
NETWORK_PHASES = ("disc", "gen")
#: Keys of a table of optimizers that may hold tables and are not phases.
NOT_PHASES = frozenset({"options", "schedule"})


class ComponentRef(BaseModel):
    """Name of a component, with options that differ from its defaults, as TOML can hold them.

    Attributes:
        cls: Class that was given in place of a name; a name of a registry replaces it when a training starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    cls: SkipJsonSchema[type | None] = Field(None, exclude=True, repr=False)


class OptimizerRef(ComponentRef):
    """Optimizer of a phase; options alone change those of the default."""

    name: str = "adam"


def _ref(value: object) -> object:
    """Return a reference from what users write: "dcgan", a class, or `{"name": "dcgan", "base_channels": 64}`."""
    table = _optimizer(value)
    if isinstance(table, Mapping) and "name" not in table:
        raise ValueError("the table has no name, as in {'name': 'dcgan', 'base_channels': 64}")
    return table


def _refs(value: object) -> object:
    value = _split(value)
    if isinstance(value, type | Mapping | ComponentRef):
        value = (value,)
    return tuple(_ref(item) for item in value) if isinstance(value, list | tuple) else value


def _split(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _optimizers(value: object) -> object:
    """Return references by phase from what users write: "sgd", or `{"lr": 1e-4, "disc": {"name": "sgd"}}`."""
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        return value
    own: dict[str, object] = {}
    shared: dict[str, object] = {}
    for key, item in table.items():
        is_phase = key in NETWORK_PHASES or (isinstance(item, Mapping | ComponentRef) and key not in NOT_PHASES)
        (own if is_phase else shared)[key] = _optimizer(item) if is_phase else item
    return ({ALL_PHASES: _optimizer(shared)} if shared else {}) | own


def _optimizer(value: object) -> object:
    """Return a reference whose options may stand next to its name, or without one."""
    if isinstance(value, ComponentRef):
        return {key: getattr(value, key) for key in value.model_fields_set}
    table = {"name": value} if isinstance(value, str | type) else value
    if not isinstance(table, Mapping):
        reason = "a name, a class, or a table such as {'name': 'dcgan', 'base_channels': 64} is required"
        if isinstance(value, Configurable):
            reason = f"pass the class, {type(value).__name__}; ganforge creates the object"
        raise ValueError(reason)  # noqa: TRY004 - pydantic collects no other errors
    own = table.get("options", {})
    if not isinstance(own, Mapping):
        return table
    ref: dict[str, object] = {key: item for key, item in table.items() if key not in {"name", "options"}}
    ref = {"options": {**own, **ref}}
    name = table.get("name")
    return ref | (_class_ref(name) if isinstance(name, type) else {} if name is None else {"name": name})


def _class_ref(cls: type) -> dict[str, object]:
    """Return the reference of a class: `my-generator` for `MyGenerator`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__)
    name = words.replace("_", "-").strip("-").lower()
    if not NAME.fullmatch(name):
        raise ValueError(f"the name of class {cls.__name__} must be ASCII letters, digits and single underscores")
    return {"name": name, "cls": cls}


class InitialWeights(BaseModel):
    """Weights of another training that a run starts from.

    Attributes:
        source: A run, as `RUN` or `RUN@STEP`, a bundle, `hub:OWNER/NAME`, or a safetensors file.
        freeze: Parameters that are not trained: names such as `discriminator.layers.0`, or shell patterns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    freeze: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()


def _initial_weights(value: object) -> object:
    """Return a table from what users write: a source alone, or a table whose `name` is the source."""
    if isinstance(value, Mapping) and "name" in value:
        return {"source" if key == "name" else key: item for key, item in value.items()}
    return {"source": value} if isinstance(value, str) else value


def spelled(value: object) -> object:
    """Return a setting as users write it: a component's name, or a table with its options."""
    if isinstance(value, ComponentRef):
        name = value.cls or value.name
        return {"name": name, **value.options} if value.options else name
    if isinstance(value, Mapping):
        return {key: spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, tuple) else value


#: Names separated by commas, or a list of them.
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
One = Annotated[ComponentRef, BeforeValidator(_ref)]
Several = Annotated[tuple[ComponentRef, ...], BeforeValidator(_refs)]
Optimizers = Annotated[Mapping[str, OptimizerRef], BeforeValidator(_optimizers)]
Initial = Annotated[InitialWeights | None, BeforeValidator(_initial_weights)]
