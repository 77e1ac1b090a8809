"""Command `ganforge evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from rich.table import Table
from rich.text import Text

from ganforge.cli import _options as opt
from ganforge.cli._completion import split_names
from ganforge.cli._output import check_output_path, err, notice, out, print_json, problem, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import SettingsCommand, split_sampling
from ganforge.components.spec import Section
from ganforge.config.dotted import literal
from ganforge.errors import ConfigError, UsageError
from ganforge.runs.score_table import deviation_of
from ganforge.runs.sources import is_bundle, open_source
from ganforge.schemas.rows import Protocol
from ganforge.utils.files import write_atomically
from ganforge.utils.format import format_number
from ganforge.utils.text import printable_json

if TYPE_CHECKING:
    from ganforge.components import Split
    from ganforge.plugins.registry import Registry
    from ganforge.runs.evaluate import EvaluationRequest, MeasuredScores, RunScores
    from ganforge.runs.evaluate_images import ImageScores
    from ganforge.training.run_directory import RunDirectory

SHOWN_HASH_LENGTH = 12
#: Extensions of files of images; a zip file may also be a bundle.
IMAGE_FILES = frozenset({".npz", ".npy", ".tar"})
SPLITS: tuple[Split, ...] = ("test", "train")


class EvaluateCommand(SettingsCommand):
    """Command whose flags may be options of metrics, of features, of the dataset and of sampling."""

    sections: ClassVar[tuple[Section, ...] | None] = ("metric", "features", "data")
    sampling: ClassVar[bool] = True


app = typer.Typer()


# --metric, --features, --data, their options and --sampling.NAME become --set KEY=VALUE before parsing (see
# `SettingsCommand`); the first three are declared for the help.
@app.command(cls=EvaluateCommand)
def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|DIR|FILE",
            help="Run directory, bundle, hub:OWNER/NAME or zoo:NAME; or images: a folder, .zip, .tar, .npy or .npz.",
        ),
    ],
    metric: Annotated[
        list[str] | None,
        opt.setting_option(
            "metric", "Metrics (fid,kid,precision,recall, and modes for features with classes).", "NAME,NAME"
        ),
    ] = None,
    num_samples: Annotated[
        int | None, opt.num_samples_option("Fakes, and as many real images (10,000, or as many as the split has).")
    ] = None,
    checkpoint: opt.CheckpointName = "newest",
    split: Annotated[
        str | None, typer.Option(metavar="test|train", help="Split of the real images (test, if there is one).")
    ] = None,
    features: Annotated[
        str | None,
        opt.setting_option("features", "Feature extractor (the run's, or what the dataset recommends)."),
    ] = None,
    data: Annotated[str | None, opt.setting_option("data", "Dataset that images are compared with.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Statistics of real images, in place of the dataset; see the next."),
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Write the features of the real images, with their protocol."),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Resize pictures to those of the dataset, which changes scores.")
    ] = False,
    path: Annotated[
        Path | None,
        opt.out_option("FILE.json", "Write the document of --json, too, and pictures of metrics next to it."),
    ] = None,
    force: opt.Force = False,
    settings: Annotated[
        list[str] | None,
        opt.set_option("An option of a metric, the features, the dataset or sampling, such as metric.kid.subsets=50."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of latents and real images (the run's, or 0).")
    ] = None,
    device: opt.Device = "auto",
    ema: opt.Ema = None,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Score a generator, or images, against real ones, with a protocol of everything that the scores depend on."""
    for written in (path, save_reference):
        if written is not None:
            check_output_path(written, force=force)
    if save_reference is not None and save_reference.suffix != ".npz":
        raise UsageError(f"--save-reference {save_reference}: statistics are written as .npz")
    choice = opt.checkpoint_choice(checkpoint)
    chosen_split = next((name for name in SPLITS if name == split), None)
    if chosen_split is None and split is not None:
        raise UsageError(f"invalid split {split!r} (available: {', '.join(SPLITS)})")
    names, options, sampling = _read_settings(settings)
    run = None if _holds_images(source) else open_source(source)
    if run is not None and resize:
        raise UsageError(f"--resize is for pictures; {source} is a run")
    registry = opt.open_registry(plugin, no_plugins=no_plugins)
    with _stages(quiet=quiet) as progress:
        progress(f"reading the {'images' if run is None else 'run'}")

        from ganforge.runs.evaluate import EvaluationRequest

        request = EvaluationRequest(
            metrics=names or None,
            num_samples=num_samples,
            checkpoint=choice,
            split=chosen_split,
            options=options,
            sampling=sampling,
            seed=seed,
            device=device,
            ema=ema,
            reference=reference,
            save_reference=save_reference,
        )
        scores: RunScores | ImageScores
        if run is None:
            from ganforge.runs.evaluate_images import evaluate_images

            notices: list[str] = []
            with nullcontext() if path is None else writing(path):
                scores = evaluate_images(
                    source, request, registry, resize=resize, out=path, notice=notices.append, progress=progress
                )
            title, is_lost = str(source), False
        else:
            scores, notices = _evaluate_run(run, request, registry, progress)
            title = f"{source}, step {scores.step:,}"
            is_lost = path is None and not run.is_temporary and not scores.recorded
    notice(*notices)
    if path is not None:
        with writing(path):
            write_atomically(path, printable_json(scores.as_dict(), indent=2) + "\n")
    if json:
        print_json(scores.as_dict())
    else:
        _print(scores, title)
    if is_lost:
        problem(f"{source}: the scores are printed, but not stored", "write them to a file: --out FILE.json")
        raise typer.Exit(1)


def _holds_images(source: Path) -> bool:
    """Return whether a path is a folder or file of images, not a run or a bundle."""
    if source.is_dir():
        return not (source / "run.toml").exists() and not (source / "run.json").exists()
    suffix = source.suffix.lower()
    return suffix in IMAGE_FILES or (suffix == ".zip" and not is_bundle(source))


def _evaluate_run(
    run: RunDirectory, request: EvaluationRequest, registry: Registry, progress: Callable[[str], None]
) -> tuple[RunScores, list[str]]:
    """Return the scores of a run and its notices; those of a bundle are not recorded."""
    from ganforge.report import report_run  # imports Pillow
    from ganforge.runs.evaluate import evaluate_run
    from ganforge.runs.trained_run import TrainedRun

    trained = TrainedRun(run, registry, report=report_run)
    scores = evaluate_run(trained, request, record=not run.is_temporary, progress=progress)
    return scores, trained.notices


def _read_settings(settings: list[str] | None) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Return the names of metrics, options of metrics and features, and sampling options. Raises ConfigError."""
    sampling, pairs = split_sampling(settings)
    texts = [text for key, text in pairs if key == "metric"]
    names = split_names(texts)
    if texts and not names:
        raise ConfigError(f"--metric {','.join(texts)}: no name", fix="write --metric NAME,NAME, or leave it out")
    return names, {key: literal(text) for key, text in pairs if key != "metric"}, sampling


@contextmanager
def _stages(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show the stages of the work on stderr: one line that changes on a terminal, a line for each elsewhere."""
    console = err()
    if quiet:
        yield lambda stage: None
    elif console.is_terminal:
        with console.status("") as status:
            yield lambda stage: status.update(Text(f"{stage} …", "dim"))
    else:
        yield lambda stage: console.print(escape(f"{stage} …"), style="dim")


def _print(scores: MeasuredScores, title: str) -> None:
    """Print the scores with their references, and the protocol in a few lines."""
    console = out()
    table = Table("score", "value", "reference", "better", title=escape(title))
    for name, value in scores.scores.items():
        deviation = deviation_of(scores.details, scores.protocol, name)
        spread = "" if deviation is None else f" ± {format_number(deviation)}"
        reference = format_number(scores.reference[name]) if name in scores.reference else ""
        direction = "higher" if scores.higher_is_better[name] else "lower"
        table.add_row(escape(name), f"[bold]{format_number(value)}[/]{spread}", reference, direction)
    console.print(table)
    for line in _protocol_lines(scores.protocol):
        console.print(escape(line), style="dim")
    for path in scores.pictures.values():
        console.print(f"picture: [bold]{escape(str(path))}[/]")


def _protocol_lines(protocol: Protocol) -> Iterator[str]:
    """Yield the protocol in lines for readers."""
    yield (
        f"{protocol.fake_images:,} fakes and {protocol.real_images:,} real images: {protocol.split} split of "
        f"{protocol.data} ({protocol.fingerprint[:SHOWN_HASH_LENGTH]})"
    )
    if protocol.train_images is not None:
        yield f"{protocol.train_images:,} training images"
    features = protocol.features
    if features is not None:
        yield (
            f"features: {features.name} ({features.distribution}, {features.weights[:SHOWN_HASH_LENGTH]}): "
            f"{features.preprocessing}"
        )
    if protocol.sampling:
        yield f"sampling: {', '.join(f'{name} {value}' for name, value in protocol.sampling.items())}"
    versions = ", ".join(f"{name} {str(version)[:SHOWN_HASH_LENGTH]}" for name, version in protocol.versions.items())
    yield f"{protocol.weights} {protocol.checkpoint[:SHOWN_HASH_LENGTH]}, seed {protocol.seed}; {versions}"
