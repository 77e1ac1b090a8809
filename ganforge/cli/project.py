"""Command `ganforge project`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli._latents import FeaturesName, OpenedSpace, with_latent_space, write_picture
from ganforge.cli._options import Quiet
from ganforge.cli._output import err, print_result, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import SamplingCommand
from ganforge.utils.format import format_number

if TYPE_CHECKING:
    from torch import Tensor

    from ganforge.latent_space.features import Features

#: Lines of progress for each image.
REPORTS = 5

app = typer.Typer()


@app.command(cls=SamplingCommand)
@partial(with_latent_space, without={"space"})
def project(
    opened: OpenedSpace,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Pictures of the run's size, or points as in interpolate.")
    ],
    steps: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Steps of Adam.")] = 300,
    starts: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Starts for each image.")] = 4,
    features: FeaturesName = None,
    feature_weight: Annotated[
        float, typer.Option(min=0, metavar="X", help="Weight of the distance of features; that of pixels has 1.")
    ] = 1.0,
    nearest: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="K", help="Show the K nearest training images instead of projections."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Find latents whose images are near to pictures, or the training images nearest to them."""
    paths = opened.output_paths("projection.png" if nearest is None else "nearest.png")

    import torch  # takes a second to import

    from ganforge.latent_space import projection
    from ganforge.latent_space.points import PointReader
    from ganforge.utils.images import grid

    reader = PointReader(opened.space, features=features)
    targets = torch.stack([reader.target(text) for text in images])
    if nearest is not None:
        _show_nearest(opened, reader.features, targets, nearest, paths[0])
        return
    result = projection.project(
        opened.space,
        targets,
        features=reader.features,
        feature_weight=feature_weight,
        steps=steps,
        starts=starts,
        condition=opened.conditions(),
        seed=opened.seed,
        progress=(lambda *_: None) if quiet else _reporter(len(images), steps),
    )
    target_pictures, projected_pictures = (
        reader.features.scoring.pictures(targets),
        reader.features.scoring.pictures(result.images),
    )
    difference = (target_pictures.int() - projected_pictures.int()).abs().byte()
    rows = torch.stack([target_pictures, projected_pictures, difference], dim=1).flatten(0, 1)
    write_picture(grid(rows, 3), result.latents.arrays(), paths, scale=opened.scale)
    opened.print_result(paths, result.latents, distances=result.distances.tolist(), pixel_rms=result.pixel_rms.tolist())


def _reporter(count: int, steps: int) -> Callable[[int, int, float], None]:
    """Return a function that prints some lines of progress for each image."""
    console = err()
    every = max(1, steps // REPORTS)

    def report(number: int, step: int, distance: float) -> None:
        if step % every == 0 or step == steps:
            line = f"image {number + 1}/{count}: step {step}/{steps}, distance {format_number(distance)}"
            console.print(line, style="dim")

    return report


def _show_nearest(opened: OpenedSpace, features: Features, targets: Tensor, count: int, path: Path) -> None:
    """Write a picture with each image and its nearest training images, and print these."""
    import torch  # takes a second to import

    from ganforge.latent_space.projection import nearest_training_images
    from ganforge.utils.images import enlarge, grid, normalize, save_png

    count = min(count, features.scoring.info.sizes["train"])
    indices, distances = nearest_training_images(features, targets, count)
    neighbors = [features.training_images(row).images for row in indices.tolist()]
    rows = [torch.cat([target[None], normalize(images)]) for target, images in zip(targets, neighbors, strict=True)]
    with writing(path):
        save_png(enlarge(grid(features.scoring.pictures(torch.cat(rows)), count + 1), opened.scale or 1), path)
    document = {"run": str(opened.run), "out": str(path), "indices": indices.tolist(), "distances": distances.tolist()}
    lines = []
    for number, (row, values) in enumerate(zip(indices.tolist(), distances.tolist(), strict=True), start=1):
        pairs = (f"{index} ({format_number(value)})" for index, value in zip(row, values, strict=True))
        lines.append(f"image {number}: nearest training images (distances): {', '.join(pairs)}")
    print_result(document, *lines, f"picture: [bold]{escape(path)}[/]", json=opened.json)
