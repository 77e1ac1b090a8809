"""What a shell completes after `ganforge run`: settings, and the options of the components that are chosen.

Options are known only once a component's class is imported, which imports torch. So they are kept in the user's cache
folder, each with the time of its module's file, and read from there the next time.
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

from ganforge.components.spec import SECTIONS, Section
from ganforge.errors import GanforgeError
from ganforge.utils.files import write_atomically

if TYPE_CHECKING:
    from ganforge.plugins.registry import Entry, Registry

LONGEST = 70

#: A word, and what it means.
Completion = tuple[str, str]
Options = dict[str, dict[str, Any]]


def completions(words: Sequence[str], incomplete: str, sections: Sequence[Section] | None = None) -> list[Completion]:
    """Return what may follow `words` and begins with `incomplete`: flags, or values of the flag before it.

    sections: those whose options a command has, and no other settings; None for everything that an experiment has.
    """
    found = _flags(words, incomplete, sections) if incomplete.startswith("-") else _values(words)
    return [(word, short(text)) for word, text in found if word.startswith(incomplete)]


def short(text: str) -> str:
    """Return a text that stays on one line: longer ones are wrapped, which the shells' scripts do not expect."""
    words = " ".join(text.split())
    return escape(words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")


def _flags(words: Sequence[str], incomplete: str, sections: Sequence[Section] | None) -> Iterator[Completion]:
    from ganforge.config import Experiment  # noqa: PLC0415 - only when a shell asks

    for key, field in Experiment.model_fields.items():
        if key not in SECTIONS and sections is None:
            yield f"--{key.replace('_', '-')}", field.description or ""
    for section in SECTIONS if sections is None else sections:
        if incomplete.startswith(f"--{section}"):
            for prefix, options in _options(words, section):
                yield from ((f"--{prefix}.{name}", option["text"]) for name, option in options.items())


def _values(words: Sequence[str]) -> Iterator[Completion]:
    """Yield the values that the flag at the end may have, where it names some."""
    flag = words[-1].removeprefix("--") if words and words[-1].startswith("--") else ""
    section, _, name = flag.partition(".")
    if section in SECTIONS and name:
        for prefix, options in _options(words, section):
            option = options.get(flag.removeprefix(f"{prefix}.").replace("-", "_"))
            if option is not None:
                yield from ((value, "") for value in option["choices"])
    elif flag and not name:
        from ganforge.config import Experiment  # noqa: PLC0415 - as above

        schema = Experiment.model_json_schema()["properties"].get(flag.replace("-", "_"), {})
        yield from ((value, "") for value in _choices(schema))


def _options(words: Sequence[str], section: Section) -> Iterator[tuple[str, Options]]:
    """Yield the options of each component that a section has, with what stands before their names."""
    from ganforge.plugins.registry import Registry  # noqa: PLC0415 - as above

    with suppress(GanforgeError):
        registry = Registry.discover([Path(path) for path in _given(words, "plugin")])
        names = [name for word in _given(words, section) for name in word.split(",")] or _default(section)
        for name in names:
            entry = registry.get(SECTIONS[section], name)
            if entry is not None:
                yield f"{section}.{name}" if len(names) > 1 else section, _options_of(registry, entry)


def _given(words: Sequence[str], flag: str) -> list[str]:
    """Return the values that a flag was given: `--gen NAME` or `--gen=NAME`; of several sections the last counts."""
    found = []
    for word, following in pairwise([*words, ""]):
        name, equals, value = word.partition("=")
        if name == f"--{flag}" and (equals or following):
            found.append(value if equals else following)
    return found if flag in {"plugin", "penalty", "augment", "metric"} else found[-1:]


def _default(section: Section) -> list[str]:
    from ganforge.config import Experiment  # noqa: PLC0415 - as above

    default = Experiment.model_fields[section].default
    return [selection.name for selection in default] if isinstance(default, tuple) else [default.name]


def _options_of(registry: Registry, entry: Entry) -> Options:
    """Return a component's options, from the cache where it is right."""
    place, stamp = platformdirs.user_cache_path("ganforge") / "completion.json", _stamp(entry)
    key = f"{entry.source} {entry.component.kind} {entry.component.name}"
    kept = _read(place)
    if stamp is not None and key in kept and kept[key].get("stamp") == stamp:
        known: Options = kept[key]["options"]
        return known
    schema = registry.load(entry).Options.model_json_schema()
    options: Options = {
        name: {"text": " ".join(found.get("description", "").split()), "choices": _choices(found)}
        for name, found in schema.get("properties", {}).items()
    }
    if stamp is not None:
        with suppress(OSError):  # completion works without it, only slower
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, json.dumps({**kept, key: {"stamp": stamp, "options": options}}))
    return options


def _stamp(entry: Entry) -> str | None:
    """Return the time and size of the file of a component's class, or None for a local plugin, which changes often."""
    target = entry.component.target
    if not isinstance(target, str) or entry.source.path is not None:
        return None
    with suppress(ImportError, ValueError, OSError):
        spec = importlib.util.find_spec(target.partition(":")[0])
        if spec is not None and spec.origin is not None:
            status = Path(spec.origin).stat()
            return f"{status.st_mtime_ns} {status.st_size}"
    return None


def _read(place: Path) -> dict[str, Any]:
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _choices(schema: dict[str, Any]) -> list[str]:
    """Return the words that a JSON schema allows: of an enumeration, a switch, or one of several schemas."""
    if "enum" in schema:
        return [str(value) for value in schema["enum"]]
    if schema.get("type") == "boolean":
        return ["true", "false"]
    if schema.get("type") == "null":
        return ["none"]
    parts = [_choices(part) for part in schema.get("anyOf", [])]
    return [value for part in parts for value in part]
