"""`ganforge new-plugin`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli.options import Json, kind_meant, open_registry
from ganforge.cli.output import answering, notice, out, print_json
from ganforge.components.spec import KINDS, Kind
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.scaffold import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new-plugin")(new_plugin)


def _complete(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


@answering
def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The distribution's name, such as my-gan.", show_default=False)
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help=f"What it provides: {', '.join(KINDS)}. Several are given apart, or separated by commas.",
            autocompletion=_complete,
            show_default=False,
        ),
    ] = None,
    parent: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder that the project's folder is made in.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Write a new plugin's project: it installs, trains and passes its tests, before you have changed anything."""
    from ganforge.scaffold import Project  # noqa: PLC0415 - `--help` needs none of it

    project = Project.of(name, _kinds(kind or []))
    for line in _taken(project):
        notice(line)
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
    """Return the kinds that are meant. Raises UsageError for a word that means none, and where there is no word."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError(
            "a plugin provides something: say what with --kind", fix=f"--kind {KINDS[0]}; there is {', '.join(KINDS)}"
        )
    return [kind_meant(word) for word in words]


def _taken(project: Project) -> Iterator[str]:
    """Yield a line for each name of the project that something installed has already."""
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
                f"there is a {entry}; beside it yours is {distribution}/{component}, "
                f"unless you name it otherwise in {project.names.package}/__init__.py"
            )


def _print(project: Project, folder: Path) -> None:
    """Say what was written, and which three commands come next."""
    place = str(folder) if folder.is_absolute() else f"./{folder}"
    commands = (
        ["python", "-m", "pip", "install", "-e", f"{place}[test]"],
        ["ganforge", "run", *" ".join(project.run).split(), "--epochs", "2"],
        ["python", "-m", "pytest", place],
    )
    console = out()
    console.print(f"wrote {folder}, a plugin with {project.provided}; next:", highlight=False, markup=False)
    for command in commands:
        console.print(f"  {shlex.join(command)}", highlight=False, markup=False, soft_wrap=True)
