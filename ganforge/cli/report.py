"""Command `ganforge report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli._options import Force, Json, out_option
from ganforge.cli._output import check_output_path, next_command, notice, print_result
from ganforge.cli._printer import escape
from ganforge.errors import RunDirectoryError


def report(
    path: Annotated[
        Path, typer.Argument(metavar="RUN|DIR", help="Run directory, or a folder of runs for a page of all of them.")
    ],
    out_path: Annotated[Path | None, out_option("FILE", "File of the page (report.html in RUN or DIR).")] = None,
    force: Force = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: Json = False,
) -> None:
    """Write a self-contained HTML file of a run, or of all runs of a folder."""
    from ganforge.report import report_folder, report_run  # imports Pillow

    if not path.is_dir():
        raise RunDirectoryError(f"{path} does not exist", fix=f"list the runs: {next_command('runs')}")
    if out_path is not None:
        check_output_path(out_path, force=force)
    is_run = any((path / name).is_file() for name in ("run.json", "run.toml"))
    page = (report_run if is_run else report_folder)(path, out_path)
    notice(*page.missing)
    document = {"report": str(page.path), "bytes": page.size, "runs": page.runs, "missing": page.missing}
    print_result(document, f"report: [bold]{escape(page.path)}[/]", json=json)
    if show:
        webbrowser.open(page.path.resolve().as_uri())
