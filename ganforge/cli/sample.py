"""Command `ganforge sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli import _options as opt
from ganforge.cli._output import check_parent, notice, print_result, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import SamplingCommand, sampling_options
from ganforge.errors import UsageError
from ganforge.runs.sources import open_source
from ganforge.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from torch import Tensor

    from ganforge.runs.latents import Latents
    from ganforge.runs.rebuild import LoadedGenerator
    from ganforge.runs.trained_run import TrainedRun

NUM_SAMPLES, COLUMNS = 64, 10

app = typer.Typer()


@app.command(cls=SamplingCommand)
def sample(
    run: opt.RunSource,
    path: Annotated[
        Path | None, opt.out_option("FILE|DIR", "FILE.png: one grid; FILE.npz: arrays; else a folder of PNGs.")
    ] = None,
    num_samples: Annotated[
        int | None,
        opt.num_samples_option("Number of images (64; 10 of each class if the generator takes classes)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the latents.")] = 0,
    latents: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Latents to draw: a .npz file of sample, interpolate, latent or project."),
    ] = None,
    condition: opt.Conditions = None,
    label: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    settings: Annotated[
        list[str] | None,
        opt.set_option(
            "A sampling option of the generator, such as sampling.truncation=0.7; also --sampling.truncation 0.7."
        ),
    ] = None,
    ema: opt.Ema = None,
    checkpoint: opt.CheckpointName = "newest",
    device: opt.Device = "cpu",
    columns: Annotated[int | None, typer.Option(min=1, metavar="N", help="Images in a row of the grid.")] = None,
    force: opt.Force = False,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
) -> None:
    """Draw images from a run's generator, by default as a grid in the run directory."""
    if label:
        raise UsageError("invalid option --label", fix=f"write --condition {label[0]}")
    directory = open_source(run)
    target = _target(directory, path, seed, force=force)
    choice = opt.checkpoint_choice(checkpoint)
    sampling = sampling_options(settings)
    registry = opt.open_registry(plugin, no_plugins=no_plugins)

    from ganforge.runs.trained_run import TrainedRun

    trained = TrainedRun(directory, registry)
    given = None if latents is None else _read_latents(latents, num_samples, trained.load(ema=ema, checkpoint=choice))
    samples = None
    if num_samples is None and given is None and not condition and target.suffix.lower() == ".png":
        samples = trained.sample_by_class(
            columns or COLUMNS, seed, sampling=sampling, ema=ema, checkpoint=choice, device=device
        )
    if samples is None:
        count = num_samples if given is None else len(given)
        values = _condition(trained, condition, count) if condition else None
        samples = trained.sample(
            count, seed, condition=values, latents=given, sampling=sampling, ema=ema, checkpoint=choice, device=device
        )
    notice(*trained.notices)
    with writing(target):
        if target.suffix.lower() == ".png":
            samples.save_grid(target, columns=columns)
        elif target.suffix.lower() == ".npz":
            samples.save_npz(target)
        else:
            samples.save_folder(target)
    document = {"run": str(run), "out": str(target), "num_samples": len(samples), "seed": seed}
    print_result(document, f"{len(samples)} images: [bold]{escape(target)}[/]", json=json)


def _target(run: RunDirectory, path: Path | None, seed: int, *, force: bool) -> Path:
    """Return the path that images are written to. Raises UsageError for other file types and existing paths."""
    if path is None:
        return opt.output_path(run, f"sample-seed{seed}.png")
    if path.suffix.lower() not in {"", ".png", ".npz"} and not path.is_dir():
        raise UsageError(f"--out {path}: images are written as .png, .npz, or into a folder")
    if path.exists() and not (force and path.is_file()):
        raise UsageError(f"{path} exists already", fix="choose another --out, or pass --force to replace a file")
    if path.suffix:
        check_parent(path)
    return path


def _read_latents(path: Path, num_samples: int | None, loaded: LoadedGenerator) -> Latents:
    """Return the first latents of a file; a notice if they are those of other weights."""
    from ganforge.runs.latents import Latents

    latents = Latents.load(path)
    if num_samples is not None and num_samples > len(latents):
        raise UsageError(f"{path} has {len(latents):,} latents; --num-samples is {num_samples:,}")
    if latents.checkpoint not in {None, loaded.checkpoint}:
        notice(f"the latents of {path} were found with other weights; their images differ here")
    return latents[:num_samples]


def _condition(trained: TrainedRun, texts: list[str], num_samples: int | None) -> Tensor:
    """Return a condition for each image; fewer ones take turns."""
    import torch  # takes a second to import

    from ganforge.runs.conditions import read_condition
    from ganforge.runs.sample import check_count

    info = trained.dataset_info()
    values = read_condition(texts, info)
    if num_samples is None:
        one_each = info.image.num_classes is None and len(values) > 1
        num_samples = len(values) if one_each else NUM_SAMPLES
    check_count(num_samples, info.image)
    return values[torch.arange(num_samples) % len(values)]
