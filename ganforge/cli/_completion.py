"""Completion of `ganforge run` in shells: settings, and options of the chosen components.

Options are known after a component's class is imported, which imports torch. So they are cached in the user's cache
folder, with the modification time of the class's file.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import SECTIONS, Kind, Section
from ganforge.errors import GanforgeError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.files import cache_folder, read_file, write_atomically

if TYPE_CHECKING:
    from ganforge.config import Experiment

#: Key of the arguments in the context's metadata.
ARGUMENTS = "ganforge.arguments"
MAX_LENGTH = 70
#: Version of the cache's format.
CACHE_VERSION = 3

#: A flag or value, and its description.
Completion = tuple[str, str]
#: JSON schemas of options by name.
Schemas = dict[str, dict[str, Any]]


def completions(
    arguments: Sequence[str], incomplete: str, sections: Sequence[Section] | None = None
) -> list[Completion]:
    """Return the flags, or the values of the last flag, that start with `incomplete` after some arguments.

    `sections` are those of a command without other settings; None means all settings of an experiment.
    """
    completer = _Completer(arguments)
    unique: dict[str, str] = {}
    with suppress(GanforgeError):  # a broken or an unknown plugin, which the command itself reports
        for value, text in completer.flags(incomplete, sections) if incomplete[:1] == "-" else completer.values():
            if value.startswith(incomplete):
                unique.setdefault(value, short(text))
    return list(unique.items())


def _experiment_class() -> type[Experiment]:
    from ganforge.config import Experiment  # imports pydantic, which lists do without

    return Experiment


def _optimizer_keys() -> tuple[str, ...]:
    from ganforge.config.references import NETWORK_PHASES

    return ("optimizer", *(f"optimizer.{phase}" for phase in NETWORK_PHASES))


def short(text: str) -> str:
    """Return a text shortened to one line, since the shells' scripts expect no line breaks."""
    from ganforge.cli._printer import escape  # only shells need it

    line = " ".join(text.split())
    return escape(line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…")


def split_names(texts: Iterable[str] | None) -> list[str]:
    """Return the names of a repeatable option whose values may be several names with commas."""
    return [name.strip() for text in texts or () for name in text.split(",") if name.strip()]


class _Completer:
    """Completions after some arguments."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments

    @cached_property
    def registry(self) -> Registry:
        """Registry with the local plugins of the arguments."""
        return Registry.discover([Path(path) for path in self.values_of("plugin")])

    def flags(self, incomplete: str, sections: Sequence[Section] | None) -> Iterator[Completion]:
        """Yield flags of settings, and of options of the chosen components."""
        nested: list[Completion] = []
        if sections is None:
            for key, field in _experiment_class().model_fields.items():
                if key not in SECTIONS:
                    yield f"--{key.replace('_', '-')}", field.description or ""
            nested = [*self.nested_keys(incomplete)]
        yield from ((f"--{key}", text) for key, text in nested)
        for key in (*(SECTIONS if sections is None else sections), *(key for key, _ in nested)):
            if incomplete.startswith(f"--{key}"):
                for prefix, schemas in self.options(key):
                    for name, schema in schemas.items():
                        yield f"--{prefix}.{name}", schema.get("description", "")

    def nested_keys(self, incomplete: str) -> Iterator[Completion]:
        """Yield the keys that name optimizers and schedules, with descriptions."""
        if incomplete.startswith("--optimizer"):
            for key in _optimizer_keys():
                phase = "every phase" if key == "optimizer" else f"phase {key.partition('.')[2]}"
                yield key, f"Optimizer of {phase}."
                yield f"{key}.schedule", f"Schedule of the learning rate of {phase}."
        if incomplete.startswith("--schedules"):
            yield from ((f"schedules.{target}", f"Schedule of {target}.") for target in self.targets())

    def targets(self) -> Iterator[str]:
        """Yield options of the chosen optimizers and terms that may be scheduled."""
        for key in (*_optimizer_keys()[1:], "term"):
            for name, schemas in self.chosen(key):
                prefix = f"term.{name}" if key == "term" else key
                yield from (f"{prefix}.{path}" for option, schema in schemas.items() for path in _reals(option, schema))
        if self.values_of("ema-halflife-images") or self.values_of("ema_halflife_images"):
            yield "ema_halflife_images"

    def values(self) -> Iterator[Completion]:
        """Yield the values of the last flag, if it names some."""
        flag = self.arguments[-1].removeprefix("--") if self.arguments and self.arguments[-1][:2] == "--" else ""
        kind = _kind(flag)
        if kind is not None:
            entries = self.registry.of_kind(kind)
            yield from ((self.registry.name_of(entry), entry.component.summary) for entry in entries)
            return
        key, dot, _ = flag.rpartition(".")
        if dot:
            for section in (key, key.partition(".")[0]):
                for prefix, schemas in self.options(section):
                    schema = schemas.get(flag.removeprefix(f"{prefix}.").replace("-", "_"))
                    if schema is not None:
                        yield from ((value, "") for value in _choices(schema))
                        return
        else:
            schema = _experiment_class().model_json_schema()["properties"].get(flag.replace("-", "_"), {})
            yield from ((value, "") for value in _choices(schema))

    def options(self, key: str) -> Iterator[tuple[str, Schemas]]:
        """Yield the prefix of the flags and the options of each component that a key names."""
        chosen = self.chosen(key)
        for name, schemas in chosen:
            yield f"{key}.{name}" if len(chosen) > 1 else key, schemas

    def chosen(self, key: str) -> list[tuple[str, Schemas]]:
        """Return the name and options of each component that a key names."""
        names = split_names(self.values_of(key)) or self.default(key)
        kind = _kind(key)
        if not names or kind is None:
            return []
        entries = {name: self.registry.get(kind, name) for name in names}
        return [(name, _options_of(self.registry, entry)) for name, entry in entries.items() if entry is not None]

    def values_of(self, flag: str) -> list[str]:
        """Return the values of a flag, `--gen NAME` or `--gen=NAME`; the last one for single components."""
        values = []
        for argument, following in pairwise([*self.arguments, ""]):
            name, equals, value = argument.partition("=")
            if name == f"--{flag}" and (equals or following):
                values.append(value if equals else following)
        return values if flag in {"plugin", "term", "augment", "metric"} else values[-1:]

    def default(self, key: str) -> list[str]:
        """Return the default names of a key."""
        if key in SECTIONS:
            default = _experiment_class().model_fields[key].default
            return [ref.name for ref in default] if isinstance(default, tuple) else [default.name]
        return self.values_of("optimizer") or ["adam"] if key in _optimizer_keys() else []


def _kind(key: str) -> Kind | None:
    """Return the kind of the components that a key names."""
    if key in SECTIONS:
        return SECTIONS[key]
    if key in _optimizer_keys():
        return "optimizer"
    return "schedule" if key.startswith("schedules.") or key.endswith(".schedule") else None


def _options_of(registry: Registry, entry: Entry) -> Schemas:
    """Return the schemas of a component's options, from the cache if it is current."""
    folder, stamp = cache_folder(), _stamp(entry)
    if folder is None or stamp is None:
        return _load_options(registry, entry)
    path = folder / "completion.json"
    key = f"{CACHE_VERSION} {entry.source} {entry.component.kind} {entry.component.name}"
    cache = _read_cache(path)
    if key in cache and cache[key].get("stamp") == stamp:
        cached: Schemas = cache[key]["options"]
        return cached
    options = _load_options(registry, entry)
    with suppress(OSError):  # completion works without a cache, only slower
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**cache, key: {"stamp": stamp, "options": options}}))
    return options


def _load_options(registry: Registry, entry: Entry) -> Schemas:
    """Import a component's class, and return the schemas of its options."""
    options: Schemas = registry.load(entry).Options.model_json_schema().get("properties", {})
    return options


def _stamp(entry: Entry) -> str | None:
    """Return time and size of the file of a component's class, or None for a local plugin, since it changes often."""
    target = entry.component.target
    if not isinstance(target, str) or entry.source.path is not None:
        return None
    with suppress(ImportError, ValueError, OSError):
        spec = importlib.util.find_spec(target.partition(":")[0])
        if spec is not None and spec.origin is not None:
            status = Path(spec.origin).stat()
            return f"{status.st_mtime_ns} {status.st_size}"
    return None


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        cache = json.loads(read_file(path))
    except (OSError, ValueError):
        return {}
    return cache if isinstance(cache, dict) else {}


def _reals(name: str, schema: dict[str, Any]) -> list[str]:
    """Return the paths of an option's real numbers: its own, or those of a tuple."""
    if schema.get("type") == "number":
        return [name]
    parts = schema.get("prefixItems", [])
    return [f"{name}.{i}" for i in range(len(parts))] if all(part.get("type") == "number" for part in parts) else []


def _choices(schema: dict[str, Any]) -> list[str]:
    """Return the values that a JSON schema allows: of an enumeration, a boolean, or one of several schemas."""
    if "enum" in schema:
        return [str(value) for value in schema["enum"]]
    if schema.get("type") == "boolean":
        return ["true", "false"]
    if schema.get("type") == "null":
        return ["none"]
    parts = [_choices(part) for part in schema.get("anyOf", [])]
    return [value for part in parts for value in part]
