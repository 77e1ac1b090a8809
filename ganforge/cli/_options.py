"""Options that several commands share, with completion of component names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge.cli._commands import all_commands
from ganforge.cli._completion import short
from ganforge.cli._output import invoked_name, notice
from ganforge.components.spec import FLAGS, KINDS, Kind
from ganforge.errors import UsageError
from ganforge.plugins.names import find_named, shortest_name
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import did_you_mean

#: Names of the presets for `list` and `describe`, which know them next to the kinds of components.
PRESETS = frozenset({"preset", "presets"})

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE|DIR", help="Load a local plugin; repeatable."),
]
NoPlugins = Annotated[bool, typer.Option("--no-plugins", help="Load only the built-in components.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show problems only, no progress.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
CheckpointName = Annotated[str, typer.Option("--checkpoint", metavar="STEP|newest|best", help="Checkpoint to use.")]


def open_registry(plugins: list[Path] | None, *, no_plugins: bool) -> Registry:
    """Discover plugins, and print a line for each that was skipped.

    Raises:
        UnknownComponentError: A plugin has a command of the same name as the one that runs.
    """
    registry = Registry.discover(plugins or [], no_plugins=no_plugins)
    for warning in registry.plugins.warnings:
        notice(warning)
    for skipped in registry.plugins.problems:
        notice(f"{skipped}; ganforge doctor has details")
    name = invoked_name()
    if name is not None:
        find_named(all_commands(registry), "command", name)
    return registry


def checkpoint_choice(name: str) -> int | Literal["newest", "best"]:
    """Return the value of `--checkpoint`. Raises UsageError unless it is a step, newest or best."""
    if name == "newest":
        return "newest"
    if name == "best":
        return "best"
    if not name.isdecimal():
        raise UsageError(f"invalid checkpoint {name!r}; give a step, newest or best")
    return int(name)


def complete(kind: Kind) -> Callable[[str], list[tuple[str, str]]]:
    """Return a completer of a kind's component names, with their summaries."""

    def completer(incomplete: str) -> list[tuple[str, str]]:
        registry = Registry.discover()
        named = ((registry.name_of(entry), short(entry.component.summary)) for entry in registry.of_kind(kind))
        return [(name, summary) for name, summary in named if name.startswith(incomplete)]

    return completer


def complete_preset(incomplete: str) -> list[tuple[str, str]]:
    """Return the presets whose names have a beginning, with their summaries."""
    presets = Registry.discover().presets
    named = ((shortest_name(entry, presets), short(entry.preset.summary)) for entry in presets)
    return [(name, summary) for name, summary in named if name.startswith(incomplete)]


def parse_kind(text: str) -> Kind:
    """Return the kind of `generator`, `generators` or `gen`. Raises UsageError for other words."""
    word = text.lower()
    plurals = {"losses": "loss", "feature": "features", "extractor": "features", "extractors": "features"}
    for name in (word, plurals.get(word), word.removesuffix("s")):
        if name in FLAGS:
            return FLAGS[name]
        if name in KINDS:
            return name
    raise UsageError(f"invalid kind {text!r}{did_you_mean(text, {*KINDS, *FLAGS})}")
