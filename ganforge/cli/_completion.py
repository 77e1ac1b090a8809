"""Completion of `ganforge run` in shells: settings, and options of the chosen components.

Options are known after a component's class is imported, which imports torch. So they are cached in the user's cache
folder, with the modification time of the class's file.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from rich.markup import escape

from ganforge.components.spec import SECTIONS, Kind, Section
from ganforge.errors import GanforgeError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.files import write_atomically

if TYPE_CHECKING:
    from ganforge.config import Experiment

MAX_LENGTH = 70
#: Version of the cache's format.
CACHE_VERSION = 2

#: A word and its description.
Completion = tuple[str, str]
Options = dict[str, dict[str, Any]]


def completions(words: Sequence[str], incomplete: str, sections: Sequence[Section] | None = None) -> list[Completion]:
    """Return the flags, or the values of the last flag, that start with `incomplete`.

    Args:
        words: Preceding words.
        incomplete: Start of the word to complete.
        sections: Sections of the command, if it has no other settings; None for all settings of an experiment.
    """
    candidates = _flags(words, incomplete, sections) if incomplete.startswith("-") else _values(words)
    unique: dict[str, str] = {}
    for word, text in candidates:
        if word.startswith(incomplete):
            unique.setdefault(word, short(text))
    return list(unique.items())


def _experiment_class() -> type[Experiment]:
    from ganforge.config import Experiment  # noqa: PLC0415 - imports pydantic, which lists do without

    return Experiment


def short(text: str) -> str:
    """Return a text shortened to one line, since the shells' scripts expect no line breaks."""
    words = " ".join(text.split())
    return escape(words if len(words) <= MAX_LENGTH else f"{words[: MAX_LENGTH - 1]}…")


def _flags(words: Sequence[str], incomplete: str, sections: Sequence[Section] | None) -> Iterator[Completion]:
    if sections is None:
        for key, field in _experiment_class().model_fields.items():
            if key not in SECTIONS:
                yield f"--{key.replace('_', '-')}", field.description or ""
    nested = [] if sections is not None else [*_nested_keys(words, incomplete)]
    yield from ((f"--{key}", text) for key, text in nested)
    for key in (*(SECTIONS if sections is None else sections), *(key for key, _ in nested)):
        if incomplete.startswith(f"--{key}"):
            for prefix, options in _options(words, key):
                yield from ((f"--{prefix}.{name}", option["text"]) for name, option in options.items())


def _nested_keys(words: Sequence[str], incomplete: str) -> Iterator[Completion]:
    """Yield the keys that name optimizers and schedules, with descriptions."""
    if incomplete.startswith("--optimizer"):
        for key in _optimizer_keys():
            phase = "every phase" if key == "optimizer" else f"phase {key.partition('.')[2]}"
            yield key, f"Optimizer of {phase}."
            yield f"{key}.schedule", f"Schedule of the learning rate of {phase}."
    if incomplete.startswith("--schedules"):
        yield from ((f"schedules.{target}", f"Schedule of {target}.") for target in _targets(words))


def _optimizer_keys() -> tuple[str, ...]:
    from ganforge.config.experiment import NETWORK_PHASES  # noqa: PLC0415 - imports pydantic, which lists do without

    return ("optimizer", *(f"optimizer.{phase}" for phase in NETWORK_PHASES))


def _targets(words: Sequence[str]) -> Iterator[str]:
    """Yield options of the chosen optimizers and terms that may be scheduled."""
    for key in (*_optimizer_keys()[1:], "term"):
        for _, name, options in _chosen(words, key):
            prefix = f"term.{name}" if key == "term" else key
            yield from (f"{prefix}.{path}" for option, schema in options.items() for path in _reals(option, schema))
    if _given(words, "ema-halflife-images") or _given(words, "ema_halflife_images"):
        yield "ema_halflife_images"


def _reals(name: str, option: dict[str, Any]) -> list[str]:
    count = option["reals"]
    return [name] if count == 0 else [f"{name}.{number}" for number in range(count or 0)]


def _values(words: Sequence[str]) -> Iterator[Completion]:
    """Yield the values of the last flag, if it names some."""
    flag = words[-1].removeprefix("--") if words and words[-1].startswith("--") else ""
    kind = _kind(flag)
    if kind is not None:
        with suppress(GanforgeError):
            registry = _registry(words)
            yield from ((registry.name_of(entry), entry.component.summary) for entry in registry.of_kind(kind))
    key, dot, name = flag.rpartition(".")
    if dot:
        for section in (key, key.partition(".")[0]):
            for prefix, options in _options(words, section):
                option = options.get(flag.removeprefix(f"{prefix}.").replace("-", "_"))
                if option is not None:
                    yield from ((value, "") for value in option["choices"])
                    return
    elif name:
        schema = _experiment_class().model_json_schema()["properties"].get(flag.replace("-", "_"), {})
        yield from ((value, "") for value in _choices(schema))


def _kind(key: str) -> Kind | None:
    """Return the kind of the components that a key of optimizers or schedules names."""
    if key in _optimizer_keys():
        return "optimizer"
    return "schedule" if key.startswith("schedules.") or key.endswith(".schedule") else None


def _registry(words: Sequence[str]) -> Registry:
    return Registry.discover([Path(path) for path in _given(words, "plugin")])


def _options(words: Sequence[str], key: str) -> Iterator[tuple[str, Options]]:
    """Yield the prefix of the flags and the options of each component that a key names."""
    chosen = _chosen(words, key)
    for _, name, options in chosen:
        yield f"{key}.{name}" if len(chosen) > 1 else key, options


def _chosen(words: Sequence[str], key: str) -> list[tuple[str, str, Options]]:
    """Return the key, name and options of each component that a key names."""
    names = [name for word in _given(words, key) for name in word.split(",")] or _default(words, key)
    kind = SECTIONS[key] if key in SECTIONS else _kind(key)
    if not names or kind is None:
        return []
    with suppress(GanforgeError):
        registry = _registry(words)
        entries = {name: registry.get(kind, name) for name in names}
        return [(key, name, _options_of(registry, entry)) for name, entry in entries.items() if entry is not None]
    return []


def _given(words: Sequence[str], flag: str) -> list[str]:
    """Return the values of a flag, `--gen NAME` or `--gen=NAME`; the last one for single components."""
    values = []
    for word, following in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name == f"--{flag}" and (equals or following):
            values.append(value if equals else following)
    return values if flag in {"plugin", "term", "augment", "metric"} else values[-1:]


def _default(words: Sequence[str], key: str) -> list[str]:
    """Return the default names of a key."""
    section, _, rest = key.partition(".")
    if key in SECTIONS:
        default = _experiment_class().model_fields[key].default
        return [ref.name for ref in default] if isinstance(default, tuple) else [default.name]
    if rest.endswith("schedule") or section != "optimizer":
        return []
    return _given(words, "optimizer") or ["adam"]


def _options_of(registry: Registry, entry: Entry) -> Options:
    """Return a component's options, from the cache if it is current."""
    path, stamp = platformdirs.user_cache_path("ganforge") / "completion.json", _stamp(entry)
    key = f"{CACHE_VERSION} {entry.source} {entry.component.kind} {entry.component.name}"
    cache = _read_cache(path)
    if stamp is not None and key in cache and cache[key].get("stamp") == stamp:
        cached: Options = cache[key]["options"]
        return cached
    schema = registry.load(entry).Options.model_json_schema()
    options: Options = {
        name: {
            "text": " ".join(option.get("description", "").split()),
            "choices": _choices(option),
            "reals": _count_reals(option),
        }
        for name, option in schema.get("properties", {}).items()
    }
    if stamp is not None:
        with suppress(OSError):  # completion works without a cache, only slower
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps({**cache, key: {"stamp": stamp, "options": options}}))
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
        cache = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cache if isinstance(cache, dict) else {}


def _count_reals(schema: dict[str, Any]) -> int | None:
    """Return 0 for a real number, its length for a tuple of real numbers, and None for other options."""
    if schema.get("type") == "number":
        return 0
    parts = schema.get("prefixItems", [])
    return len(parts) if parts and all(part.get("type") == "number" for part in parts) else None


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
