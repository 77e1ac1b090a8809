"""Registry of all components by kind and name; their classes are imported on demand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ganforge.components.spec import KINDS, PHASE, RESERVED_NAMES, RESERVED_PHASES, Component, Kind
from ganforge.errors import PluginError, UnknownComponentError
from ganforge.plugins import Plugins, Policy, Source, discover
from ganforge.plugins.commands import Command
from ganforge.plugins.discovery import load_classes
from ganforge.plugins.first_party import Provided, providing_distribution
from ganforge.plugins.local import module_name, short_name
from ganforge.plugins.presets import PresetEntry
from ganforge.plugins.sources import Item, find_named, qualified_name, shortest_name
from ganforge.utils.suggest import did_you_mean, nearest, own_names
from ganforge.utils.tracebacks import summarize_exception

#: Interface of each kind, by name, because importing it imports torch. A loss is usually a `Loss`, which is a term.
INTERFACES: dict[Kind, str] = {
    "generator": "Generator",
    "discriminator": "Discriminator",
    "loss": "LossTerm",
    "term": "LossTerm",
    "augmentation": "Augmentation",
    "latent": "LatentDistribution",
    "optimizer": "OptimizerFactory",
    "schedule": "Schedule",
    "dataset": "Dataset",
    "features": "FeatureExtractor",
    "metric": "Metric",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Component with its source."""

    component: Component
    source: Source

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.component.name

    @property
    def qualified_name(self) -> str:
        """Name that is unambiguous even if two plugins provide a component of the same name."""
        return qualified_name(self)

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name!r} ({self.source})"


class Registry:
    """Components by kind and name, and their classes; presets and commands of plugins.

    Args:
        plugins: Loaded plugins.
        no_plugins: Whether installed plugins were not loaded.
        local: Paths of local plugins, as the user gave them.
    """

    def __init__(self, plugins: Plugins, *, no_plugins: bool = False, local: Sequence[Path] = ()) -> None:
        self.plugins = plugins
        self.no_plugins = no_plugins
        self.local = tuple(local)
        self.entries: tuple[Entry, ...] = tuple(Entry(component, source) for component, source in plugins.components)
        self.presets: list[PresetEntry] = _sorted(PresetEntry(preset, source) for preset, source in plugins.presets)
        self.commands: list[Command] = _sorted(plugins.commands)
        self._classes: dict[Entry, type[Any]] = {}

    @classmethod
    def discover(cls, local: Sequence[Path] = (), *, no_plugins: bool = False) -> Registry:
        """Load the installed plugins that the environment allows, and local ones; raises what `discover` raises."""
        plugins = discover(Policy.from_environment(no_plugins=no_plugins), local)
        return cls(plugins, no_plugins=no_plugins, local=local)

    def with_classes(self, text: str) -> Registry:
        """Return a registry that also has the components of a plugin's text. Raises PluginError."""
        load_classes(self.plugins, text)
        return Registry(self.plugins, no_plugins=self.no_plugins, local=self.local)

    def entry_of(self, kind: Kind, cls: type) -> Entry | None:
        """Return the component of a class, or None."""
        target = f"{cls.__module__}:{cls.__qualname__}"
        return next((entry for entry in self.of_kind(kind) if entry.component.target_text == target), None)

    def of_kind(self, kind: Kind) -> list[Entry]:
        """Return a kind's components, sorted by name."""
        return _sorted(entry for entry in self.entries if entry.component.kind == kind)

    def name_of(self, entry: Entry) -> str:
        """Return the shortest unambiguous name of an entry."""
        return shortest_name(entry, self.of_kind(entry.component.kind))

    def get(self, kind: Kind, name: str) -> Entry | None:
        """Return the component of a name, or None. Raises UnknownComponentError if the name is ambiguous."""
        return find_named(self.of_kind(kind), kind, name)

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the component of a name. Raises UnknownComponentError, with the nearest name."""
        return self._find(self.of_kind(kind), kind, name)

    def find_preset(self, name: str) -> PresetEntry:
        """Return the preset of a name. Raises UnknownComponentError, with the nearest name."""
        return self._find(self.presets, "preset", name)

    def check_provided(self, noun: str, name: str, kinds: Iterable[Provided] = (*KINDS, "preset")) -> None:
        """Raise UnknownComponentError for a name that a distribution of ganforge's repository provides.

        Args:
            noun: Kind of thing that the user named.
            name: Its name, which may be that of another library.
            kinds: Kinds that it may have.
        """
        pairs = ((own, providing_distribution(kind, own)) for own in (name, *own_names(name)) for kind in kinds)
        own, distribution = next((pair for pair in pairs if pair[1] is not None), (name, None))
        if distribution is not None and distribution not in self._distributions:
            provided = "is installed; {} provides it" if own == name else f"is installed; {own!r} is its name in {{}}"
            raise UnknownComponentError(
                f"no {noun} {name!r} {provided.format(distribution)}",
                fix=f"in ganforge's repository: python -m pip install ./plugins/{distribution}",
            )

    def _find(self, items: Sequence[Item], noun: Provided, name: str) -> Item:
        """Return the item of a name. Raises UnknownComponentError, with the nearest name, if there is none."""
        item = find_named(items, noun, name)
        if item is not None:
            return item
        self.check_provided(noun, name, (noun,))
        by_name = {shortest_name(item, items): item for item in items}
        match = nearest(name, by_name)
        if match is not None:
            message = f"no {noun} {name!r}; did you mean {match!r} ({by_name[match].source})?"
        else:
            message = f"no {noun} {name!r} (available: {', '.join(by_name) or 'none'})"
        raise UnknownComponentError(message, fix=self.fix_for_missing(near=match is not None))

    @cached_property
    def _distributions(self) -> set[str]:
        """Installed distributions, including those that are skipped or blocked."""
        broken = {problem.distribution for problem in self.plugins.problems}
        return broken | {*self.plugins.blocked} | {entry.source.distribution for entry in self.entries}

    def fix_for_missing(self, *, near: bool) -> str | None:
        """Return a fix for an unknown name: the skipped, blocked and local plugins that may provide it.

        Args:
            near: Whether a similar name exists.
        """
        reasons = []
        if self.plugins.problems:
            names = ", ".join(dict.fromkeys(problem.distribution for problem in self.plugins.problems))
            reasons.append(f"skipped, because broken: {names} (see ganforge doctor)")
        if self.plugins.blocked:
            reasons.append(f"blocked: {', '.join(dict.fromkeys(self.plugins.blocked))}")
        if not near:
            reasons.append("a local plugin is loaded with --plugin FILE|DIR")
        return "; ".join(reasons) or None

    def load(self, entry: Entry) -> type[Any]:
        """Import a component's class and check it against its interface. Raises PluginError."""
        if entry not in self._classes:
            _check_requirements(entry)
            target = entry.component.target
            imported = import_target(entry, entry.source, target) if isinstance(target, str) else target
            self._classes[entry] = _checked_class(entry, imported)
        return self._classes[entry]


def _sorted(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.name, item.source.distribution))


def _check_requirements(entry: Entry) -> None:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow; lists do without

    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - as above
    from packaging.version import InvalidVersion  # noqa: PLC0415 - as above

    for text in entry.component.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise PluginError(f"{entry} has an invalid requirement {text!r}; its author must correct it") from None
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
            satisfied = requirement.specifier.contains(installed, prereleases=True)
        except PackageNotFoundError:
            installed, satisfied = None, False
        except InvalidVersion:
            continue  # not comparable; importing the target decides
        if not satisfied:
            problem = "is not installed" if installed is None else f"does not fit the installed {installed}"
            raise PluginError(f"{entry} needs {text}, which {problem}", fix=f"python -m pip install '{text}'")


def import_target(owner: object, source: Source, target: str, *, fix: str | None = None) -> object:
    """Import the object of a component or command from `"package.module:name"`.

    Args:
        owner: The component or command, for messages.
        source: Its source; a local plugin's own modules are found under the name of its file.
        target: The object to import.
        fix: Fix of an error.

    Raises:
        PluginError: It cannot be imported.
    """
    module, _, name = target.partition(":")
    top, _, rest = module.partition(".")
    path = source.path
    if path is not None and top == short_name(path):
        module = f"{module_name(path)}.{rest}".rstrip(".")  # module of the local plugin itself
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            imported = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{owner} cannot be imported from {target!r}: {summarize_exception(error)}", fix=fix
        ) from error
    try:
        return getattr(imported, name)
    except AttributeError:
        near = did_you_mean(name, (key for key, value in vars(imported).items() if callable(value)))
        raise PluginError(f"{owner}: {module} has no {name!r}{near}", fix=fix) from None


def _checked_class(entry: Entry, target: object) -> type[Any]:
    """Return a component's class. Raises PluginError if it does not implement its interface."""
    from pydantic import BaseModel  # noqa: PLC0415 - listing components needs neither pydantic nor torch

    interfaces = importlib.import_module("ganforge.components")
    interface = getattr(interfaces, INTERFACES[entry.component.kind])
    target_text = entry.component.target_text
    if not isinstance(target, type) or not issubclass(target, interface):
        usual = "Loss" if entry.component.kind == "loss" else interface.__name__
        raise PluginError(
            f"{entry}: {target_text} does not extend ganforge.{interface.__name__}",
            fix=f"derive its class from ganforge.{usual}",
        )
    abstract: list[str] = sorted(getattr(target, "__abstractmethods__", ()))
    phases: object = getattr(target, "phases", None)
    if phases and getattr(target, "forward", None) is getattr(interfaces.LossTerm, "forward"):  # noqa: B009 - as above
        abstract.append("forward")  # only a term without phases, which reweights others, may lack it
    if abstract:
        raise PluginError(f"{entry}: {target_text} does not define {', '.join(abstract)}")
    options = getattr(target, "Options")  # noqa: B009 - mypy knows `target` as any type
    if not (isinstance(options, type) and issubclass(options, BaseModel) and issubclass(options, interface.Options)):
        raise PluginError(
            f"{entry}: {target_text}.Options does not extend the options of its interface",
            fix=f"write `class Options(ganforge.{interface.__name__}.Options)` inside the class",
        )
    config = options.model_config
    if not config.get("frozen") or config.get("extra") != "forbid":
        raise PluginError(f"{entry}: {target_text}.Options must stay frozen and forbid unknown keys")
    reserved = RESERVED_NAMES | ({"schedule"} if entry.component.kind == "optimizer" else set())
    clashes = sorted(reserved & options.model_fields.keys())
    if clashes:
        raise PluginError(
            f"{entry}: {target_text}.Options has a field {clashes[0]!r}, a word of the configuration",
            fix="give it another name",
        )
    recommended: object = getattr(target, "recommended")  # noqa: B009 - as above
    if not isinstance(recommended, Mapping) or not all(isinstance(key, str) for key in recommended):
        raise PluginError(
            f"{entry}: {target_text}.recommended is not a table of settings",
            fix='write it like {"critic_steps": 5, "optimizer.betas": (0.0, 0.9)}',
        )
    _check_phases(entry, getattr(target, "optimized_in", {}))
    return target


def _check_phases(entry: Entry, optimized_in: object) -> None:
    fix = 'write it like {"encoder": "gen"}; "gen" and "disc" are the networks\' phases, other names add one'
    if not isinstance(optimized_in, Mapping):
        raise PluginError(f"{entry}: optimized_in is not a table of phases: {optimized_in!r}", fix=fix)
    for phase in optimized_in.values():
        if not isinstance(phase, str) or not PHASE.fullmatch(phase) or phase in RESERVED_PHASES:
            raise PluginError(f"{entry}: optimized_in has an invalid phase {phase!r}", fix=fix)
