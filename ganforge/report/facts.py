"""Facts of a run's page: settings with their origins, machine, data, plugins, and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ganforge.components.spec import SECTIONS
from ganforge.report.record import Record
from ganforge.runs.settings import settings_of
from ganforge.schemas.manifest import Manifest
from ganforge.utils.format import format_bytes, format_value
from ganforge.utils.text import shell_command

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


def settings(document: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[list[Setting], list[Setting]]:
    """Return the chosen settings, components first, and the defaults.

    Args:
        document: Content of run.toml.
        origins: Layer of the configuration that each value comes from, except defaults.
    """
    values = settings_of(document)
    keys = [*(key for key in SECTIONS if key in values), *sorted(key for key in values if key not in SECTIONS)]
    known = [Setting(key, _format(key, values[key]), origins.get(key, DEFAULT)) for key in keys]
    return [item for item in known if item.origin != DEFAULT], [item for item in known if item.origin == DEFAULT]


def _format(key: str, value: object) -> str:
    if key in SECTIONS and isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return format_value(value)


def commands_of(record: Record) -> list[tuple[str, str]]:
    """Return labeled commands that repeat or resume the run, and its original command."""
    title = "Repeat it: the same bits on the same machine, build and number of threads"
    commands = [(title, record.run.command("run", "--config", record.run.config))]
    if record.status in {"interrupted", "running"}:
        commands.append(("Resume it", record.run.command("resume", record.run.path)))
    if record.manifest is not None and record.manifest.command:
        commands.append(("Original command", shell_command(*record.manifest.command)))
    return commands


def machine_facts(manifest: Manifest) -> Facts:
    """Return machine, data and times as rows of a table."""
    hardware, data = manifest.hardware, manifest.data
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    accelerators = [f"{item.name} ({format_bytes(item.memory_bytes)})" for item in hardware.accelerators]
    facts = [
        ("device", manifest.device),
        ("precision", manifest.precision),
        ("processor", hardware.processor),
        ("instructions", hardware.cpu_capability),
        ("cores", "" if hardware.cores is None else str(hardware.cores)),
        ("threads", str(hardware.threads)),
        ("memory", "" if hardware.memory_bytes is None else format_bytes(hardware.memory_bytes)),
        ("accelerators", ", ".join(accelerators)),
        ("platform", hardware.platform),
        ("data", data.source or data.name),
        ("images", f"{data.image} {data.image.dtype} · {sizes}"),
        ("data fingerprint", data.fingerprint),
        ("seed", str(manifest.seed)),
        ("git commit", manifest.git_commit or ""),
        ("started", manifest.created),
        ("last change", manifest.updated),
    ]
    return [(key, value) for key, value in facts if value]
