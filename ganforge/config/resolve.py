"""Resolution of layers of settings into one experiment with the origin of every value.

Precedence: defaults < recommended by components < preset < files, left to right < command line, left to right.
Components are chosen first, since their recommendations are the lowest layers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganforge.config import SECTIONS, ComponentRef, Experiment, Layer, Section, nested
from ganforge.config.choice import Choice, component_options, misplaced_option, resolve_options, unused_tables
from ganforge.config.dotted import NOTHING, RENAMED
from ganforge.config.layers import Settings
from ganforge.config.optimizers import choose_optimizers, unused_optimizers
from ganforge.config.references import NETWORK_PHASES, SEVERAL, SINGLE, TRAINED
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.config.schedules import Targets, check_scheduled_values, resolve_schedules
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.suggest import did_you_mean

DEFAULT_EPOCHS = 20
#: Sections whose components take part in a training step.
TRAINED_SECTIONS: tuple[Section, ...] = ("gen", "disc", "loss", "latent", "term", "augment")

#: Start of the origin of values that components recommend.
RECOMMENDED = "recommended by"


def resolve(layers: Sequence[Layer], registry: Registry) -> ResolvedConfig:
    """Return the experiment that the layers describe, lowest first.

    Raises:
        ConfigError: A setting is invalid.
        UnknownComponentError: A name means no component.
        PluginError: A component cannot be loaded.
    """
    resolver = Resolver(layers, registry)
    for sections in (TRAINED, ("features", *SEVERAL), ("latent",)):  # earlier ones may recommend later ones
        for section in sections:
            resolver.choose(section)
        resolver.recommend(sections)
    return resolver.finish()


class Resolver:
    """State of a resolution, while components are chosen section by section."""

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
        """Recommended settings, then those of the user; lowest first."""
        return [*self.recommended, *self.layers]

    def choose(self, section: Section) -> None:
        """Find a section's components by name; the last layer that names any wins."""
        kind = SECTIONS[section]
        default = Experiment.model_fields[section].default
        names = [selection.name for selection in default] if section in SEVERAL else [default.name]
        for layer in self.all_layers:
            layer_names = layer.sections[section].names
            if layer_names is not None:
                left_out = [name for name in names if name not in layer_names]
                if layer.advisory and left_out and section in self.origins:
                    self.notices.append(
                        f"{layer.origin} leaves out {section} {', '.join(left_out)}, {self.origins[section]}; "
                        f"to keep it: --{section} {','.join(left_out)}"
                    )
                names, self.origins[section] = layer_names, layer.origin
        if section in SINGLE and "," in names[0]:
            raise ConfigError(
                f"{section} = {names[0]!r} names several; a run has one",
                fix=f"compare several: ganforge sweep --{section} {shlex.quote(names[0])}",
            )
        entries = tuple(self.registry.find(kind, name) for name in names)
        if len(set(entries)) < len(entries):
            raise ConfigError(f"{section} names a {kind} twice: {', '.join(names)}")
        self.entries[section] = entries
        for entry in entries:
            self.classes[entry] = self.registry.load(entry)

    def recommend(self, sections: Iterable[Section]) -> None:
        """Add the recommendations of the chosen components as the lowest layers."""
        for section in sections:
            for entry in self.entries[section]:
                self._recommend(entry, self.classes[entry])

    def _recommend(self, entry: Entry, cls: type[Any]) -> None:
        recommended: Mapping[str, Any] = cls.recommended
        if recommended:
            origin = f"{RECOMMENDED} {entry.component.kind} {entry.component.name}"
            layer = Layer(origin, nested(recommended.items()), loose=True, advisory=True)
            self.recommended.append(Settings.read(layer))

    def finish(self) -> ResolvedConfig:
        """Return the experiment of everything that was chosen. Raises ConfigError."""
        phases = phases_of(self.entries, self.classes)
        choices = choose_optimizers(self.all_layers, phases, self.registry)
        for entry in dict.fromkeys(choice.entry for choice, _ in choices.values()):
            assert entry is not None, "every phase has an optimizer"  # noqa: S101
            self._recommend(entry, self.registry.load(entry))
        choices = choose_optimizers(self.all_layers, phases, self.registry)
        chosen = {section: self.chosen(section) for section in SECTIONS}
        self.check_unused(self.layers, SECTIONS)
        optimizers = {
            phase: component_options(self.registry, f"optimizer.{phase}", choice, tables, self.origins)
            for phase, (choice, tables) in choices.items()
        }
        chosen_optimizers = {phase: choice for phase, (choice, _) in choices.items()}
        self.notices += unused_optimizers(self.layers, chosen_optimizers, self.registry)
        plain = self.plain()
        targets = Targets(
            {phase: item.options for phase, item in optimizers.items()},
            {self.registry.name_of(item.entry): item.options for item in chosen["term"]},
            ema=plain.get("ema_halflife_images") is not None,
        )
        schedules, notices = resolve_schedules(
            self.all_layers, targets, phases, self.registry, origins=self.origins, unused=self._unused_targets(choices)
        )
        self.notices += notices
        check_scheduled_values(schedules, targets)
        values: dict[str, Any] = plain
        for section, items in chosen.items():
            refs = tuple(self.selection(item) for item in items)
            values[section] = refs if section in SEVERAL else refs[0]
        values["optimizer"] = {phase: self.selection(item) for phase, item in optimizers.items()}
        values["schedules"] = {target: self.selection(item) for target, item in schedules.items()}
        experiment = Experiment.model_validate(values, context=self.origins)
        order = ordered_phases(phases, experiment.phase_order, self.origins)
        return ResolvedConfig(experiment, chosen, optimizers, schedules, order, self.origins, self.notices)

    def chosen(self, section: Section) -> tuple[ResolvedComponent, ...]:
        """Return a section's components with their options."""
        return tuple(self.options(section, entry) for entry in self.entries[section])

    def selection(self, item: ResolvedComponent) -> ComponentRef:
        """Return a chosen component's reference with every option."""
        options = item.options.model_dump(mode="json")
        spelled = {key: NOTHING if value is None else value for key, value in options.items()}
        return ComponentRef(name=self.registry.name_of(item.entry), options=spelled)

    def options(self, section: Section, entry: Entry) -> ResolvedComponent:
        """Merge one component's options from its own tables and, on the command line, from the section itself."""
        key = section if section in SINGLE else f"{section}.{entry.component.name}"
        return resolve_options(self.registry, key, entry, self._section_options(section, entry), self.origins)

    def _section_options(self, section: Section, entry: Entry) -> Iterator[tuple[Layer, str, Any]]:
        kind, alone = SECTIONS[section], len(self.entries[section]) == 1
        for layer in (layer.sections[section] for layer in self.all_layers):
            for key, value in layer.values.items():
                table = isinstance(value, Mapping)
                named = self.registry.get(kind, key) if table else None
                if named == entry:
                    yield from ((layer, option, item) for option, item in value.items())
                elif named is not None or (layer.advisory and (table or not alone)):
                    continue
                elif table and key not in self.classes[entry].Options.model_fields:
                    self.registry.find(kind, key)  # raises, with the nearest name
                elif not layer.loose:
                    raise misplaced_option(section, key, layer, entry.component.name)
                elif not alone:
                    raise ConfigError(
                        f"{section}.{key} ({layer.origin}) could belong to any of several",
                        fix=f"name one: {section}.{entry.component.name}.{key}",
                    )
                else:
                    yield layer, key, value

    def check_unused(self, layers: Iterable[Settings], sections: Iterable[Section]) -> None:
        """Add notices about options of components that are not used; refuse options of a section without components."""
        for layer in layers:
            for section in sections:
                kind, settings = SECTIONS[section], layer.sections[section]
                self.notices += unused_tables(settings, section, kind, self.entries[section], self.registry)
                for key, value in settings.values.items() if not self.entries[section] else ():
                    if not isinstance(value, Mapping) or self.registry.get(kind, key) is None:
                        raise ConfigError(f"{section}.{key} ({layer.origin}) is set, but no {kind} is chosen")

    def _unused_targets(self, choices: Mapping[str, tuple[Choice, Sequence[Layer]]]) -> dict[str, int]:
        """Return prefixes of targets whose components were replaced, and the first layer in which they are errors."""
        used = {entry.component.name for entry in self.entries["term"]}
        names = {
            entry.component.name.replace("-", "_")
            for entry in self.registry.of_kind("term")
            if entry.component.name not in used
        }
        terms = {f"term.{name}": len(self.all_layers) for name in names}
        return terms | {f"optimizer.{phase}": choice.first for phase, (choice, _) in choices.items()}

    def plain(self) -> dict[str, Any]:
        """Merge the keys that belong to no component."""
        components = {*SECTIONS, "optimizer", "schedules"}
        known = [key for key in Experiment.model_fields if key not in components]
        merged: dict[str, Any] = {}
        for layer in self.all_layers:
            for key, value in layer.values.items():
                if key in RENAMED:
                    name = RENAMED[key]
                    raise ConfigError(
                        f"invalid setting {key!r} ({layer.origin}); its name is {name!r}", fix=f"use --{name}"
                    )
                if key not in known:
                    raise ConfigError(
                        f"invalid setting {key!r} ({layer.origin}){did_you_mean(key, [*known, *components])}"
                    )
                if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                    merged[key] = {**merged[key], **value}
                else:
                    merged[key] = None if value == NOTHING else value
                self.origins[key] = layer.origin
                if key in {"epochs", "steps"} and value is not None:
                    alternative = "steps" if key == "epochs" else "epochs"
                    if alternative in layer.values:
                        raise ConfigError(f"{layer.origin} sets both epochs and steps", fix="set one of them")
                    merged.pop(alternative, None)
                    self.origins.pop(alternative, None)
        if merged.get("epochs") is None and merged.get("steps") is None:
            merged["epochs"] = DEFAULT_EPOCHS
        return merged


def phases_of(entries: Mapping[Section, Sequence[Entry]], classes: Mapping[Entry, type[Any]]) -> tuple[str, ...]:
    """Return `disc`, `gen`, and the phases that the chosen components add by `optimized_in`.

    Raises ConfigError for a term in a phase that no component adds.
    """
    chosen = [entry for section in TRAINED_SECTIONS for entry in entries.get(section, ())]
    further = [phase for entry in chosen for phase in classes[entry].optimized_in.values()]
    phases = tuple(dict.fromkeys((*NETWORK_PHASES, *further)))
    for entry in chosen:
        acts_in = getattr(classes[entry], "phases", ())
        missing = [phase for phase in acts_in if phase not in phases] if isinstance(acts_in, tuple) else []
        if missing:
            raise ConfigError(
                f"{entry} acts in phase {missing[0]!r}, which no chosen component adds"
                f"{did_you_mean(missing[0], phases)}"
            )
    return phases


def ordered_phases(phases: tuple[str, ...], order: Sequence[str] | None, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return the phases in the order of their updates. Raises ConfigError if `order` is not a permutation of them."""
    if order is None:
        return phases
    if sorted(order) != sorted(phases):
        raise ConfigError(
            f"phase_order = {', '.join(order)} ({origins.get('phase_order', 'default')}) must name each phase once: "
            f"{', '.join(phases)}"
        )
    return tuple(order)
