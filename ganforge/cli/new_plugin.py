"""Command `ganforge new-plugin`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli._completion import split_names
from ganforge.cli._options import Json, open_registry, parse_kind
from ganforge.cli._output import notice, out, print_json
from ganforge.cli._printer import escape
from ganforge.components.spec import KINDS, Kind
from ganforge.errors import UsageError
from ganforge.scaffold import Project
from ganforge.utils.text import shell_command


def _complete(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the distribution, such as my-gan.", show_default=False)
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help=f"Kind of its component: {', '.join(KINDS)}. Repeatable; commas separate kinds, too.",
            autocompletion=_complete,
            show_default=False,
        ),
    ] = None,
    parent: Annotated[Path, typer.Option("--out", metavar="DIR", help="Parent of the project's folder.")] = Path(),
    json: Json = False,
) -> None:
    """Write the project of a new plugin, which can be installed, trained and tested at once."""
    project = Project.of(name, _kinds(kind or []))
    notice(*_conflicts(project))
    files = project.write(parent)
    folder = parent / project.names.distribution
    if json:
        document = {
            "path": str(folder.absolute()),
            "distribution": project.names.distribution,
            "package": project.names.package,
            "kinds": list(project.kinds),
            "files": files,
        }
        print_json(document)
    else:
        _print(project, folder)


def _kinds(texts: list[str]) -> list[Kind]:
    """Return the kinds of --kind. Raises UsageError for other texts, and if there is none."""
    names = split_names(texts)
    if not names:
        raise UsageError(
            "a plugin needs a component: give its kind with --kind", fix=f"--kind {KINDS[0]}; kinds: {', '.join(KINDS)}"
        )
    return [parse_kind(name) for name in names]


def _conflicts(project: Project) -> Iterator[str]:
    """Yield a message for each name of the project that an installed distribution or component has."""
    distribution, component = project.names.distribution, project.names.component
    registry = open_registry(None, no_plugins=False)
    with suppress(PackageNotFoundError):
        yield f"{distribution} {version(distribution)} is installed already; installing this project replaces it"
    for entry in registry.entries:
        if (
            entry.component.kind in project.kinds
            and entry.component.name == component
            and entry.source.distribution != distribution
        ):
            yield (
                f"{entry} has the same name; write {distribution}/{component} for the new one, "
                f"or rename it in {project.names.package}/__init__.py"
            )


def _print(project: Project, folder: Path) -> None:
    """Print the folder and the next three commands."""
    path = str(folder) if folder.is_absolute() else f"./{folder}"
    commands = (
        ["python", "-m", "pip", "install", "-e", f"{path}[test]"],
        ["ganforge", "run", *" ".join(project.run).split(), "--epochs", "2"],
        ["python", "-m", "pytest", path],
    )
    console = out()
    console.print(f"wrote {escape(folder)}, a plugin with {escape(project.provided)}; next:")
    for command in commands:
        console.print(f"  {escape(shell_command(*command))}")
