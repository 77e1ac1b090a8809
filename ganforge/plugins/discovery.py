"""ganforge's own loop over the installed plugins; pluggy's stops at the first broken one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pluggy

from ganforge.components.spec import API, Component
from ganforge.errors import PluginError, StrictPluginError
from ganforge.plugins import hookspecs
from ganforge.plugins.filter import Policy
from ganforge.plugins.installed import installed
from ganforge.plugins.local import load_local, places
from ganforge.plugins.sources import Problem, Source, explain, one_line, trace
from ganforge.plugins.timeout import limited
from ganforge.utils.suggest import did_you_mean

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("ganforge_"))
LISTENER_HOOKS = tuple(name for name in HOOKS if name != "ganforge_components")

_MARK = f"{hookspecs.PROJECT}_impl"  # pluggy's: what @hookimpl leaves on a function


@dataclass(slots=True)
class Plugins:
    """Hold what was found.

    components: each with its source, in the order found. problems: what was set aside. warnings: lines for a person.
    blocked: distributions that the policy does not allow. admitted: every plugin that was loaded, with its source.
    listeners: the sources of those that listen to runs.
    """

    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))
    components: list[tuple[Component, Source]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    admitted: list[tuple[object, Source]] = field(default_factory=list)
    listeners: list[Source] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.manager.add_hookspecs(hookspecs)

    def implementations(self, plugin: object) -> dict[str, Any]:
        """Return a registered plugin's hook implementations by hook name."""
        return {
            caller.name: implementation
            for caller in self.manager.get_hookcallers(plugin) or []
            for implementation in caller.get_hookimpls()
            if implementation.plugin is plugin
        }


class _SetAsideError(Exception):
    """Carry the stage at which a plugin failed, and where it comes from."""

    def __init__(self, stage: str, error: str, cause: BaseException | None = None) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = one_line(error)
        self.details = "" if cause is None else trace(cause)

    def problem(self, source: Source) -> Problem:
        """Return it as a plugin's problem."""
        return Problem(source.distribution, source.version, self.stage, self.error, self.details)


def discover(policy: Policy | None = None, local: Sequence[Path] = ()) -> Plugins:
    """Load every installed plugin that the policy allows, and the local ones that were asked for by path.

    What plugins print while they are loaded goes to stderr; stdout is for results. Raises StrictPluginError for a
    broken installed plugin under GANFORGE_STRICT_PLUGINS=1, and PluginError for a broken local one always, since a
    person named it.
    """
    policy = Policy.from_environment() if policy is None else policy
    plugins = Plugins()
    with redirect_stdout(sys.stderr):
        _load_installed(plugins, policy)
        for path in local:
            _load_from(plugins, path)
    return plugins


def _load_installed(plugins: Plugins, policy: Policy) -> None:
    found, plugins.problems = installed()
    for entry_point, source in found:
        if not policy.allows(source.distribution, entry_point.name):
            plugins.blocked.append(source.distribution)
            continue
        try:
            with limited(policy.seconds):
                _admit(plugins, _import(entry_point), source, f"{source.distribution}:{entry_point.name}")
        except _SetAsideError as reason:
            plugins.problems.append(reason.problem(source))
        if policy.strict and plugins.problems:
            raise StrictPluginError(str(plugins.problems[0]), fix="GANFORGE_STRICT_PLUGINS=1 asked to stop here")
    names = [(source.distribution, entry_point.name) for entry_point, source in found]
    names += [(problem.distribution, problem.distribution) for problem in plugins.problems]
    for name in policy.unmatched(names):
        plugins.warnings.append(
            f"GANFORGE_PLUGINS or GANFORGE_DISABLE_PLUGINS names {name!r}, which no plugin is called"
        )


def _load_from(plugins: Plugins, path: Path) -> None:
    for place in places(path):
        if any(place == source.path for _, source in plugins.admitted):
            continue  # named twice, or as itself and as a part of its folder
        module, source = load_local(place)
        others = len(plugins.problems)
        try:
            _admit(plugins, module, source, f"local:{place}")
        except _SetAsideError as reason:
            plugins.problems.append(reason.problem(source))
        for problem in plugins.problems[others:]:
            raise PluginError(f"local plugin {place} cannot be used ({problem.stage}): {problem.error}")


def _import(entry_point: EntryPoint) -> object:
    if not EntryPoint.pattern.match(entry_point.value):
        text = f"its entry point {entry_point.name!r} is {entry_point.value!r}; it must be a module's name"
        raise _SetAsideError("import", text)
    try:
        return entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
        raise _SetAsideError("import", explain(error), error) from None


def _admit(plugins: Plugins, plugin: object, source: Source, name: str) -> None:
    """Register a plugin's hooks and collect its components, or leave no trace of it."""
    _register(plugins, plugin, name)
    implementations = plugins.implementations(plugin)
    try:
        components = _collect(implementations.get("ganforge_components"))
        _check_names(plugins, components, source)
    except _SetAsideError:
        plugins.manager.unregister(plugin)
        raise
    for component in components:
        if component.api > API:
            error = (
                f"{component.kind} {component.name!r} needs interface version {component.api}; "
                f"this ganforge offers {API}; upgrade ganforge"
            )
            plugins.problems.append(Problem(source.distribution, source.version, "api", error))
        else:
            plugins.components.append((component, source))
    plugins.admitted.append((plugin, source))
    if any(hook in implementations for hook in LISTENER_HOOKS) and source not in plugins.listeners:
        plugins.listeners.append(source)


def _register(plugins: Plugins, plugin: object, name: str) -> None:
    """Register a plugin, or raise _SetAsideError and leave the manager as it was."""
    manager = plugins.manager
    if any(plugin is other for other, _ in plugins.admitted):
        raise _SetAsideError("hooks", "another entry point gives the same module")
    try:
        given = {word: getattr(plugin, word, None) for word in dir(plugin) if word.startswith("ganforge_")}
        marked = {word for word, value in given.items() if hasattr(value, _MARK)}
        _check_marks(given, marked)
        if plugin is not None:  # which pluggy would pass over in silence
            manager.register(plugin, name=name)
            manager.check_pending()
        _check_any(plugins.implementations(plugin) if manager.has_plugin(name) else {}, given)
    except Exception as error:  # whatever a plugin's attributes do when they are read
        if manager.has_plugin(name):
            manager.unregister(name=name)
        if isinstance(error, _SetAsideError):
            raise
        raise _SetAsideError("hooks", explain(error), error) from None


def _check_marks(given: dict[str, object], marked: set[str]) -> None:
    for word, value in given.items():
        named = getattr(value, _MARK, {}).get("specname") or word
        if word in marked and named not in HOOKS:
            raise _SetAsideError("hooks", f"no hook is called {named!r}{did_you_mean(named, HOOKS)}")
        if word in HOOKS and word not in marked and callable(value):
            raise _SetAsideError("hooks", f"{word} is not marked with @ganforge.hookimpl")


def _check_any(implementations: dict[str, Any], given: dict[str, object]) -> None:
    if not implementations:
        near = f" (is {next(iter(given))} meant to be one?)" if given else ""
        error = f"implements no hook with @ganforge.hookimpl{near}; there is {', '.join(HOOKS)}"
        raise _SetAsideError("hooks", error)


def _collect(implementation: Any) -> list[Component]:  # noqa: ANN401 - pluggy's HookImpl is not typed for use
    if implementation is None:
        return []
    try:
        given = implementation.function()
        components = list(given) if isinstance(given, Iterable) else None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
        raise _SetAsideError("components", explain(error), error) from None
    if components is None:
        text = f"ganforge_components returns a {type(given).__name__}; it must return a list of ganforge.Component"
        raise _SetAsideError("components", text)
    for component in components:
        if not isinstance(component, Component):
            text = f"ganforge_components gives a {type(component).__name__}, which is no ganforge.Component"
            raise _SetAsideError("components", text)
    return components


def _check_names(plugins: Plugins, components: list[Component], source: Source) -> None:
    """Refuse a name that a distribution gives twice: not even `distribution/name` would tell the two apart."""
    seen = {
        (component.kind, component.name)
        for component, giver in plugins.components
        if giver.distribution == source.distribution
    }
    for component in components:
        if (component.kind, component.name) in seen:
            raise _SetAsideError("components", f"gives {component.kind} {component.name!r} twice")
        seen.add((component.kind, component.name))
