"""Command group `ganforge latent`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganforge.cli._classes import PlainGroup
from ganforge.cli._latents import FeaturesName, OpenedSpace, with_latent_space, write_picture
from ganforge.cli._settings import SamplingCommand
from ganforge.errors import UsageError
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from ganforge.components import Space
    from ganforge.latent_space.directions import Directions
    from ganforge.latent_space.space import LatentSpace
    from ganforge.runs.latents import Latents

METHODS = ("pca", "sefa", "attribute")
#: Images of a row of a traversal, and points without a POINT in the other pictures.
STEPS, NUM_POINTS = 9, 6
#: Dimensions that are shown without an option.
NUM_DIMENSIONS = 10
DEFAULT_FACTORS = "0,0.25,0.5,0.75,1"
MAX_DIMENSION = 99_999

PointName = Annotated[
    str | None, typer.Option("--point", metavar="POINT", help="Point to start from, as in interpolate (--seed).")
]
PointNames = Annotated[
    list[str] | None, typer.Argument(metavar="[POINT]...", help="Points, as in interpolate (six of --seed).")
]
Steps = Annotated[int, typer.Option(min=2, max=1000, metavar="N", help="Images of a row.")]
Extent = Annotated[
    float, typer.Option("--range", min=0, metavar="X", help="Standard deviations to both sides of the point.")
]

app = typer.Typer(
    cls=PlainGroup,
    help="Explore the latent space: traversals, directions, arithmetic, truncation and mixing of styles.",
    no_args_is_help=True,
)


@app.command(cls=SamplingCommand)
@with_latent_space
def traverse(
    opened: OpenedSpace,
    dims: Annotated[
        str | None, typer.Option(metavar="0-9,12", help="Dimensions, a row for each (the first ten).")
    ] = None,
    field: Annotated[str | None, typer.Option(metavar="NAME", help="Named field of the latent distribution.")] = None,
    directions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Directions: a .npz file of latent directions.")
    ] = None,
    point: PointName = None,
    steps: Steps = STEPS,
    extent: Extent = 3.0,
) -> None:
    """Change one dimension, or move along one direction, in each row."""
    if (dims is not None) + (field is not None) + (directions is not None) > 1:
        raise UsageError("--dims, --field and --directions exclude each other", fix="pass one of them")
    paths = opened.output_paths("latent-traverse.png")

    from ganforge.latent_space.directions import Directions
    from ganforge.latent_space.editing import field_dimensions, traverse_dimensions

    loaded = None if directions is None else Directions.load(directions)
    chosen = "z" if field is not None else opened.chosen_space if loaded is None else loaded.space
    start = _one_point(opened, point, chosen)
    if loaded is not None:
        opened.notice_other_weights([loaded.checkpoint])
        latents, columns = loaded.traverse(start, steps, extent=extent), steps
    else:
        numbers = parse_numbers(dims or f"0-{min(NUM_DIMENSIONS, start.values[0].numel()) - 1}", "--dims")
        numbers = field_dimensions(opened.space, field) if field is not None else numbers
        latents, columns = traverse_dimensions(opened.space, start, numbers, steps, extent=extent)
    _finish(opened, latents, opened.space.picture(latents, columns), paths)


@app.command("directions", cls=SamplingCommand)
@with_latent_space
def find_directions(
    opened: OpenedSpace,
    method: Annotated[
        str,
        typer.Option(
            metavar="pca|sefa|attribute",
            help="Principal directions; closed-form ones of the first layer; one towards each class.",
        ),
    ] = "pca",
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="Directions of pca and sefa.")] = 10,
    layer: Annotated[str | None, typer.Option(metavar="NAME", help="Layer of pca in z (the first that runs).")] = None,
    features: FeaturesName = None,
    point: PointName = None,
    steps: Steps = STEPS,
    extent: Extent = 3.0,
) -> None:
    """Find directions that change the images, and draw a row along each."""
    if method not in METHODS:
        raise UsageError(f"invalid method {method!r}{did_you_mean(method, METHODS)}")
    paths = opened.output_paths(f"latent-{method}.png")
    found = _directions(opened.space, method, count, layer, features)
    start = _one_point(opened, point, found.space)
    latents = found.traverse(start, steps, extent=extent)
    picture = opened.space.picture(latents, steps)
    _finish(opened, latents, picture, paths, directions=found)


@app.command(cls=SamplingCommand)
@with_latent_space
def arithmetic(
    opened: OpenedSpace,
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION",
            help='Points with + and - between spaces, such as "class:7 - class:1 + 0.5*0:3"; a file is its mean.',
        ),
    ],
    features: FeaturesName = None,
) -> None:
    """Add and subtract latents; the picture has the terms and, at last, the result."""
    from ganforge.latent_space.editing import combine, parse_expression

    terms = parse_expression(expression)
    paths = opened.output_paths("latent-arithmetic.png")
    parts = opened.points([text for _, text in terms], opened.chosen_space, default=[], features=features)
    latents = combine([factor for factor, _ in terms], parts)
    picture = opened.space.picture(latents, len(latents))
    _finish(opened, latents, picture, paths)


@app.command(cls=SamplingCommand)
@with_latent_space
def truncation(
    opened: OpenedSpace,
    points: PointNames = None,
    factors: Annotated[
        str, typer.Option(metavar="X,X", help="Distances from the mean latent: 1 is the point, 0 the mean.")
    ] = DEFAULT_FACTORS,
) -> None:
    """Move points towards the mean latent, a row for each."""
    numbers = _floats(factors, "--factors")
    paths = opened.output_paths("latent-truncation.png")

    from ganforge.latent_space.editing import truncate
    from ganforge.runs.latents import concatenate

    default = [f"{opened.seed}:{number}" for number in range(NUM_POINTS)]
    parts = opened.points(points, opened.chosen_space, default=default)
    latents = truncate(opened.space, concatenate(parts), numbers)
    picture = opened.space.picture(latents, len(numbers))
    _finish(opened, latents, picture, paths)


@app.command(cls=SamplingCommand)
@with_latent_space
def mix(
    opened: OpenedSpace,
    row: Annotated[
        list[str] | None, typer.Option(metavar="POINT", help="Points of the rows; repeatable (six of --seed).")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="POINT", help="Points of the columns; repeatable (the next six).")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="0-3", help="Layers of w from the columns (the first half).")
    ] = None,
    dims: Annotated[
        str | None, typer.Option(metavar="0-9", help="Dimensions from the columns, without layers.")
    ] = None,
    field: Annotated[str | None, typer.Option(metavar="NAME", help="Named field of z from the columns.")] = None,
) -> None:
    """Give each row's latents a part of each column's: coarse or fine layers, dimensions, or a field."""
    paths = opened.output_paths("latent-mix.png")

    from ganforge.latent_space.editing import field_dimensions, mixing_picture
    from ganforge.latent_space.editing import mix as mix_latents
    from ganforge.runs.latents import concatenate

    chosen = "z" if field is not None else opened.chosen_space
    default = [f"{opened.seed}:{number}" for number in range(2 * NUM_POINTS)]
    rows = concatenate(opened.points(row, chosen, default=default[:NUM_POINTS]))
    columns = concatenate(opened.points(column, chosen, default=default[NUM_POINTS:]))
    has_layers = rows.values.ndim > len("ND")
    if field is not None:
        part = field_dimensions(opened.space, field)
    elif (layers if has_layers else dims) is not None:
        part = parse_numbers(layers or dims or "", "--layers" if has_layers else "--dims")
    elif has_layers and dims is None:
        part = list(range(max(1, rows.values.shape[1] // 2)))
    else:
        raise UsageError(
            f"the latents of this generator have {'layers' if has_layers else 'no layers'}",
            fix="pass --layers" if has_layers else "pass --dims or --field",
        )
    latents = mix_latents(rows, columns, part)
    picture = mixing_picture(opened.space, rows, columns, latents)
    _finish(opened, latents, picture, paths)


def parse_numbers(text: str, option: str) -> list[int]:
    """Return the numbers of `0,3,5-7`. Raises UsageError for other texts."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) > MAX_DIMENSION:
            raise UsageError(f"invalid {option} {text!r}", fix=f"write {option} 0,3,5-7")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers:
        raise UsageError(f"invalid {option} {text!r}", fix=f"write {option} 0,3,5-7")
    return numbers


def _floats(text: str, option: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UsageError(f"invalid {option} {text!r}", fix=f"write {option} {DEFAULT_FACTORS}")
    return numbers


def _one_point(opened: OpenedSpace, point: str | None, space: Space) -> Latents:
    """Return the latent of `--point`. Raises UsageError for a file of several."""
    (latents,) = opened.points(None if point is None else [point], space, default=[str(opened.seed)])
    if len(latents) > 1:
        raise UsageError(f"{point} has {len(latents):,} latents", fix=f"choose one: --point {point}:0")
    return latents


def _directions(
    latent_space: LatentSpace, method: str, count: int, layer: str | None, features: str | None
) -> Directions:
    """Return the directions of a method."""
    from ganforge.latent_space import directions
    from ganforge.latent_space.attributes import measure_attributes

    if method == "attribute":
        return measure_attributes(latent_space, features=features).directions()
    if method == "sefa":
        return directions.closed_form_directions(latent_space, count)
    return directions.principal_directions(latent_space, count, layer=layer)


def _finish(
    opened: OpenedSpace,
    latents: Latents,
    picture: Tensor,
    paths: tuple[Path, Path],
    directions: Directions | None = None,
) -> None:
    """Write picture and latents, and print the result."""
    arrays, facts = latents.arrays(), dict[str, object]()
    if directions is not None:
        arrays |= directions.arrays()
        facts = {"directions": list(directions.names), "scales": directions.scales.tolist()}
    write_picture(picture, arrays, paths, scale=opened.scale)
    opened.print_result(paths, latents, **facts)
