"""Options and outputs that the commands of the latent space share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli._options import checkpoint_choice, component_option, open_registry, output_path, set_option
from ganforge.cli._output import check_output_path, notice, out, print_json, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import read_setting, sampling_options
from ganforge.errors import UsageError
from ganforge.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from numpy.typing import NDArray
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

Settings = Annotated[
    list[str] | None, set_option("A sampling option of the generator; also --sampling.truncation 0.7.")
]
FeaturesName = Annotated[
    str | None, component_option("features", "Feature extractor that recognizes classes (the run's).")
]


def open_space(
    directory: RunDirectory,
    *,
    settings: list[str] | None,
    ema: bool | None,
    checkpoint: str,
    seed: int,
    plugin: list[Path] | None,
    no_plugins: bool,
    device: str = "cpu",
) -> LatentSpace:
    """Return the latent space of a run by the values of the options, and print what its loading notices."""
    choice = checkpoint_choice(checkpoint)
    sampling = sampling_options([read_setting(setting) for setting in settings or []], only=True)
    registry = open_registry(plugin, no_plugins=no_plugins)

    from ganforge.latent_space.space import LatentSpace  # noqa: PLC0415 - imports torch
    from ganforge.runs.trained_run import TrainedRun  # noqa: PLC0415 - imports torch

    trained = TrainedRun(directory, registry)
    space = LatentSpace(trained, ema=ema, checkpoint=choice, sampling=sampling, seed=seed, device=device)
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
    texts: list[str] | None,
    latent_space: LatentSpace,
    space: Space,
    condition: list[str] | None,
    *,
    default: list[str],
    features: str | None = None,
) -> list[Latents]:
    """Return the latents of each point of the command line in a space, or of default ones. Raises UsageError."""
    from ganforge.latent_space.points import PointReader  # noqa: PLC0415 - imports torch
    from ganforge.runs.conditions import read_condition  # noqa: PLC0415 - imports torch

    if condition and not latent_space.generator.conditional:
        raise UsageError("this generator takes no condition", fix="leave --condition out")
    values = read_condition(condition, latent_space.run.dataset_info()) if condition else None
    points = PointReader(latent_space, features=features).read(texts or default, space, values)
    notice_other_weights((part.checkpoint for part in points), latent_space)
    return points


def notice_other_weights(checkpoints: Iterable[str | None], latent_space: LatentSpace) -> None:
    """Print a notice if latents or directions of a file belong to other weights."""
    if set(checkpoints) - {None, latent_space.loaded.checkpoint}:
        notice("the latents were found with other weights; their images differ here")


def output_paths(
    path: Path | None, directory: RunDirectory, name: str, suffixes: set[str], *, force: bool
) -> tuple[Path, Path]:
    """Return the files of the picture and of its latents. Raises UsageError for other types and existing files."""
    if path is None:
        default = output_path(directory, name)
        return default, default.with_suffix(".npz")
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--out {path}: the file is {' or '.join(sorted(suffixes))}")
    for file in (path, path.with_suffix(".npz")):
        check_output_path(file, force=force)
    return path, path.with_suffix(".npz")


def write_picture(
    picture: Tensor, arrays: Mapping[str, NDArray[Any]], paths: tuple[Path, Path], *, scale: int | None
) -> None:
    """Write a picture, `(C, H, W)` uint8, and the arrays of its latents. Raises UsageError."""
    from ganforge.utils.arrays import write_npz  # noqa: PLC0415 - imports numpy
    from ganforge.utils.images import enlarge, save_png  # noqa: PLC0415 - imports torch

    with writing(paths[0]):
        save_png(enlarge(picture, scale or 1), paths[0])
    with writing(paths[1]):
        write_npz(paths[1], arrays)


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
