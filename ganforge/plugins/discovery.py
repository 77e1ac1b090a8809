"""ganforge's own loop over the installed plugins; pluggy's stops at the first broken one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from ganforge import hookspecs
from ganforge.component import API, Component
from ganforge.errors import PluginError, StrictPluginError
from ganforge.plugins.local import load_local
from ganforge.plugins.policy import Policy
from ganforge.plugins.sources import Problem, Source, explain
from ganforge.suggest import did_you_mean

GROUP = "ganforge"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("ganforge_"))
LISTENER_HOOKS = tuple(name for name in HOOKS if name != "ganforge_components")


@dataclass(slots=True)
class Plugins:
    """Hold what was found.

    components: each with its source, in the order found. problems: what was set aside. warnings: lines for a person.
    admitted: every plugin that was loaded, with its source. listeners: the sources of those that listen to runs.
    """

    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))
    components: list[tuple[Component, Source]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
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
    """Carry the stage at which a plugin failed."""

    def __init__(self, stage: str, error: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error


def discover(policy: Policy | None = None, local: Sequence[Path] = ()) -> Plugins:
    """Load every installed plugin that the policy allows, and the local ones that were asked for by path.

    Raises StrictPluginError for a broken installed plugin under GANFORGE_STRICT_PLUGINS=1, and PluginError for a broken
    local one always, since a person named it.
    """
    policy = Policy.from_environment() if policy is None else policy
    plugins = Plugins()
    found = list(_installed())
    for entry_point, source in found:
        if policy.allows(source.distribution, entry_point.name):
            try:
                _admit(plugins, _import(entry_point), source)
            except _SetAsideError as reason:
                problem = Problem(source.distribution, source.version, reason.stage, reason.error)
                if policy.strict:
                    raise StrictPluginError(str(problem), fix="GANFORGE_STRICT_PLUGINS=1 asked to stop here") from None
                plugins.problems.append(problem)
    for name in policy.unmatched((source.distribution, entry_point.name) for entry_point, source in found):
        plugins.warnings.append(
            f"GANFORGE_PLUGINS or GANFORGE_DISABLE_PLUGINS names {name!r}, which no plugin is called"
        )
    for path in local:
        for module, source in load_local(path):
            try:
                _admit(plugins, module, source)
            except _SetAsideError as reason:
                raise PluginError(
                    f"local plugin {source.path} cannot be used ({reason.stage}): {reason.error}"
                ) from None
    return plugins


def _installed() -> Iterator[tuple[EntryPoint, Source]]:
    """Yield each plugin once, in the order of its names; a distribution may stand on the path twice."""
    found: dict[tuple[str, str], tuple[EntryPoint, Source]] = {}
    for entry_point in entry_points(group=GROUP):
        distribution = entry_point.dist
        source = (
            Source("unknown", "unknown") if distribution is None else Source(distribution.name, distribution.version)
        )
        found.setdefault((source.distribution, entry_point.name), (entry_point, source))
    yield from (found[key] for key in sorted(found))


def _import(entry_point: EntryPoint) -> object:
    try:
        return entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
        raise _SetAsideError("import", explain(error)) from None


def _admit(plugins: Plugins, plugin: object, source: Source) -> None:
    """Register a plugin's hooks and collect its components, or leave no trace of it."""
    _register(plugins.manager, plugin)
    implementations = plugins.implementations(plugin)
    try:
        if not implementations:
            raise _SetAsideError("hooks", f"implements no hook with @ganforge.hookimpl; there is {', '.join(HOOKS)}")
        components = _collect(implementations.get("ganforge_components"))
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
    if any(name in implementations for name in LISTENER_HOOKS):
        plugins.listeners.append(source)


def _register(manager: pluggy.PluginManager, plugin: object) -> None:
    unmarked = [
        name
        for name in HOOKS
        if callable(getattr(plugin, name, None)) and not hasattr(getattr(plugin, name), f"{hookspecs.PROJECT}_impl")
    ]
    if unmarked:
        raise _SetAsideError("hooks", f"{unmarked[0]} is not marked with @ganforge.hookimpl")
    try:
        manager.register(plugin)
        manager.check_pending()
    except Exception as error:  # noqa: BLE001 - whatever a plugin's attributes do when they are read
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        unknown = [name for name in dir(plugin) if name.startswith("ganforge_") and name not in HOOKS]
        hint = f"no hook is called {unknown[0]!r}{did_you_mean(unknown[0], HOOKS)}" if unknown else explain(error)
        raise _SetAsideError("hooks", hint) from None


def _collect(implementation: Any) -> list[Component]:  # noqa: ANN401 - pluggy's HookImpl is not typed for use
    if implementation is None:
        return []
    try:
        components = list(implementation.function())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
        raise _SetAsideError("components", explain(error)) from None
    seen: set[tuple[str, str]] = set()
    for component in components:
        if not isinstance(component, Component):
            raise _SetAsideError(
                "components", f"ganforge_components gives {component!r}, which is no ganforge.Component"
            )
        if (component.kind, component.name) in seen:
            raise _SetAsideError("components", f"gives {component.kind} {component.name!r} twice")
        seen.add((component.kind, component.name))
    return components
