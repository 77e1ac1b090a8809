"""`ganforge sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ganforge.cli.options import Json, NoPlugins, Plugins, RunPath, open_registry
from ganforge.cli.output import answering, notice, out, print_json
from ganforge.errors import UsageError

COUNT, COLUMNS = 64, 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sample")(sample)


@answering
def sample(
    run: RunPath,
    run_out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE|DIR", help="FILE.png: one grid; FILE.npz: arrays; else a folder of PNGs."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            min=1,
            metavar="N",
            help="How many images (64; of generators that take labels, 10 a class).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides the latents.")] = 0,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Only these classes, by number or name, for generators that take labels; may be repeated.",
        ),
    ] = None,
    ema: Annotated[
        bool | None,
        typer.Option("--ema/--no-ema", help="The moving average, or the weights; the average if there is one."),
    ] = None,
    checkpoint: Annotated[
        int | None, typer.Option(metavar="STEP", help="Of which step; the newest by default.")
    ] = None,
    columns: Annotated[int | None, typer.Option(min=1, metavar="N", help="Images in a row of the grid.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Draw images from a run's generator, by default as a grid beside its samples."""
    from ganforge.training.run_directory import RunDirectory  # noqa: PLC0415 - `--help` needs none of it

    directory = RunDirectory.open(run)
    place = directory.path / f"sample-seed{seed}.png" if run_out is None else run_out
    kind = place.suffix.lower()
    if kind not in {"", ".png", ".npz"} and not place.is_dir():
        raise UsageError(f"--out {place}: images are written as .png, .npz, or into a folder")
    if place.exists() and run_out is not None and not (force and place.is_file()):
        raise UsageError(f"{place} exists already", fix="choose another --out, or pass --force to replace a file")
    registry = open_registry(plugin, no_plugins=no_plugins)

    from ganforge.runs.trained import TrainedRun  # noqa: PLC0415 - imports torch

    trained = TrainedRun(directory, registry)
    samples = None
    if count is None and label is None and kind == ".png":
        samples = trained.sample_by_class(columns or COLUMNS, seed, ema=ema, step=checkpoint)
    if samples is None:
        count = count or COUNT
        numbers = [trained.class_number(word) for word in label or []]
        labels = [numbers[position % len(numbers)] for position in range(count)] if numbers else None
        samples = trained.sample(count, seed, labels=labels, ema=ema, step=checkpoint)
    for line in trained.notices:
        notice(line)
    try:
        if kind == ".png":
            samples.save_grid(place, columns=columns)
        elif kind == ".npz":
            samples.save_npz(place)
        else:
            samples.save_folder(place)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}") from None
    if json:
        print_json({"run": str(directory.path), "out": str(place), "count": len(samples), "seed": seed})
    else:
        out().print(f"{len(samples)} images: [bold]{escape(str(place))}[/]", highlight=False)
