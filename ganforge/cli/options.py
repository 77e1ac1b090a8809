"""Options that several commands share, and names completed from what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.output import notice
from ganforge.components.spec import KINDS, SECTIONS, Kind
from ganforge.errors import UsageError
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE|DIR", help="Load a local plugin; may be given several times."),
]
NoPlugins = Annotated[bool, typer.Option("--no-plugins", help="Load no plugins but ganforge's own.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress; problems are still shown.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]


def open_registry(plugins: list[Path] | None, *, no_plugins: bool) -> Registry:
    """Discover plugins; print one line for each that was set aside."""
    from ganforge.plugins.registry import Registry  # noqa: PLC0415 - `--help` needs no registry

    registry = Registry.discover(plugins or [], no_plugins=no_plugins)
    for warning in registry.plugins.warnings:
        notice(warning)
    for found in registry.plugins.problems:
        notice(f"{found}; more in ganforge doctor")
    return registry


def complete(kind: Kind) -> Callable[[str], list[tuple[str, str]]]:
    """Return a completer of a kind's component names, with their summaries."""

    def completer(incomplete: str) -> list[tuple[str, str]]:
        from ganforge.cli.completion import short  # noqa: PLC0415 - only when a shell asks
        from ganforge.plugins.registry import Registry  # noqa: PLC0415

        registry = Registry.discover()
        named = ((registry.name_of(entry), short(entry.component.summary)) for entry in registry.of_kind(kind))
        return [(name, summary) for name, summary in named if name.startswith(incomplete)]

    return completer


def kind_named(text: str) -> Kind | None:
    """Return the kind that a word means: `generator`, `generators`, `gen`; None where it means none."""
    word = text.lower().removesuffix("s") if text.lower() != "loss" else "loss"
    word = {"losse": "loss", "penaltie": "penalty", "feature": "features", "extractor": "features"}.get(word, word)
    if word in SECTIONS:
        return SECTIONS[word]
    return next((kind for kind in SECTIONS.values() if kind == word), None)


def kind_meant(text: str) -> Kind:
    """Return the kind that a word means. Raises UsageError, with the nearest one."""
    kind = kind_named(text)
    if kind is None:
        raise UsageError(f"no kind {text!r}{did_you_mean(text, {*KINDS, *SECTIONS})}")
    return kind
