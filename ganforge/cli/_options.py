"""Options that several commands share, with completion of component names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ganforge.cli._commands import all_commands
from ganforge.cli._completion import ARGUMENTS, completions, short
from ganforge.cli._output import invoked_name, notice
from ganforge.components.spec import FLAGS, KINDS, Kind
from ganforge.errors import UnknownComponentError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.plugins.sources import find_named, shortest_name
from ganforge.utils.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from ganforge.training.run_directory import RunDirectory  # slow; not every command needs it

#: Names of the presets for `list` and `describe`, which know them next to the kinds of components.
PRESETS = frozenset({"preset", "presets"})


def complete_preset(incomplete: str) -> list[tuple[str, str]]:
    """Return the presets whose names start with a text, with their summaries."""
    presets = Registry.discover().presets
    return _completions({shortest_name(entry, presets): entry.preset.summary for entry in presets}, incomplete)


def complete_kind(incomplete: str) -> list[tuple[str, str]]:
    """Return the kinds of components, and `preset`, that start with a text."""
    return _completions(dict.fromkeys([*KINDS, "preset"], ""), incomplete)


def complete_name(incomplete: str) -> list[tuple[str, str]]:
    """Return the components of any kind whose names start with a text, with their kinds and summaries."""
    registry = Registry.discover()
    named = {
        registry.name_of(entry): f"{entry.component.kind}: {entry.component.summary}" for entry in registry.entries
    }
    return _completions(named, incomplete)


def complete_described(incomplete: str) -> list[tuple[str, str]]:
    """Return the components and presets whose names start with a text."""
    return [*complete_name(incomplete), *complete_preset(incomplete)]


def complete_checked(incomplete: str) -> list[tuple[str, str]]:
    """Return the components, and the distributions with components, whose names start with a text."""
    distributions = {entry.source.distribution: "" for entry in Registry.discover().entries}
    return [*complete_name(incomplete), *_completions(distributions, incomplete)]


def complete_setting(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the keys of settings and of the chosen components' options that start with a text, each with `=`."""
    start = f"--{incomplete if '.' in incomplete else incomplete.replace('_', '-')}"
    flags = completions(ctx.meta[ARGUMENTS], start, getattr(ctx.command, "sections", None))
    return [(f"{flag.removeprefix('--').replace('-', '_')}=", text) for flag, text in flags]


def _completions(summaries: Mapping[str, str], incomplete: str) -> list[tuple[str, str]]:
    return [(name, short(summary)) for name, summary in summaries.items() if name.startswith(incomplete)]


Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE|DIR", help="Load a local plugin; repeatable.")
]
NoPlugins = Annotated[bool, typer.Option("--no-plugins", help="Load only the built-in components.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show problems only, no progress.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
RunSource = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, bundle, hub:OWNER/NAME or zoo:NAME.")]
CheckpointName = Annotated[str, typer.Option("--checkpoint", metavar="STEP|newest|best", help="Checkpoint to use.")]


PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Settings under a name, such as textbook; ganforge list preset shows them.",
        autocompletion=complete_preset,
    ),
]
ConfigFiles = Annotated[
    list[Path] | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; later files win.")
]
Ema = Annotated[
    bool | None, typer.Option("--ema/--no-ema", help="Moving average or weights (the average, if there is one).")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="VALUE",
        help="Condition of the images: a class by number or name, a vector such as 0.3,0.7, or a picture, a folder "
        "of pictures or a .npz file. If repeated, the values take turns.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]


def set_option(text: str) -> Any:  # noqa: ANN401 - typer.Option returns any type
    """Return the declaration of `--set` with a help text."""
    return typer.Option("--set", metavar="KEY=VALUE", help=text, show_default=False, autocompletion=complete_setting)


def out_option(metavar: str, text: str) -> Any:  # noqa: ANN401 - as above
    """Return the declaration of `--out` with a help text."""
    return typer.Option("--out", "-o", metavar=metavar, help=text)


def num_samples_option(text: str) -> Any:  # noqa: ANN401 - as above
    """Return the declaration of `--num-samples` with a help text."""
    return typer.Option("--num-samples", "-n", min=1, metavar="N", help=text)


def setting_option(flag: str, text: str, metavar: str = "NAME") -> Any:  # noqa: ANN401 - as above
    """Return the declaration of a flag of a setting, with completion of its values."""

    def values(incomplete: str) -> list[tuple[str, str]]:
        return completions([f"--{flag}"], incomplete)

    return typer.Option(f"--{flag}", metavar=metavar, help=text, autocompletion=values, show_default=False)


def open_registry(plugins: list[Path] | None, *, no_plugins: bool) -> Registry:
    """Discover plugins, and print a line for each that was skipped.

    Raises:
        UnknownComponentError: A plugin has a command of the same name as the one that runs.
    """
    registry = Registry.discover(plugins or [], no_plugins=no_plugins)
    notice(*registry.plugins.warnings)
    for skipped in registry.plugins.problems:
        notice(f"{skipped}; ganforge doctor has details")
    name = invoked_name()
    if name is not None:
        find_named(all_commands(registry), "command", name)
    return registry


def unknown_component(registry: Registry, noun: str, name: str, known: set[str]) -> UnknownComponentError:
    """Return the error for a name that no component has, with the nearest known one and what may provide it.

    Raises:
        UnknownComponentError: A distribution of ganforge's repository provides it.
    """
    registry.check_provided("component", name)
    fix = registry.fix_for_missing(near=nearest(name, known) is not None)
    return UnknownComponentError(f"no {noun} {name!r}{did_you_mean(name, known)}", fix=fix)


def output_path(run: RunDirectory, name: str) -> Path:
    """Return the default path of an output: in the run directory, or in the working folder for an unpacked bundle."""
    return Path(f"{run.name}-{name}") if run.is_temporary else run.path / name


def checkpoint_choice(name: str) -> int | Literal["newest", "best"]:
    """Return the value of `--checkpoint`. Raises UsageError unless it is a step, newest or best."""
    if name in {"newest", "best"}:
        return cast(Literal["newest", "best"], name)
    if not name.isdecimal():
        raise UsageError(f"invalid checkpoint {name!r}; give a step, newest or best")
    return int(name)


def parse_kind(text: str) -> Kind:
    """Return the kind of `generator`, `generators` or `gen`. Raises UsageError for other texts."""
    name = text.lower()
    plurals = {"losses": "loss", "feature": "features", "extractor": "features", "extractors": "features"}
    for singular in (name, plurals.get(name), name.removesuffix("s")):
        if singular in FLAGS:
            return FLAGS[singular]
        if singular in KINDS:
            return singular
    raise UsageError(f"invalid kind {text!r}{did_you_mean(text, {*KINDS, *FLAGS})}")
