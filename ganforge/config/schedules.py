"""Schedules by target, the dotted key of a numeric option: `schedules.term.r1.weight = "cosine"`.

`optimizer.gen.schedule` is short for `schedules.optimizer.gen.lr`. A target without its phase, such as `optimizer.lr`,
means every phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

from ganforge.components import ComponentOptions
from ganforge.config import Layer
from ganforge.config.choice import choose_component, component_options
from ganforge.config.dotted import NOTHING
from ganforge.config.layers import Settings
from ganforge.config.optimizers import SCHEDULE, shared_and_own
from ganforge.config.resolved import ResolvedComponent
from ganforge.errors import ConfigError, PluginError
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.tracebacks import summarize_exception

EMA = "ema_halflife_images"
#: Length of the imaginary training in which the values of schedules are checked.
PROBES = 1000

#: Target, followed by the option of the schedule, if any; and the name of the schedule, or the value of its option.
ScheduleSetting: TypeAlias = tuple[str, Any]


class Targets:
    """Numeric options that may be scheduled, by dotted key.

    Attributes:
        owners: Options that each target is one of, except the half-life of the moving average.
    """

    def __init__(
        self,
        optimizers: Mapping[str, ComponentOptions],
        terms: Mapping[str, ComponentOptions],
        *,
        ema: bool,
    ) -> None:
        by_alias: dict[str, list[str]] = {}
        for phase, options in optimizers.items():
            for option in _numeric(options):
                by_alias.setdefault(_folded(f"optimizer.{option}"), []).append(f"optimizer.{phase}.{option}")
        owners = {f"optimizer.{phase}": options for phase, options in optimizers.items()}
        owners |= {f"term.{name}": options for name, options in terms.items()}
        self.owners = {f"{key}.{option}": options for key, options in owners.items() for option in _numeric(options)}
        self.names = [*self.owners, *([EMA] if ema else [])]
        self._by_alias = by_alias | {_folded(target): [target] for target in self.names}

    def split(self, key: str) -> tuple[list[str], str] | None:
        """Return the targets that a key begins with, and the rest of it; None if it begins with none."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            targets = self._by_alias.get(_folded(".".join(parts[:length])))
            if targets is not None:
                return targets, ".".join(parts[length:])
        return None


def _folded(key: str) -> str:
    return key.replace("-", "_")


def _numeric(options: ComponentOptions) -> Iterator[str]:
    """Yield the names of real-valued options; an entry of a tuple has its number, such as `betas.1`."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, float):
            yield name
        elif isinstance(value, list | tuple) and value and all(isinstance(item, float) for item in value):
            yield from (f"{name}.{number}" for number in range(len(value)))


def resolve_schedules(
    layers: Sequence[Settings],
    targets: Targets,
    phases: Sequence[str],
    registry: Registry,
    *,
    origins: dict[str, str],
    unused: Mapping[str, int],
) -> tuple[dict[str, ResolvedComponent], list[str]]:
    """Return the schedules by target, and notices about those that are not used; add the origins of their values.

    `unused` has prefixes of keys that mean options of components that were replaced, each with the index of the first
    layer in which they are errors. Raises ConfigError for an unknown target or option.
    """
    notices: list[str] = []
    tables: dict[str, list[Layer]] = {target: [] for target in targets.names}
    for index, layer in enumerate(layers):
        values: dict[str, dict[str, Any]] = {target: {} for target in targets.names}
        settings = list(_settings(layer, phases))
        if layer.schedule_names is not None:
            kept = {target for name in layer.schedule_names for target in (targets.split(name) or ([], ""))[0]}
            for target in set(targets.names) - kept:
                values[target]["name"] = NOTHING
            settings += [(name, None) for name in layer.schedule_names if not targets.split(name)]
        for key, value in settings:
            split = targets.split(key)
            if split is not None:
                for target in split[0]:
                    _insert(values[target], split[1], value)
                continue
            if layer.advisory or value == NOTHING:
                continue
            prefix = next((prefix for prefix in unused if _folded(key).startswith(f"{prefix}.")), None)
            if prefix is None or index >= unused[prefix] or (layer.loose and prefix.startswith("term.")):
                raise _unknown_target(key, layer, targets)
            option = key[len(prefix) + 1 :].partition(".")[0]
            notices.append(f"schedules.{key[: len(prefix)]}.{option} ({layer.origin}) is kept but not used")
        for target, table in values.items():
            tables[target].append(layer.part(table))
    return {
        target: resolved
        for target, settings in tables.items()
        if (resolved := _resolve(target, settings, registry, origins)) is not None
    }, list(dict.fromkeys(notices))


def _settings(layer: Settings, phases: Sequence[str]) -> Iterator[ScheduleSetting]:
    """Yield a layer's schedules; those of every phase come before those of one."""
    if SCHEDULE in layer.optimizer:
        yield from _leaves("optimizer.lr", layer.optimizer[SCHEDULE])
    own = {f"optimizer.{phase}.lr": shared_and_own(layer, phase, phases)[1].get(SCHEDULE, {}) for phase in phases}
    leaves = [leaf for key, content in [*layer.schedules.items(), *own.items()] for leaf in _leaves(key, content)]
    yield from sorted(leaves, key=lambda leaf: leaf[0].partition(".")[2].partition(".")[0] in phases)


def _leaves(key: str, content: object) -> Iterator[ScheduleSetting]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _leaves(f"{key}.{name}", value)
    else:
        yield key, content


def _insert(table: dict[str, Any], path: str, value: Any) -> None:  # noqa: ANN401
    """Insert a value: at no path the name, at `final` an option, at `cosine.final` an option of a component's table."""
    component, dot, option = path.rpartition(".")
    if dot:
        table.setdefault(component, {})[option] = value
    else:
        table[path or "name"] = value


def _resolve(
    target: str, tables: Sequence[Layer], registry: Registry, origins: dict[str, str]
) -> ResolvedComponent | None:
    key = f"schedules.{target}"
    choice = choose_component(registry, "schedule", key, tables, default=None)
    if choice.entry is not None:
        return component_options(registry, key, choice, tables, origins)
    for table in tables[choice.first :]:
        option = next((name for name in table.values if name != "name"), None)
        if option is not None and not table.advisory:
            raise ConfigError(
                f"{key}.{option} ({table.origin}) is set, but no schedule is chosen", fix=f"add {key} = cosine"
            )
    return None


def _unknown_target(key: str, layer: Settings, targets: Targets) -> ConfigError:
    return ConfigError(
        f"schedules.{key} ({layer.origin}): no option of this name can be scheduled"
        f"{did_you_mean(key.removesuffix('.name'), targets.names)}",
        fix="real-valued options of optimizers and terms can be, and ema_halflife_images if it is set",
    )


def check_scheduled_values(schedules: Mapping[str, ResolvedComponent], targets: Targets) -> None:
    """Refuse schedules that lead an option out of its bounds, such as a beta above 1; 0 is always permitted.

    Raises ConfigError for an invalid value, and PluginError if a schedule fails.
    """
    for target, item in schedules.items():
        options = targets.owners.get(target)
        if options is None:
            continue
        for step in (*range(0, PROBES, PROBES // 100), PROBES - 1):
            factor = _factor(item, step)
            try:
                type(options).model_validate(_scaled(options, target, factor))
            except ValidationError as error:
                (finding, *_) = error.errors(include_url=False)
                raise ConfigError(
                    f"schedules.{target} = {item.entry.component.name}: {100 * step // PROBES}% into the training the "
                    f"factor is {factor:g}, and {target} = {finding['input']!r} is invalid: {finding['msg']}"
                ) from None


def _factor(item: ResolvedComponent, step: int) -> float:
    try:
        factor = float(item.cls(item.options).factor(step, PROBES))
    except Exception as error:  # a plugin's code
        raise PluginError(f"{item.entry} fails at step {step} of {PROBES}: {summarize_exception(error)}") from error
    if not math.isfinite(factor):
        raise PluginError(f"{item.entry} returns {factor} at step {step} of {PROBES}")
    return factor


def _scaled(options: ComponentOptions, target: str, factor: float) -> dict[str, Any]:
    """Return options as a dict, with the target multiplied by a factor, unless it is 0."""
    values = options.model_dump()
    *_, name, number = target.split(".")
    if number in values:
        values[number] *= factor or 1.0
    else:
        entries = values[name] = list(values[name])
        entries[int(number)] *= factor or 1.0
    return values
