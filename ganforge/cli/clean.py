"""Command `ganforge clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli._options import Json
from ganforge.cli._output import notice, out, print_json
from ganforge.cli._printer import escape
from ganforge.utils.format import format_bytes, format_count


def clean(
    path: Annotated[Path, typer.Argument(metavar="[RUN|DIR]", help="Run directory, or a folder of runs.")] = Path(
        "runs"
    ),
    keep: Annotated[
        int, typer.Option(min=1, metavar="N", help="Newest checkpoints to keep, in addition to the best one.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    json: Json = False,
) -> None:
    """Remove old checkpoints of runs; never the newest valid or the best one, nor those of a run that is training."""
    from ganforge.runs.clean import clean_runs

    cleanings = clean_runs(path, keep=keep, dry_run=dry_run, notice=notice)
    if json:
        print_json(
            [
                {"run": str(each.run.path), "removed": each.removed, "kept": each.kept, "bytes": each.bytes}
                for each in cleanings
            ]
        )
        return
    for each in cleanings:
        if each.removed:
            kept = ", ".join(f"{step:,}" for step in each.kept)
            freed = f"{format_count(len(each.removed), 'checkpoint')}, {format_bytes(each.bytes)}"
            out().print(f"[bold]{escape(each.run.path)}[/]: {freed}; kept: step {kept}")
    total = sum(each.bytes for each in cleanings)
    verb = "would be freed" if dry_run else "freed"
    out().print(f"{format_bytes(total)} {verb} in {format_count(len(cleanings), 'run')}")
