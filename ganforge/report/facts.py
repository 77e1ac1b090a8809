"""Facts of a run's page: settings with their origins, machine, data, plugins, and commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from ganforge.components.spec import SECTIONS
from ganforge.report.record import Record, number_of, rows, table, text
from ganforge.runs.settings import settings_of
from ganforge.utils.format import format_bytes, format_number, format_value

Facts = list[tuple[str, str]]
DEFAULT = "default"


class Setting(NamedTuple):
    """Setting of a run.

    Attributes:
        key: Dotted key.
        value: Value as the command line takes it.
        origin: Layer of the configuration that set it.
    """

    key: str
    value: str
    origin: str


def settings(document: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[list[Setting], list[Setting]]:
    """Return the chosen settings, components first, and the defaults.

    Args:
        document: Content of run.toml.
        manifest: Content of run.json, whose `origins` names all values that are not defaults.
    """
    origins, values = table(manifest.get("origins")), settings_of(document)
    keys = [*(key for key in SECTIONS if key in values), *sorted(key for key in values if key not in SECTIONS)]
    known = [Setting(key, _format(key, values[key]), text(origins.get(key)) or DEFAULT) for key in keys]
    return [item for item in known if item.origin != DEFAULT], [item for item in known if item.origin == DEFAULT]


def _format(key: str, value: object) -> str:
    if key in SECTIONS and isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return format_value(value)


def commands_of(record: Record) -> list[tuple[str, str]]:
    """Return labeled commands that repeat or resume the run, and its original command."""
    plugins = [
        f"--plugin {shlex.quote(place)}"
        for place in (text(plugin.get("path")) for plugin in rows(record.manifest.get("plugins")))
        if place is not None
    ]
    place = shlex.quote(str(record.run.config))
    commands = [
        (
            "Repeat it: the same bits on the same machine, build and number of threads",
            " ".join(["ganforge run --config", place, *plugins]),
        )
    ]
    if record.status in {"interrupted", "running"}:
        commands.append(("Resume it", " ".join(["ganforge resume", shlex.quote(str(record.run.path)), *plugins])))
    original = record.manifest.get("command")
    if isinstance(original, list) and original:
        commands.append(("Original command", shlex.join(map(str, original))))
    return commands


def machine_facts(manifest: Mapping[str, Any]) -> Facts:
    """Return machine, data and times as rows of a table."""
    hardware, data = table(manifest.get("hardware")), table(manifest.get("data"))
    memory = number_of(hardware.get("memory_bytes"))
    sizes = ", ".join(f"{format_number(number_of(count))} {split}" for split, count in table(data.get("sizes")).items())
    accelerators = [
        f"{text(item.get('name')) or 'unnamed'} ({format_bytes(number_of(item.get('memory_bytes')) or 0)})"
        for item in rows(hardware.get("accelerators"))
    ]
    facts = [
        ("device", text(manifest.get("device"))),
        ("precision", text(manifest.get("precision"))),
        ("processor", text(hardware.get("processor"))),
        ("instructions", text(hardware.get("cpu_capability"))),
        ("cores", text(hardware.get("cores"))),
        ("threads", text(hardware.get("threads"))),
        ("memory", None if memory is None else format_bytes(memory)),
        ("accelerators", ", ".join(accelerators)),
        ("platform", text(hardware.get("platform"))),
        ("data", text(data.get("source")) or text(data.get("name"))),
        ("images", " · ".join(filter(None, [_image_size(table(data.get("image"))), sizes]))),
        ("data fingerprint", text(data.get("fingerprint"))),
        ("seed", text(manifest.get("seed"))),
        ("git commit", text(manifest.get("git_commit"))),
        ("started", text(manifest.get("created"))),
        ("last change", text(manifest.get("updated"))),
    ]
    return [(key, value) for key, value in facts if value]


def _image_size(image: Mapping[str, Any]) -> str:
    """Return the known parts of `3×32×32 uint8`, the shape and type of images."""
    shape = [number_of(image.get(key)) for key in ("channels", "height", "width")]
    known = [f"{value:.0f}" for value in shape if value is not None]
    return " ".join(filter(None, ["×".join(known), text(image.get("dtype"))]))
