"""Command `ganforge export`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganforge.cli import _options as opt
from ganforge.cli._output import check_output_folder, check_output_path, notice, print_result, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import SamplingCommand, sampling_options
from ganforge.errors import UsageError
from ganforge.runs.sources import open_source
from ganforge.utils.format import format_bytes

#: Default name and writer of each format, whose module imports torch.
FORMATS = {
    "onnx": ("generator.onnx", "ganforge.export.onnx:export_onnx"),
    "torch": ("generator.pt2", "ganforge.export.program:export_torch"),
    "weights": ("weights", "ganforge.export.weights:export_weights"),
    "bundle": ("bundle.zip", "ganforge.export.bundle:export_bundle"),
    "web": ("web", "ganforge.export.web_page:export_web"),
}
FOLDERS = frozenset({"weights", "web"})

app = typer.Typer()


@app.command(cls=SamplingCommand)
def export(
    run: opt.RunSource,
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
    path: Annotated[Path | None, opt.out_option("FILE|DIR", "File or folder to write (in the run directory).")] = None,
    ema: opt.Ema = None,
    checkpoint: opt.CheckpointName = "newest",
    settings: Annotated[
        list[str] | None,
        opt.set_option("A sampling option of the generator, such as sampling.truncation=0.7; not for a bundle."),
    ] = None,
    force: opt.Force = False,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
) -> None:
    """Write a run's generator as a file for others, and run that file before the command is done."""
    if web == (to is not None):
        raise UsageError("one format is needed", fix="pass --to onnx, torch, weights or bundle, or --web")
    form = to or "web"
    directory = open_source(run)
    name, writer = FORMATS[form]
    target = path or opt.output_path(directory, name)
    (check_output_folder if form in FOLDERS else check_output_path)(target, force=force)
    sampling = sampling_options(settings)
    if sampling and form == "bundle":
        raise UsageError("a bundle keeps all sampling options", fix="pass them to ganforge sample")
    choice = opt.checkpoint_choice(checkpoint)
    registry = opt.open_registry(plugin, no_plugins=no_plugins)

    from ganforge.export.generator import ExportedGenerator
    from ganforge.runs.trained_run import TrainedRun

    trained = TrainedRun(directory, registry)
    weights, loaded = trained.weights_file(ema=ema), trained.checkpoint(choice)
    notice(*trained.notices)
    module, _, function = writer.partition(":")
    exported = ExportedGenerator(trained, loaded, weights, sampling=sampling)
    with writing(target):
        getattr(import_module(module), function)(exported, target)
    files = [target] if target.is_file() else sorted(file for file in target.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    document = {"run": str(run), "out": str(target), "step": loaded.step, "weights": weights, "bytes": size}
    print_result(document, f"{form}: [bold]{escape(target)}[/] ({format_bytes(size)})", json=json)
