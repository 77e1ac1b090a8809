"""`ganforge report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ganforge.cli.options import Json
from ganforge.cli.output import answering, check_place, notice, out, print_json
from ganforge.errors import RunDirectoryError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


@answering
def report(
    path: Annotated[
        Path,
        typer.Argument(metavar="RUN|DIR", help="A run directory, or a folder of runs for a page over all of them."),
    ],
    place: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where the page goes; report.html in RUN or DIR by default."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    json: Json = False,
) -> None:
    """Make one HTML file of a run, or of all runs of a folder: self-contained, to keep and to pass on."""
    from ganforge.report import report_folder, report_run  # noqa: PLC0415 - `--help` needs no templates

    if not path.is_dir():
        raise RunDirectoryError(f"{path} does not exist", fix="ganforge runs lists the runs that there are")
    if place is not None:
        check_place(place, force=force)
    alone = any((path / name).is_file() for name in ("run.json", "run.toml"))
    made = (report_run if alone else report_folder)(path, place)
    for line in made.missing:
        notice(line)
    if json:
        print_json({"report": str(made.path), "bytes": made.size, "runs": made.runs, "missing": made.missing})
    else:
        out().print(f"report: [bold]{escape(str(made.path))}[/]", highlight=False)
    if show:
        webbrowser.open(made.path.resolve().as_uri())
