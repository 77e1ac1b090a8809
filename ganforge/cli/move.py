"""Command `ganforge move`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli._options import Json, RunPath
from ganforge.cli._output import notice, print_result
from ganforge.cli._printer import escape
from ganforge.errors import GanforgeError


def move(
    run: RunPath,
    destination: Annotated[
        Path, typer.Argument(metavar="DESTINATION", help="New path, or an existing folder to move the run into.")
    ],
    json: Json = False,
) -> None:
    """Rename or move a run that is not training, also to another disk."""
    from ganforge.report import report_run  # imports Pillow
    from ganforge.runs.move import move_run  # imports filelock

    moved = move_run(run, destination)
    if moved.report.exists():  # it names the run and its commands
        try:
            report_run(moved.path)
        except GanforgeError as error:
            notice(error.message)
    print_result({"run": str(moved.path)}, f"run: [bold]{escape(moved.path)}[/]", json=json)
