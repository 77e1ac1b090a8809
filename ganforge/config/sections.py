"""Reading one layer of settings, and saying what is wrong with a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ganforge.config import OPTIMIZERS, SECTIONS, Layer, Section
from ganforge.config.experiment import SEVERAL
from ganforge.config.optimizers import NOTHING, spread
from ganforge.errors import ConfigError
from ganforge.utils.suggest import did_you_mean


class Leaf(NamedTuple):
    """Hold one option's key and value."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class SectionSettings:
    """Hold what a layer says in one section.

    names: the components it names, or None where it names none. values: everything else: options, and tables of options
    by component.
    """

    origin: str
    loose: bool
    advisory: bool
    names: list[str] | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold a layer, split into its sections, its optimisers, and all other keys."""

    origin: str
    advisory: bool
    sections: Mapping[Section, SectionSettings]
    optimizers: Mapping[str, Mapping[str, Any]]
    plain: Mapping[str, Any]

    @classmethod
    def read(cls, layer: Layer) -> Settings:
        """Split a layer. Raises ConfigError where a section has the wrong form."""
        plain = {key.replace("-", "_"): value for key, value in layer.values.items()}
        sections = {section: _section(layer, section, plain.pop(section, None)) for section in SECTIONS}
        optimizers = _optimizers(layer, plain.pop("optimizer", {}))
        return cls(layer.origin, layer.advisory, sections, optimizers, plain)

    def section(self, section: Section) -> SectionSettings:
        """Return what the layer says in a section."""
        return self.sections[section]

    def optimizer(self, network: str) -> Mapping[str, Any]:
        """Return what the layer says of the optimiser of `gen` or `disc`."""
        return self.optimizers[network]


def _section(layer: Layer, section: Section, content: object) -> SectionSettings:
    key = "names" if section in SEVERAL else "name"
    if not isinstance(content, Mapping):
        content = {} if content is None else {key: content}
    values = dict(content)
    given = values.pop(key, None)
    names: list[str] | None
    if given is None:
        names = None
    elif section not in SEVERAL:
        names = [given]
    else:
        names = (
            [] if given == NOTHING else [name.strip() for name in given.split(",")] if isinstance(given, str) else given
        )
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{section} = {given!r} ({layer.origin}) is no component's name")
    return SectionSettings(layer.origin, layer.loose, layer.advisory, names, values)


def _optimizers(layer: Layer, content: object) -> dict[str, dict[str, Any]]:
    try:
        return spread(content)
    except ValueError as error:
        raise ConfigError(f"optimizer = {content!r} ({layer.origin}): {error}") from None


def validation_message(prefix: str, error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """Return pydantic's findings as people's words: the key, its origin, what is wrong, and the nearest right key."""
    messages = []
    for finding in error.errors(include_url=False):
        path = [str(part) for part in finding["loc"]]
        if path[:1] == ["optimizer"]:
            path = [part for part in path if part not in OPTIMIZERS]  # pydantic names the kind that it has tried
        key = ".".join([prefix, *path] if prefix else path)
        origin = origins.get(key) or next((origins[name] for name in origins if key.startswith(f"{name}.")), None)
        where = f" ({origin})" if origin else ""
        if finding["type"] == "extra_forbidden":
            messages.append(f"no option {path[-1]!r}{where}{did_you_mean(path[-1], model.model_fields)}")
        elif finding["type"] == "missing":
            messages.append(f"{key} must be given, such as --{key} VALUE")
        else:
            reason = finding["msg"].removeprefix("Value error, ")
            messages.append(f"{key} = {finding['input']!r}{where}: {reason[:1].lower()}{reason[1:]}" if key else reason)
    said = set(messages)  # of both networks' optimisers the same is said once
    return "; ".join(text for text in messages if text.replace("optimizer.disc", "optimizer.gen") not in said - {text})
