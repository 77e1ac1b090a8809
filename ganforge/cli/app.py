"""The commands, and what they share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli import (
    authoring,
    benching,
    checking,
    comparing,
    components,
    diagnosis,
    evaluating,
    listing,
    matrix,
    reporting,
    running,
    trained,
)
from ganforge.cli.output import TRACEBACK

app = typer.Typer(
    name="ganforge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--traceback, anywhere, shows where an error comes from.",
)
running.register(app)
components.register(app)
listing.register(app)
comparing.register(app)
trained.register(app)
evaluating.register(app)
reporting.register(app)
matrix.register(app)
diagnosis.register(app)
authoring.register(app)
checking.register(app)
benching.register(app)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        from ganforge import __version__  # noqa: PLC0415 - only when it is asked for

        typer.echo(f"ganforge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Name a generator, a discriminator, a loss and data; train, resume, sample and compare."""


def main() -> None:
    """Run the command line of this process."""
    if sys.stdout is None:  # it was closed: what is printed goes nowhere
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until this process ends
    arguments = [argument for argument in sys.argv[1:] if argument != "--traceback"]
    if len(arguments) < len(sys.argv) - 1:
        os.environ[TRACEBACK] = "1"
    app(arguments)
