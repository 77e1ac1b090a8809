"""All components by kind and name, imported only when they are needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from ganforge.components.spec import RESERVED_NAMES, Component, Kind
from ganforge.errors import PluginError, UnknownComponentError
from ganforge.plugins import Plugins, Policy, Source, discover
from ganforge.plugins.first_party import who_brings
from ganforge.plugins.local import module_name, short_name
from ganforge.plugins.sources import explain
from ganforge.utils.suggest import did_you_mean, nearest

#: The abstract class that a component of each kind extends; named, because importing it imports torch.
INTERFACES: dict[Kind, str] = {
    "generator": "Generator",
    "discriminator": "Discriminator",
    "loss": "Loss",
    "dataset": "Dataset",
    "penalty": "Penalty",
    "features": "FeatureExtractor",
    "metric": "Metric",
    "augmentation": "Augmentation",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold a component and whose it is."""

    component: Component
    source: Source

    @property
    def qualified_name(self) -> str:
        """The name that is unambiguous even where two plugins give the same one."""
        return f"{self.source.distribution}/{self.component.name}"

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name!r} ({self.source})"


class Registry:
    """Look components up, and import their classes."""

    def __init__(self, plugins: Plugins, *, no_plugins: bool = False) -> None:
        self.plugins = plugins
        self.no_plugins = no_plugins
        self.entries: tuple[Entry, ...] = tuple(Entry(component, source) for component, source in plugins.components)
        self._classes: dict[Entry, type[Any]] = {}

    @classmethod
    def discover(cls, local: Sequence[Path] = (), *, no_plugins: bool = False) -> Registry:
        """Load the installed plugins that the environment allows, and local ones. Raises as `discover` does."""
        return cls(discover(Policy.from_environment(no_plugins=no_plugins), local), no_plugins=no_plugins)

    def of_kind(self, kind: Kind) -> list[Entry]:
        """Return a kind's components, in the order of their names."""
        entries = (entry for entry in self.entries if entry.component.kind == kind)
        return sorted(entries, key=lambda entry: (entry.component.name, entry.source.distribution))

    @cached_property
    def clashes(self) -> frozenset[tuple[Kind, str]]:
        """Kinds and names that more than one plugin gives."""
        keys = [(entry.component.kind, entry.component.name) for entry in self.entries]
        return frozenset(key for key in keys if keys.count(key) > 1)

    def name_of(self, entry: Entry) -> str:
        """Return the shortest name that means this entry alone."""
        clash = (entry.component.kind, entry.component.name) in self.clashes
        return entry.qualified_name if clash else entry.component.name

    def get(self, kind: Kind, name: str) -> Entry | None:
        """Return the component that a name means, or None. Raises UnknownComponentError where it means several."""
        giver, _, bare = name.rpartition("/")
        wanted = bare.replace("_", "-")
        matches = [
            entry
            for entry in self.of_kind(kind)
            if entry.component.name == wanted
            and (not giver or canonicalize_name(giver) == canonicalize_name(entry.source.distribution))
        ]
        if len(matches) > 1:
            names = " or ".join(entry.qualified_name for entry in matches)
            raise UnknownComponentError(f"{len(matches)} plugins give a {kind} {bare!r}", fix=f"say which: {names}")
        return matches[0] if matches else None

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the component that a name means. Raises UnknownComponentError, with the nearest one."""
        entry = self.get(kind, name)
        if entry is not None:
            return entry
        sibling = who_brings(kind, name)
        if sibling is not None and sibling not in self._known:
            raise UnknownComponentError(
                f"no {kind} {name!r} is installed; {sibling} brings it",
                fix=f"in ganforge's repository: python -m pip install ./plugins/{sibling}",
            )
        by_name = {self.name_of(candidate): candidate for candidate in self.of_kind(kind)}
        match = nearest(name, by_name)
        if match is not None:
            message = f"no {kind} {name!r}; did you mean {match!r} ({by_name[match].source})?"
        else:
            message = f"no {kind} {name!r}; there is {', '.join(by_name) or 'none at all'}"
        raise UnknownComponentError(message, fix=self.why_missing(near=match is not None))

    @cached_property
    def _known(self) -> set[str]:
        """The distributions that are there, also those that are set aside or blocked."""
        broken = {problem.distribution for problem in self.plugins.problems}
        return broken | {*self.plugins.blocked} | {entry.source.distribution for entry in self.entries}

    def why_missing(self, *, near: bool) -> str | None:
        """Say which plugins may have what was not found: what is set aside, what is blocked, local ones."""
        reasons = []
        if self.plugins.problems:
            names = ", ".join(dict.fromkeys(problem.distribution for problem in self.plugins.problems))
            reasons.append(f"set aside, because broken: {names} (see ganforge doctor)")
        if self.plugins.blocked:
            reasons.append(f"blocked: {', '.join(dict.fromkeys(self.plugins.blocked))}")
        if not near:
            reasons.append("a local plugin is loaded with --plugin FILE|DIR")
        return "; ".join(reasons) or None

    def load(self, entry: Entry) -> type[Any]:
        """Import a component's class and check it against its interface. Raises PluginError."""
        if entry not in self._classes:
            _check_requirements(entry)
            self._classes[entry] = _checked_class(entry, _import_target(entry))
        return self._classes[entry]


def _check_requirements(entry: Entry) -> None:
    for text in entry.component.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise PluginError(f"{entry} requires {text!r}, which is no requirement; its author must mend it") from None
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            there = version(requirement.name)
            satisfied = requirement.specifier.contains(there, prereleases=True)
        except PackageNotFoundError:
            there, satisfied = None, False
        except InvalidVersion:
            continue  # nobody can compare it; importing tells
        if not satisfied:
            found = "is not installed" if there is None else f"does not fit the {there} that is installed"
            raise PluginError(f"{entry} needs {text}, which {found}", fix=f"python -m pip install '{text}'")


def _import_target(entry: Entry) -> object:
    target = entry.component.target
    if isinstance(target, type):
        return target
    module, _, class_name = target.partition(":")
    top, _, rest = module.partition(".")
    path = entry.source.path
    if path is not None and top == short_name(path):
        module = f"{module_name(path)}.{rest}".rstrip(".")  # a local plugin's own module, as it was loaded
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results
            found = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{entry} cannot be imported from {target!r}: {explain(error)}") from error
    try:
        return getattr(found, class_name)
    except AttributeError:
        near = did_you_mean(class_name, (name for name, value in vars(found).items() if isinstance(value, type)))
        raise PluginError(f"{entry}: {module} has no {class_name!r}{near}") from None


def _checked_class(entry: Entry, found: object) -> type[Any]:
    from pydantic import BaseModel  # noqa: PLC0415 - listing components needs neither pydantic nor torch

    interfaces = importlib.import_module("ganforge.components")
    interface = getattr(interfaces, INTERFACES[entry.component.kind])
    where = entry.component.target_text
    if not isinstance(found, type) or not issubclass(found, interface):
        raise PluginError(f"{entry}: {where} is no ganforge.{interface.__name__}", fix="its class must extend that one")
    abstract: list[str] = sorted(getattr(found, "__abstractmethods__", ()))
    if entry.component.kind == "dataset" and not {"load", "open"} & _defined(found, interface):
        abstract.append("load or open")
    if abstract:
        raise PluginError(f"{entry}: {where} does not define {', '.join(abstract)}")
    options = getattr(found, "Options")  # noqa: B009 - mypy knows `found` as any type
    if not (isinstance(options, type) and issubclass(options, BaseModel) and issubclass(options, interface.Options)):
        raise PluginError(
            f"{entry}: the options of {where} are not its interface's",
            fix=f"write `class Options(ganforge.{interface.__name__}.Options)` inside the class",
        )
    config = options.model_config
    if not config.get("frozen") or config.get("extra") != "forbid":
        raise PluginError(f"{entry}: {where}.Options must stay frozen and forbid unknown keys")
    reserved = sorted(RESERVED_NAMES & options.model_fields.keys())
    if reserved:
        raise PluginError(
            f"{entry}: {where}.Options has a field {reserved[0]!r}, a word of the configuration",
            fix="give it another name",
        )
    recommended: object = getattr(found, "recommended")  # noqa: B009 - as above
    if not isinstance(recommended, Mapping) or not all(isinstance(key, str) for key in recommended):
        raise PluginError(
            f"{entry}: {where}.recommended is no table of settings",
            fix='write it like {"critic_steps": 5, "optimizer.betas": (0.0, 0.9)}',
        )
    return found


def _defined(found: type, interface: type) -> set[str]:
    """Return what a class, or one between it and its interface, defines."""
    return {name for cls in found.__mro__ if cls not in interface.__mro__ for name in vars(cls)}
