"""Loop over the installed plugins; pluggy's own loop stops at the first broken one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from ganforge.components.spec import API, Component
from ganforge.errors import PluginError, StrictPluginError
from ganforge.plugins import hookspecs
from ganforge.plugins.commands import Command, CommandGroup
from ganforge.plugins.installed import InstalledPlugin, installed_plugins, own_plugins
from ganforge.plugins.local import load_local, load_text, plugin_paths
from ganforge.plugins.policy import Policy, time_limit
from ganforge.plugins.presets import Preset
from ganforge.plugins.sources import Problem, Source
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.tracebacks import author_traceback, single_line, summarize_exception

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("ganforge_"))
PROVIDER_HOOKS = ("ganforge_components", "ganforge_commands", "ganforge_presets", "ganforge_doctor")
LISTENER_HOOKS = tuple(name for name in HOOKS if name not in PROVIDER_HOOKS)

Item = TypeVar("Item", Component, Preset)

_MARK = f"{hookspecs.PROJECT}_impl"  # attribute that @hookimpl sets on a function


@dataclass(slots=True)
class Plugins:
    """Plugins that were found.

    Attributes:
        manager: pluggy's manager of the loaded plugins.
        components: Components with their sources, in the order of discovery.
        commands: Commands, in the order of discovery.
        presets: Presets with their sources, in the order of discovery.
        problems: Reasons why plugins were skipped.
        warnings: Lines for the user.
        blocked: Distributions that the policy blocks.
        admitted: Loaded plugins with their sources.
        listeners: Sources of the plugins that listen to runs.
        names: Distribution, kind and name of everything that the plugins provide.
    """

    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))
    components: list[tuple[Component, Source]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    presets: list[tuple[Preset, Source]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    admitted: list[tuple[object, Source]] = field(default_factory=list)
    listeners: list[Source] = field(default_factory=list)
    names: set[tuple[str, str, str]] = field(default_factory=set)

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


class _SkipPluginError(Exception):
    """Failure of a plugin at a stage."""

    def __init__(self, stage: str, error: str, cause: BaseException | None = None) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = single_line(error)
        self.details = "" if cause is None else author_traceback(cause)

    def problem(self, source: Source) -> Problem:
        """Return the failure as a problem of a source."""
        return Problem(source.distribution, source.version, self.stage, self.error, self.details)


def discover(policy: Policy | None = None, local: Sequence[Path] = (), *, own_only: bool = False) -> Plugins:
    """Load every installed plugin that the policy allows, and local ones. Output of their imports goes to stderr.

    Args:
        policy: Which installed plugins are loaded; by default from the environment.
        local: Paths of local plugins.
        own_only: Whether other distributions than ganforge's are not even looked at.

    Raises:
        StrictPluginError: An installed plugin is broken, and the policy is strict.
        PluginError: A local plugin is broken.
    """
    policy = Policy.from_environment() if policy is None else policy
    plugins = Plugins()
    with redirect_stdout(sys.stderr):
        _load_installed(plugins, policy, own_only=own_only)
        for path in local:
            _load_local(plugins, path)
    return plugins


def _load_installed(plugins: Plugins, policy: Policy, *, own_only: bool) -> None:
    installed, plugins.problems = own_plugins() if own_only else installed_plugins()
    for plugin in installed:
        source = plugin.source
        if not policy.allows(source.distribution, plugin.name):
            plugins.blocked.append(source.distribution)
            continue
        try:
            with time_limit(policy.seconds):
                _admit(plugins, _import(plugin), source, f"{source.distribution}:{plugin.name}")
        except _SkipPluginError as reason:
            plugins.problems.append(reason.problem(source))
        if policy.strict and plugins.problems:
            raise StrictPluginError(str(plugins.problems[0]), fix="GANFORGE_STRICT_PLUGINS=1 makes this an error")
    if own_only:
        return
    names = [(plugin.source.distribution, plugin.name) for plugin in installed]
    names += [(problem.distribution, problem.distribution) for problem in plugins.problems]
    plugins.warnings += [
        f"GANFORGE_PLUGINS or GANFORGE_DISABLE_PLUGINS: no plugin is named {name!r}" for name in policy.unmatched(names)
    ]


def _load_local(plugins: Plugins, path: Path) -> None:
    for plugin_path in plugin_paths(path):
        if any(plugin_path == source.path for _, source in plugins.admitted):
            continue  # named twice, or once itself and once by its folder
        _admit_local(plugins, *load_local(plugin_path))


def load_classes(plugins: Plugins, text: str) -> None:
    """Add the components of a plugin that is a text. Raises PluginError if it cannot be used."""
    _admit_local(plugins, *load_text(text))


def _admit_local(plugins: Plugins, module: ModuleType, source: Source) -> None:
    """Add what a local plugin provides. Raises PluginError if it cannot be used."""
    place = source.path or source.distribution
    num_problems = len(plugins.problems)
    try:
        _admit(plugins, module, source, f"local:{place}")
    except _SkipPluginError as reason:
        plugins.problems.append(reason.problem(source))
    for problem in plugins.problems[num_problems:]:
        raise PluginError(f"local plugin {place} cannot be used ({problem.stage}): {problem.error}")


def _import(plugin: InstalledPlugin) -> object:
    if not plugin.is_valid:
        text = f"its entry point {plugin.name!r} is {plugin.target!r}; it must be a module's name"
        raise _SkipPluginError("import", text)
    with _skipping("import"):
        return plugin.load()


def _admit(plugins: Plugins, plugin: object, source: Source, name: str) -> None:
    """Register a plugin's hooks and add what it provides, or leave no trace of it."""
    _register(plugins, plugin, name)
    hooks = plugins.implementations(plugin)
    try:
        components = _returned(hooks.get("ganforge_components"), Component, "components")
        presets = _returned(hooks.get("ganforge_presets"), Preset, "presets")
        commands = _added_commands(hooks.get("ganforge_commands"), source)
        provided: list[tuple[str, str, str]] = [("components", item.kind, item.name) for item in components]
        provided += [("presets", "preset", item.name) for item in presets]
        provided += [("commands", "command", item.name) for item in commands]
        _check_unique(plugins, source, provided)
    except _SkipPluginError:
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
    plugins.presets += [(preset, source) for preset in presets]
    plugins.commands += commands
    plugins.admitted.append((plugin, source))
    if any(hook in hooks for hook in LISTENER_HOOKS) and source not in plugins.listeners:
        plugins.listeners.append(source)


def _register(plugins: Plugins, plugin: object, name: str) -> None:
    """Register a plugin, or raise _SkipPluginError and leave the manager unchanged."""
    manager = plugins.manager
    if any(plugin is other for other, _ in plugins.admitted):
        raise _SkipPluginError("hooks", "another entry point refers to the same module")
    try:
        attributes = {name: getattr(plugin, name, None) for name in dir(plugin) if name.startswith("ganforge_")}
        _check_marks(attributes)
        if plugin is not None:  # pluggy would skip it silently
            manager.register(plugin, name=name)
            manager.check_pending()
        if not (manager.has_plugin(name) and plugins.implementations(plugin)):
            near = f" (is {next(iter(attributes))} meant to be one?)" if attributes else ""
            text = f"implements no hook with @ganforge.hookimpl{near}; available: {', '.join(HOOKS)}"
            raise _SkipPluginError("hooks", text)  # noqa: TRY301 - the handler unregisters the plugin
    except Exception as error:  # attributes of a plugin may raise anything
        if manager.has_plugin(name):
            manager.unregister(name=name)
        if isinstance(error, _SkipPluginError):
            raise
        raise _SkipPluginError("hooks", summarize_exception(error), error) from None


def _check_marks(attributes: dict[str, object]) -> None:
    for name, value in attributes.items():
        marked = hasattr(value, _MARK)
        hook = getattr(value, _MARK, {}).get("specname") or name
        if marked and hook not in HOOKS:
            raise _SkipPluginError("hooks", f"no hook {hook!r}{did_you_mean(hook, HOOKS)}")
        if name in HOOKS and not marked and callable(value):
            raise _SkipPluginError("hooks", f"{name} is not marked with @ganforge.hookimpl")


@contextmanager
def _skipping(stage: str) -> Iterator[None]:
    """Turn every exception of a hook into _SkipPluginError."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may even call sys.exit()
        raise _SkipPluginError(stage, summarize_exception(error), error) from None


def _returned(implementation: Any, item_type: type[Item], stage: str) -> list[Item]:  # noqa: ANN401 - pluggy's HookImpl is not typed for use
    """Return the items that a hook returns."""
    if implementation is None:
        return []
    with _skipping(stage):
        result = implementation.function()
        items = list(result) if isinstance(result, Iterable) else None
    hook, expected = f"ganforge_{stage}", f"ganforge.{item_type.__name__}"
    if items is None:
        raise _SkipPluginError(stage, f"{hook} returns a {type(result).__name__}; it must return a list of {expected}")
    for item in items:
        if not isinstance(item, item_type):
            raise _SkipPluginError(stage, f"{hook} returns a list with a {type(item).__name__}, not a {expected}")
    return items


def _added_commands(implementation: Any, source: Source) -> tuple[Command, ...]:  # noqa: ANN401 - as above
    """Return the commands that a hook adds."""
    group = CommandGroup(source)
    if implementation is not None:
        with _skipping("commands"):
            implementation.function(group)
    return group.commands


def _check_unique(plugins: Plugins, source: Source, provided: Iterable[tuple[str, str, str]]) -> None:
    """Refuse two items of one kind and name in a distribution: `distribution/name` would be ambiguous."""
    names = set(plugins.names)
    for stage, kind, name in provided:
        if (source.distribution, kind, name) in names:
            raise _SkipPluginError(stage, f"provides {kind} {name!r} twice")
        names.add((source.distribution, kind, name))
    plugins.names = names
