"""Options and outputs that the commands of the latent space share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli._options import checkpoint_choice, open_registry
from ganforge.cli._output import check_output_path, notice, out, print_json, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import read_setting, sampling_options
from ganforge.errors import UsageError
from ganforge.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from torch import Tensor

    from ganforge.components import Space
    from ganforge.latent_space.space import LatentSpace
    from ganforge.runs.latents import Latents

#: Pictures of animations are enlarged until their shorter side has as many pixels.
MIN_ANIMATION_PIXELS = 128
ANIMATIONS = frozenset({".gif", ".mp4"})

SpaceName = Annotated[
    str | None,
    typer.Option("--space", metavar="z|w", help="Latent space: z, or w behind a mapping network (w, if there is one)."),
]
OutFile = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Picture, .png; the latents are saved next to it, as .npz."),
]
Scale = Annotated[int | None, typer.Option(min=1, max=64, metavar="N", help="Enlargement of the pictures (1).")]
PointSeed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Seed of points without a POINT, and of noise.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceOptions:
    """Values of the options that open a latent space."""

    settings: list[str] | None
    ema: bool | None
    checkpoint: str
    seed: int
    plugin: list[Path] | None
    no_plugins: bool


def open_space(run: Path, options: SpaceOptions, *, device: str = "cpu") -> LatentSpace:
    """Return the latent space of a run, and print what its loading notices."""
    directory = RunDirectory.open(run)
    choice = checkpoint_choice(options.checkpoint)
    sampling = sampling_options([read_setting(setting) for setting in options.settings or []], only=True)
    registry = open_registry(options.plugin, no_plugins=options.no_plugins)

    from ganforge.latent_space.space import LatentSpace  # noqa: PLC0415 - imports torch
    from ganforge.runs.trained_run import TrainedRun  # noqa: PLC0415 - imports torch

    trained = TrainedRun(directory, registry)
    space = LatentSpace(
        trained, ema=options.ema, checkpoint=choice, sampling=sampling, seed=options.seed, device=device
    )
    for line in trained.notices:
        notice(line)
    return space


def chosen_space(name: str | None, latent_space: LatentSpace) -> Space:
    """Return the value of `--space`; the generator's own space by default. Raises UsageError for other texts."""
    if name is None:
        return latent_space.own_space
    if name == "z":
        return "z"
    if name == "w":
        return "w"
    raise UsageError(f"invalid space {name!r} (available: z, w)")


def read_points(
    texts: list[str], latent_space: LatentSpace, space: Space, condition: list[str] | None, *, default: list[str]
) -> Latents:
    """Return the points of the command line in a space, or default ones. Raises UsageError."""
    from ganforge.latent_space import points  # noqa: PLC0415 - imports torch
    from ganforge.runs.conditions import read_condition  # noqa: PLC0415 - imports torch

    if condition and not latent_space.generator.conditional:
        raise UsageError("this generator takes no condition", fix="leave --condition out")
    values = read_condition(condition, latent_space.run.dataset_info()) if condition else None
    latents = points.read_points(texts or default, latent_space, space, values)
    if latents.checkpoint not in {None, latent_space.loaded.checkpoint}:
        notice("the points were found with other weights; their images differ here")
    return latents


def output_paths(path: Path | None, default: Path, suffixes: set[str], *, force: bool) -> tuple[Path, Path]:
    """Return the files of the picture and of its latents. Raises UsageError for other types and existing files."""
    if path is None:
        return default, default.with_suffix(".npz")
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--out {path}: the file is {' or '.join(sorted(suffixes))}")
    for file in (path, path.with_suffix(".npz")):
        check_output_path(file, force=force)
    return path, path.with_suffix(".npz")


def write_picture(picture: Tensor, latents: Latents, paths: tuple[Path, Path], *, scale: int | None) -> None:
    """Write a picture, `(C, H, W)` uint8, and its latents. Raises UsageError."""
    from ganforge.utils.images import enlarge, save_png  # noqa: PLC0415 - imports torch

    with writing(paths[0]):
        save_png(enlarge(picture, scale or 1), paths[0])
    with writing(paths[1]):
        latents.save(paths[1])


def write_animation(frames: Tensor, latents: Latents, paths: tuple[Path, Path], *, scale: int | None, fps: int) -> None:
    """Write an animation of pictures, `(N, C, H, W)` uint8, and its latents. Raises UsageError."""
    from ganforge.utils.animation import save_gif, save_mp4  # noqa: PLC0415 - imports torch
    from ganforge.utils.images import enlarge  # noqa: PLC0415 - imports torch

    frames = enlarge(frames, scale or -(-MIN_ANIMATION_PIXELS // min(frames.shape[-2:])))
    with writing(paths[0]):
        (save_gif if paths[0].suffix.lower() == ".gif" else save_mp4)(frames, paths[0], fps=fps)
    with writing(paths[1]):
        latents.save(paths[1])


def print_result(document: dict[str, Any], *, json: bool) -> None:
    """Print the result's files, or the document of `--json`."""
    if json:
        print_json(document)
    else:
        names = " and ".join(f"[bold]{escape(document[key])}[/]" for key in ("out", "latents"))
        out().print(f"{document['num_images']} images: {names}", highlight=False)
