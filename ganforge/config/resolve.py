"""Turn layers of settings into one experiment, and remember where every value came from.

The order of precedence: defaults < recommended by components < preset < files, left to right < command line, left to
right. Components are chosen first, since what they recommend is the lowest layer of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ganforge.components import Options
from ganforge.config import OPTIMIZERS, SECTIONS, ComponentRef, Experiment, Layer, Section, nested
from ganforge.config.experiment import SEVERAL, SINGLE, TRAINED
from ganforge.config.optimizers import NETWORKS, NOTHING
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.config.sections import Leaf, SectionSettings, Settings, validation_message
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.suggest import did_you_mean

DEFAULT_EPOCHS = 20


def resolve(layers: Sequence[Layer], registry: Registry) -> ResolvedConfig:
    """Return the experiment that the layers describe, lowest first.

    Raises ConfigError, UnknownComponentError, PluginError.
    """
    resolver = Resolver(layers, registry)
    for sections in (TRAINED, ("features", *SEVERAL)):  # the others may be recommended by these
        for section in sections:
            resolver.choose(section)
        resolver.recommend(sections)
    return resolver.finish()


class Resolver:
    """Carry what is known while components are chosen, section by section."""

    def __init__(self, layers: Sequence[Layer], registry: Registry) -> None:
        self.registry = registry
        self.layers = [Settings.read(layer) for layer in layers]
        self.recommended: list[Settings] = []
        self.entries: dict[Section, tuple[Entry, ...]] = {}
        self.classes: dict[Entry, type[Any]] = {}
        self.origins: dict[str, str] = {}
        self.notices: list[str] = []

    @property
    def all_layers(self) -> list[Settings]:
        """What was recommended, then what was given; lowest first."""
        return [*self.recommended, *self.layers]

    def choose(self, section: Section) -> None:
        """Find a section's components by name: the last layer that names any decides."""
        kind = SECTIONS[section]
        default = Experiment.model_fields[section].default
        names = [selection.name for selection in default] if section in SEVERAL else [default.name]
        for layer in self.all_layers:
            given = layer.section(section).names
            if given is not None:
                left_out = [name for name in names if name not in given]
                if layer.advisory and left_out and section in self.origins:
                    self.notices.append(
                        f"{layer.origin} leaves out {section} {', '.join(left_out)}, {self.origins[section]}; "
                        f"to have it all the same: --{section} {','.join(left_out)}"
                    )
                names, self.origins[section] = given, layer.origin
        entries = tuple(self.registry.find(kind, name) for name in names)
        if len(set(entries)) < len(entries):
            raise ConfigError(f"{section} names a {kind} twice: {', '.join(names)}")
        self.entries[section] = entries
        for entry in entries:
            self.classes[entry] = self.registry.load(entry)

    def recommend(self, sections: Iterable[Section]) -> None:
        """Add what the chosen components recommend as the lowest layers."""
        for section in sections:
            for entry in self.entries[section]:
                recommended: Mapping[str, Any] = self.classes[entry].recommended
                if recommended:
                    origin = f"recommended by {entry.component.kind} {entry.component.name}"
                    layer = Layer(origin, nested(recommended.items()), loose=True, advisory=True)
                    self.recommended.append(Settings.read(layer))

    def finish(self) -> ResolvedConfig:
        """Return the experiment of everything that was chosen. Raises ConfigError."""
        chosen = {section: self.chosen(section) for section in SECTIONS}
        self.check_unused(self.layers, SECTIONS)
        values: dict[str, Any] = {}
        for section, items in chosen.items():
            selections = tuple(self.selection(item) for item in items)
            values[section] = selections if section in SEVERAL else selections[0]
        values |= self.plain()
        values["optimizer"] = self.optimizers()
        try:
            experiment = Experiment.model_validate(values)
        except ValidationError as error:
            raise ConfigError(validation_message("", error, Experiment, self.origins)) from None
        return ResolvedConfig(experiment, chosen, self.origins, self.notices)

    def chosen(self, section: Section) -> tuple[ResolvedComponent, ...]:
        """Return a section's components with their options."""
        return tuple(self.options(section, entry) for entry in self.entries[section])

    def selection(self, item: ResolvedComponent) -> ComponentRef:
        """Write a chosen component down, every option included."""
        options = item.options.model_dump(mode="json")
        spelled = {key: NOTHING if value is None else value for key, value in options.items()}
        return ComponentRef(name=self.registry.name_of(item.entry), options=spelled)

    def options(self, section: Section, entry: Entry) -> ResolvedComponent:
        """Merge one component's options from its own tables and, on the command line, from the section itself."""
        cls = self.classes[entry]
        alone = len(self.entries[section]) == 1
        merged: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for layer in self.all_layers:
            settings = layer.section(section)
            for leaf in self._leaves(settings, entry, section, alone=alone):
                key = leaf.key.replace("-", "_")
                if layer.advisory and key not in cls.Options.model_fields:
                    continue
                merged[key] = leaf.value
                origins[key] = layer.origin
        prefix = section if section in SINGLE else f"{section}.{entry.component.name}"
        self.origins |= {f"{prefix}.{key}": origin for key, origin in origins.items()}
        return ResolvedComponent(entry, cls, validate_options(prefix, entry, cls, merged, origins))

    def _leaves(self, settings: SectionSettings, entry: Entry, section: Section, *, alone: bool) -> Iterable[Leaf]:
        kind = SECTIONS[section]
        for key, value in settings.values.items():
            named = self.registry.get(kind, key) if isinstance(value, Mapping) else None
            if named == entry:
                yield from (Leaf(option, item) for option, item in value.items())
            elif settings.advisory and named is None and not (alone and not isinstance(value, Mapping)):
                continue
            elif named is None and isinstance(value, Mapping) and key not in self.classes[entry].Options.model_fields:
                self.registry.find(kind, key)  # raises, with the nearest name
            elif named is None and not settings.loose:
                raise ConfigError(
                    f"[{section}] {key} ({settings.origin}): in a file an option stands in its component's own table",
                    fix=f"write it under [{section}.{entry.component.name}]",
                )
            elif named is None and not alone:
                raise ConfigError(
                    f"{section}.{key} ({settings.origin}) could belong to any of several",
                    fix=f"name one: {section}.{entry.component.name}.{key}",
                )
            elif named is None:
                yield Leaf(key, value)

    def check_unused(self, layers: Iterable[Settings], sections: Iterable[Section]) -> None:
        """Say which options are set for components that this experiment does not use, and refuse options of nothing."""
        for layer in layers:
            for section in sections:
                kind, settings = SECTIONS[section], layer.section(section)
                used = self.entries[section]
                for key, value in settings.values.items():
                    entry = self.registry.get(kind, key) if isinstance(value, Mapping) else None
                    if entry is not None and entry not in used:
                        names = ", ".join(item.component.name for item in used) or "none"
                        self.notices.append(
                            f"[{section}.{key}] ({layer.origin}) is kept but not used: {section} is {names}"
                        )
                    elif entry is None and not used:
                        raise ConfigError(f"{section}.{key} ({layer.origin}) is set, but no {kind} is chosen")

    def plain(self) -> dict[str, Any]:
        """Merge the keys that belong to no component."""
        known = [key for key in Experiment.model_fields if key not in SECTIONS and key != "optimizer"]
        merged: dict[str, Any] = {}
        for layer in self.all_layers:
            for key, value in layer.plain.items():
                if key not in known:
                    raise ConfigError(
                        f"no setting {key!r} ({layer.origin}){did_you_mean(key, [*known, *SECTIONS, 'optimizer'])}"
                    )
                merged[key] = None if value == NOTHING else value
                self.origins[key] = layer.origin
                if key in {"epochs", "steps"} and value is not None:
                    other = "steps" if key == "epochs" else "epochs"
                    if other in layer.plain:
                        raise ConfigError(f"{layer.origin} gives both epochs and steps; give one of them")
                    merged.pop(other, None)
                    self.origins.pop(other, None)
        if merged.get("epochs") is None and merged.get("steps") is None:
            merged["epochs"] = DEFAULT_EPOCHS
        return merged

    def optimizers(self) -> dict[str, dict[str, Any]]:
        """Merge each network's optimiser; what stands directly in `optimizer` means both."""
        merged: dict[str, dict[str, Any]] = {}
        for network in NETWORKS:
            name, options = "adam", {"name": "adam"}
            for layer in self.all_layers:
                values = layer.optimizer(network)
                named = values.get("name", name)
                if not isinstance(named, str) or named not in OPTIMIZERS:
                    raise ConfigError(f"no optimizer {named!r} ({layer.origin}){did_you_mean(str(named), OPTIMIZERS)}")
                if named != name:  # options of the one before mean nothing to this one, not even where names agree
                    name, options = named, {"name": named}
                    prefix = f"optimizer.{network}."
                    self.origins = {key: at for key, at in self.origins.items() if not key.startswith(prefix)}
                for key, value in values.items():
                    if key not in OPTIMIZERS[name].model_fields:
                        if layer.advisory:
                            continue
                        message = f"optimizer.{network} is {name!r}, which has no option {key!r} ({layer.origin})"
                        raise ConfigError(message + did_you_mean(key, OPTIMIZERS[name].model_fields))
                    options[key] = value
                    self.origins[f"optimizer.{network}.{key}"] = layer.origin
            merged[network] = options
        return merged


def validate_options(
    prefix: str, entry: Entry, cls: type[Any], values: Mapping[str, Any], origins: Mapping[str, str]
) -> Options:
    """Return a component's options, checked. Raises ConfigError, with the origin of each value that is wrong."""
    model: type[BaseModel] = cls.Options
    try:
        options = model.model_validate(dict(values))
    except ValidationError as error:
        named = {f"{prefix}.{key}": origin for key, origin in origins.items()}
        raise ConfigError(f"{entry}: {validation_message(prefix, error, model, named)}") from None
    assert isinstance(options, Options), "the registry has checked it"  # noqa: S101
    return options
