"""Command `ganforge export`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge.cli._options import (
    CheckpointName,
    Ema,
    Force,
    Json,
    NoPlugins,
    Plugins,
    RunSource,
    checkpoint_choice,
    open_registry,
    output_path,
    set_option,
)
from ganforge.cli._output import check_output_folder, check_output_path, notice, out, print_json, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import SamplingCommand, read_setting, sampling_options
from ganforge.errors import UsageError
from ganforge.runs.sources import open_source
from ganforge.utils.format import format_bytes

#: Default name and writer of each format, whose module imports torch.
FORMATS = {
    "onnx": ("generator.onnx", "ganforge.export.onnx:export_onnx"),
    "torch": ("generator.pt2", "ganforge.export.torch_program:export_torch"),
    "weights": ("weights", "ganforge.export.weights:export_weights"),
    "bundle": ("bundle.zip", "ganforge.export.bundle:export_bundle"),
    "web": ("web", "ganforge.export.web_page:export_web"),
}
FOLDERS = frozenset({"weights", "web"})

app = typer.Typer(rich_markup_mode="rich")


@app.command(cls=SamplingCommand)
def export(
    run: RunSource,
    to: Annotated[
        Literal["onnx", "torch", "weights", "bundle"] | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="onnx: a model for onnxruntime. torch: a program of torch.export. weights: a folder with safetensors "
            "and a file of plain PyTorch. bundle: a zip file for ganforge.",
        ),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="A folder for any web server, with a page that runs the generator.")
    ] = False,
    path: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE|DIR", help="File or folder to write (in the run directory)."),
    ] = None,
    ema: Ema = None,
    checkpoint: CheckpointName = "newest",
    settings: Annotated[
        list[str] | None,
        set_option("A sampling option of the generator, such as sampling.truncation=0.7; not for a bundle."),
    ] = None,
    force: Force = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Write a run's generator as a file for others, and run that file before the command is done."""
    if web == (to is not None):
        raise UsageError("one format is needed", fix="pass --to onnx, torch, weights or bundle, or --web")
    form = to or "web"
    directory = open_source(run)
    name, writer = FORMATS[form]
    target = path or output_path(directory, name)
    (check_output_folder if form in FOLDERS else check_output_path)(target, force=force)
    sampling = sampling_options([read_setting(setting) for setting in settings or []], only=True)
    if sampling and form == "bundle":
        raise UsageError("a bundle keeps all sampling options", fix="pass them to ganforge sample")
    choice = checkpoint_choice(checkpoint)
    registry = open_registry(plugin, no_plugins=no_plugins)

    from ganforge.export.generator import ExportedGenerator  # noqa: PLC0415 - imports torch
    from ganforge.runs.trained_run import TrainedRun  # noqa: PLC0415 - as above

    trained = TrainedRun(directory, registry)
    weights, loaded = trained.weights_file(ema=ema), trained.checkpoint(choice)
    for line in trained.notices:
        notice(line)
    module, _, function = writer.partition(":")
    exported = ExportedGenerator(trained, loaded, weights, sampling=sampling)
    with writing(target):
        getattr(import_module(module), function)(exported, target)
    files = [target] if target.is_file() else sorted(file for file in target.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    if json:
        print_json({"run": str(run), "out": str(target), "step": loaded.step, "weights": weights, "bytes": size})
    else:
        out().print(f"{form}: [bold]{escape(str(target))}[/] ({format_bytes(size)})", highlight=False)
