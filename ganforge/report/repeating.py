"""On what a run was made, and the commands that make it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ganforge.report.record import Record, number_of, rows, table, text
from ganforge.utils.format import number, size

Facts = list[tuple[str, str]]


def commands_of(record: Record) -> list[tuple[str, str]]:
    """Return what repeats the run, and how it was first given: a sentence, and a command."""
    plugins = [
        f"--plugin {shlex.quote(place)}"
        for place in (text(plugin.get("path")) for plugin in rows(record.manifest.get("plugins")))
        if place is not None
    ]
    place = shlex.quote(str(record.run.config))
    commands = [
        (
            "Repeat it, to the bit on the same machine, build and number of threads",
            " ".join(["ganforge run --config", place, *plugins]),
        )
    ]
    if record.status in {"interrupted", "running"}:
        commands.append(
            ("Go on where it stopped", " ".join(["ganforge resume", shlex.quote(str(record.run.path)), *plugins]))
        )
    given = record.manifest.get("command")
    if isinstance(given, list) and given:
        commands.append(("It was first started as", shlex.join(map(str, given))))
    return commands


def plugin_facts(plugin: Mapping[str, Any]) -> Facts:
    """Return where a plugin comes from."""
    return [(key, text(plugin.get(key)) or "") for key in ("distribution", "version", "path", "sha256")]


def machine_facts(manifest: Mapping[str, Any]) -> Facts:
    """Return machine, data and times, as lines of a table."""
    hardware, data = table(manifest.get("hardware")), table(manifest.get("data"))
    memory = number_of(hardware.get("memory_bytes"))
    sizes = ", ".join(f"{number(number_of(count))} {split}" for split, count in table(data.get("sizes")).items())
    accelerators = [
        f"{text(item.get('name')) or 'unnamed'} ({size(number_of(item.get('memory_bytes')) or 0)})"
        for item in rows(hardware.get("accelerators"))
    ]
    facts = [
        ("device", text(manifest.get("device"))),
        ("precision", text(manifest.get("precision"))),
        ("processor", text(hardware.get("processor"))),
        ("instructions", text(hardware.get("cpu_capability"))),
        ("cores", text(hardware.get("cores"))),
        ("threads", text(hardware.get("threads"))),
        ("memory", None if memory is None else size(memory)),
        ("accelerators", ", ".join(accelerators)),
        ("platform", text(hardware.get("platform"))),
        ("data", text(data.get("source")) or text(data.get("name"))),
        ("images", " · ".join(filter(None, [text(data.get("image")), sizes]))),
        ("data fingerprint", text(data.get("fingerprint"))),
        ("seed", text(manifest.get("seed"))),
        ("git commit", text(manifest.get("git_commit"))),
        ("started", text(manifest.get("created"))),
        ("last change", text(manifest.get("updated"))),
    ]
    return [(key, value) for key, value in facts if value]
