"""Command `ganforge interpolate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli._latents import ANIMATIONS, OpenedSpace, with_latent_space, write_animation, write_picture
from ganforge.cli._options import out_option
from ganforge.cli._settings import SamplingCommand
from ganforge.errors import UsageError
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.latent_space.interpolation import Method

#: Images of a segment in a picture, and in an animation.
PICTURE_STEPS, ANIMATION_STEPS = 10, 30
#: Points without a POINT: the first images of the seed.
NUM_POINTS = 4
METHODS: dict[str, Method] = {"linear": "linear", "spherical": "spherical"}

app = typer.Typer()


@app.command(cls=SamplingCommand)
@with_latent_space
def interpolate(
    opened: OpenedSpace,
    points: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POINT]...",
            help="SEED, SEED:NUMBER (an image of sample --seed SEED, from 0), FILE.npz, FILE.npz:NUMBER, "
            "class:NAME (the mean of a class), or a picture, which is projected; the first four images of --seed by "
            "default.",
        ),
    ] = None,
    path: Annotated[
        Path | None,
        out_option(
            "FILE",
            "FILE.png: a row from each point to the next; FILE.gif, FILE.mp4: an animation. The latents are saved next "
            "to it, as .npz.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=2, max=1000, metavar="N", help="Images from one point to the next, with both (10; 30 in an animation)."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="linear|spherical", help="Path between two points (spherical in z, linear in w)."),
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="A square picture with four points as its corners.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first point.")] = False,
    fps: Annotated[int, typer.Option(min=1, max=60, metavar="N", help="Frames per second of an animation.")] = 20,
    scale: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Enlargement (1; animations have 128 pixels or more)."),
    ] = None,
) -> None:
    """Draw the images between points of the latent space: as rows, a grid, a GIF or a video."""
    if method is not None and method not in METHODS:
        raise UsageError(f"invalid method {method!r}{did_you_mean(method, METHODS)}")
    paths = opened.output_paths("interpolation.png", {".png", *ANIMATIONS})
    is_animation = paths[0].suffix.lower() in ANIMATIONS
    if grid and (is_animation or loop):
        raise UsageError("--grid is one picture", fix="leave --loop out, and write a .png file")
    from ganforge.latent_space.interpolation import default_method, frames, interpolate_grid
    from ganforge.latent_space.interpolation import interpolate as interpolate_latents
    from ganforge.runs.latents import concatenate

    default = [f"{opened.seed}:{number}" for number in range(NUM_POINTS)]
    ends = concatenate(opened.points(points, opened.chosen_space, default=default))
    used = METHODS.get(method or "") or default_method(ends.space)
    steps = steps or (ANIMATION_STEPS if is_animation else PICTURE_STEPS)
    if grid:
        latents = interpolate_grid(ends, steps, method=used)
    else:
        latents = interpolate_latents(ends, steps, method=used, loop=loop)
    if is_animation:
        latents = frames(latents, steps, loop=loop)
        write_animation(opened.space.pictures(latents), latents, paths, scale=opened.scale, fps=fps)
    else:
        write_picture(opened.space.picture(latents, steps), latents.arrays(), paths, scale=opened.scale)
    opened.print_result(paths, latents, method=used)
