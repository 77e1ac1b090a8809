"""Command group `ganforge data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from ganforge.cli._classes import PlainCommand, PlainGroup
from ganforge.cli._image_report import print_broken, print_findings, print_line, print_overview
from ganforge.cli._options import Force, Json, NoPlugins, Plugins, open_registry, out_option, setting_option
from ganforge.cli._output import check_output_path, next_command, notice, out, print_json, waiting, writing
from ganforge.cli._printer import escape
from ganforge.errors import DataError, UsageError
from ganforge.utils.format import format_bytes, format_count
from ganforge.utils.schema import first_problem

if TYPE_CHECKING:
    from ganforge.image_files.dataset import ImageDataset
    from ganforge.image_files.inspection import Overview
    from ganforge.image_files.source import Broken
    from ganforge.plugins.registry import Registry

#: Maximum side that pictures are resized to; one picture of it has 768 MiB.
MAX_SIZE = 16_384
#: Tag of datasets that read files, next to tags with the extensions.
FILES_TAG = "files"

Images = Annotated[Path, typer.Argument(metavar="PATH", help="Folder, archive or array of pictures.")]
DataName = Annotated[
    str | None, setting_option("data", "Dataset that reads PATH (the one of its extension, else folder).")
]
Size = Annotated[
    int | None, typer.Option(min=1, max=MAX_SIZE, metavar="N", help="Side in pixels that pictures are resized to.")
]
Background = Annotated[
    str, typer.Option(metavar="COLOR", help="Color behind transparent pixels: white, black or #rrggbb.")
]
Sheet = Annotated[Path | None, out_option("FILE", "Contact sheet to write, a PNG with up to 64 pictures.")]

app = typer.Typer(
    cls=PlainGroup,
    help="Describe, check and convert pictures: folders, archives and arrays.",
    no_args_is_help=True,
)


@app.command(cls=PlainCommand)
def info(
    path: Images,
    data: DataName = None,
    sheet: Sheet = None,
    background: Background = "white",
    force: Force = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Describe pictures: number, sizes, classes and splits, from their names and headers."""
    dataset = _open(path, data, open_registry(plugin, no_plugins=no_plugins), background=background)

    from ganforge.image_files.inspection import overview

    _check_sheet(sheet, force=force)
    with _own_options(), waiting("reading headers", quiet=json):
        facts = overview(dataset)
    if json:
        print_json({**_document(path, dataset, facts), "broken": _broken_rows(facts.broken)})
    else:
        print_overview(path, facts)
        print_broken(facts.broken)
    _show_sheet(dataset, None, sheet, preview=not json)


@app.command(cls=PlainCommand)
def check(
    path: Images,
    data: DataName = None,
    size: Size = None,
    sheet: Sheet = None,
    background: Background = "white",
    force: Force = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Decode all pictures, and report broken, equal, constant and small ones; exit code 1 if any is broken."""
    dataset = _open(path, data, open_registry(plugin, no_plugins=no_plugins), background=background)

    from ganforge.image_files.inspection import check as check_pixels
    from ganforge.image_files.inspection import overview

    _check_sheet(sheet, force=force)
    with _own_options(), waiting("decoding", quiet=json):
        facts, findings = overview(dataset), check_pixels(dataset, size=size)
    doubtful = [*(name for group in findings.duplicates for name in group), *findings.constant]
    if json:
        print_json(
            {
                **_document(path, dataset, facts),
                "broken": _broken_rows(findings.broken),
                "duplicates": findings.duplicates,
                "shared": findings.shared,
                "constant": findings.constant,
                "enlarged": findings.enlarged,
            }
        )
    else:
        print_overview(path, facts)
        print_findings(facts, findings, size)
    _show_sheet(dataset, doubtful or None, sheet, preview=False)
    if findings.broken:
        raise typer.Exit(1)


@app.command(cls=PlainCommand)
def convert(
    path: Images,
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder (no extension), .zip, .tar, .npz, .lmdb, .h5 or .parquet.")
    ],
    data: DataName = None,
    size: Size = None,
    fit: Annotated[
        Literal["crop", "letterbox", "stretch"], typer.Option(metavar="HOW", help="crop, letterbox or stretch.")
    ] = "crop",
    background: Background = "white",
    holdout: Annotated[
        float, typer.Option(min=0, max=0.99, metavar="X", help="Share of the pictures that become the test split.")
    ] = 0,
    force: Force = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
) -> None:
    """Write pictures in another format, verified after writing; files are copied unless they are resized."""
    if target.is_dir():
        raise UsageError(f"{target} exists already", fix="choose another folder, or remove this one")
    check_output_path(target, force=force)
    if target.exists() and path.exists() and target.samefile(path):
        raise UsageError(f"{target} is the file to read", fix="choose another file")
    if path.is_dir() and target.resolve().is_relative_to(path.resolve()):
        raise UsageError(f"{target} is inside of {path}", fix="choose a path outside of the pictures")
    registry = open_registry(plugin, no_plugins=no_plugins)
    options: dict[str, Any] = {"size": size, "fit": fit, "background": background, "holdout": holdout}
    dataset = _open(path, data, registry, **options)
    written = _dataset_class(registry, None, target)
    form = written.formats.get(target.suffix.lower())
    if form is None:
        raise UsageError(
            f"{target} has the extension of no format that can be written",
            fix=f"choose one of {', '.join(extension or 'a folder' for extension in written.formats)}",
        )

    from ganforge.image_files.conversion import convert as convert_images
    from ganforge.image_files.inspection import path_bytes

    reencode = size is not None or background != "white"
    with _own_options(), writing(target), waiting("converting", quiet=json):
        packing = convert_images(
            dataset, target, form, lambda place: written(written.Options(path=place)), reencode=reencode
        )
    if json:
        skipped = _broken_rows(packing.broken)
        print_json({"out": str(target), "images": packing.count, "bytes": path_bytes(target), "skipped": skipped})
        return
    print_line(str(target), f"{format_count(packing.count, 'picture')}, {format_bytes(path_bytes(target))}", bold=True)
    print_broken(packing.broken)
    command = next_command("run", "--data", _dataset_name(registry, target), "--data.path", target)
    out().print(f"train on it: {escape(command)}")


@contextmanager
def _own_options() -> Iterator[None]:
    """Raise errors of a dataset with the names that its options have here."""
    try:
        yield
    except DataError as error:
        fix = None if error.fix is None else error.fix.replace("--data.path", "the path").replace("--data.", "--")
        raise DataError(error.message, fix=fix) from None


def _dataset_name(registry: Registry, path: Path) -> str:
    """Return the name of the dataset that is named or tagged by the extension of a path, else `folder`."""
    extension = path.suffix.lower().removeprefix(".")
    for entry in registry.of_kind("dataset"):
        if FILES_TAG in entry.component.tags and extension in {entry.component.name, *entry.component.tags}:
            return registry.name_of(entry)
    return "folder"


def _dataset_class(registry: Registry, name: str | None, path: Path) -> type[ImageDataset]:
    """Return the class of the dataset that reads a path. Raises UsageError for a dataset that reads no files."""
    entry = registry.find("dataset", name or _dataset_name(registry, path))
    cls = registry.load(entry)

    from ganforge.image_files.dataset import ImageDataset

    if not issubclass(cls, ImageDataset):
        raise UsageError(f"dataset {entry.name!r} does not read files of pictures", fix="pass --data folder")
    return cls


def _open(path: Path, name: str | None, registry: Registry, **options: object) -> ImageDataset:
    """Return the dataset of a path; nothing is read yet. Raises UsageError for an invalid option."""
    cls = _dataset_class(registry, name, path)
    try:
        return cls(cls.Options.model_validate({"path": path, "stream": "yes", **options}))
    except ValidationError as error:
        raise UsageError(first_problem(error)) from None


def _document(path: Path, dataset: ImageDataset, facts: Overview) -> dict[str, Any]:
    """Return facts for JSON."""
    return {
        "path": str(path),
        "format": type(dataset.image_source).__name__.removesuffix("Source").lower(),
        "images": sum(facts.images.values()),
        "splits": facts.images,
        "classes": facts.classes,
        "sizes": {f"{width}x{height}": count for (width, height), count in facts.sizes.most_common()},
        "kinds": dict(facts.kinds),
        "ignored": dict(facts.ignored),
        "bytes": facts.bytes,
    }


def _broken_rows(broken: Sequence[Broken]) -> list[dict[str, str]]:
    return [{"name": each.name, "reason": each.reason} for each in broken]


def _check_sheet(path: Path | None, *, force: bool) -> None:
    """Raise UsageError for a contact sheet that cannot be written, or not as PNG."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise UsageError(f"--out {path}: a contact sheet is written as .png")
    check_output_path(path, force=force)


def _show_sheet(dataset: ImageDataset, names: Sequence[str] | None, path: Path | None, *, preview: bool) -> None:
    """Write a contact sheet if it has a path, and show pictures on a terminal."""
    console = out()
    if path is None and not (preview and console.is_terminal):
        return

    from ganforge.cli._picture import SamplesPicture
    from ganforge.image_files.inspection import contact_sheet
    from ganforge.utils.images import grid, save_png

    pictures = contact_sheet(dataset, names)
    if preview and console.is_terminal:
        console.print(SamplesPicture(pictures))
    if path is not None:
        with writing(path):
            save_png(grid(pictures), path)
        notice(f"contact sheet: {path}")
