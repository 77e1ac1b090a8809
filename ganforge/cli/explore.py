"""Command `ganforge explore`."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Annotated

import typer

from ganforge.cli._latents import OpenedSpace, with_latent_space
from ganforge.cli._output import out
from ganforge.cli._printer import escape
from ganforge.cli._settings import SamplingCommand
from ganforge.errors import UsageError

#: Module of the distribution ganforge-explore, which has the page and its server.
SERVER = "ganforge_explore.server"

app = typer.Typer()


@app.command(cls=SamplingCommand)
@partial(with_latent_space, without={"path", "space", "scale", "condition", "force", "json"})
def explore(
    opened: OpenedSpace,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on. Other machines reach 0.0.0.0, and need the token of the URL."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", help="Port to listen on (the first free one from 7860)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the first image, and of noise.")] = 0,
) -> None:
    """Open a local page to play with a generator, until Ctrl-C: sliders, walks, pins, classes, checkpoints."""
    try:
        server = import_module(SERVER)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"explore needs ganforge-explore, which has its page ({error.name} is not installed)",
            fix="in ganforge's repository: python -m pip install ./plugins/ganforge-explore",
        ) from None

    def show(address: str) -> None:
        out().print(f"[bold]{escape(address)}[/] (Ctrl-C ends it)")

    try:
        server.serve(opened.space, host=host, port=port, show_address=show)
    except SystemExit as signaled:  # SIGTERM or SIGHUP
        raise typer.Exit(int(signaled.code or 0)) from None
