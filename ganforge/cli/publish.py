"""Command `ganforge publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli import _options as opt
from ganforge.cli._output import check_output_folder, notice, print_result, waiting, writing
from ganforge.cli._printer import escape
from ganforge.errors import UsageError
from ganforge.runs.sources import open_source

NUM_SAMPLES, COLUMNS = 64, 10


def publish(
    run: opt.RunSource,
    name: Annotated[str | None, typer.Argument(metavar="[OWNER/NAME]", help="Model on the Hugging Face Hub.")] = None,
    path: Annotated[Path | None, opt.out_option("DIR", "Folder to write (publish in the run directory).")] = None,
    folder_only: Annotated[bool, typer.Option("--folder-only", help="Write the folder, and upload nothing.")] = False,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Visibility of a new model (as its owner prefers).")
    ] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="License in the model card, such as mit (none).")
    ] = None,
    ema: opt.Ema = None,
    checkpoint: opt.CheckpointName = "newest",
    force: opt.Force = False,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
) -> None:
    """Write a folder with a run's weights, samples and model card, and upload it to the Hugging Face Hub."""
    directory = open_source(run)
    folder = path or opt.output_path(directory, "publish")
    check_output_folder(folder, force=force)
    if not folder_only and name is None:
        raise UsageError("the name on the Hub is missing", fix="add OWNER/NAME, or pass --folder-only")
    choice = opt.checkpoint_choice(checkpoint)
    registry = opt.open_registry(plugin, no_plugins=no_plugins)

    from ganforge.export.generator import ExportedGenerator
    from ganforge.export.publish import check_upload, upload, write_publication
    from ganforge.runs.hub import check_name
    from ganforge.runs.trained_run import TrainedRun

    if name is not None:
        check_name(name)
    if not folder_only:
        check_upload()
    trained = TrainedRun(directory, registry)
    weights, loaded = trained.weights_file(ema=ema), trained.checkpoint(choice)
    samples = trained.sample_by_class(COLUMNS, ema=ema, checkpoint=loaded.step) or trained.sample(
        NUM_SAMPLES, ema=ema, checkpoint=loaded.step
    )
    notice(*trained.notices)
    exported = ExportedGenerator(trained, loaded, weights)
    with writing(folder):
        write_publication(exported, samples, folder, name or directory.name, license_id=license_id)
    address = None
    if name is not None and not folder_only:
        with waiting("uploading", quiet=False):
            address = upload(folder, name, private=private)
    document = {"run": str(run), "out": str(folder), "step": loaded.step, "weights": weights, "address": address}
    published = [] if address is None else [f"published: [bold]{escape(address)}[/]"]
    print_result(document, f"folder: [bold]{escape(folder)}[/]", *published, json=json)
