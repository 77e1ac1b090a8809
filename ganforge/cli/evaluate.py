"""Command `ganforge evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from rich.table import Table
from rich.text import Text

from ganforge.cli._completion import split_names
from ganforge.cli._options import (
    CheckpointName,
    Ema,
    Json,
    NoPlugins,
    Plugins,
    Quiet,
    RunPath,
    checkpoint_choice,
    component_option,
    num_samples_option,
    open_registry,
    set_option,
)
from ganforge.cli._output import err, notice, out, print_json
from ganforge.cli._printer import escape
from ganforge.cli._settings import SAMPLING, SettingsCommand, read_setting, sampling_options
from ganforge.components.spec import Section
from ganforge.config.dotted import literal
from ganforge.errors import ConfigError, UsageError
from ganforge.runs.score_table import deviation_of
from ganforge.schemas.rows import Protocol
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.format import format_number

if TYPE_CHECKING:
    from ganforge.components import Split
    from ganforge.runs.evaluate import RunScores

SHOWN_HASH_LENGTH = 12
SPLITS: tuple[Split, ...] = ("test", "train")


class EvaluateCommand(SettingsCommand):
    """Command whose flags may be options of metrics, of features and of sampling."""

    sections: ClassVar[tuple[Section, ...] | None] = ("metric", "features")
    sampling: ClassVar[bool] = True


app = typer.Typer(rich_markup_mode="rich")


# --metric, --features, their options and --sampling.NAME become --set KEY=VALUE before parsing (see `SettingsCommand`);
# --metric and --features are declared for the help.
@app.command(cls=EvaluateCommand)
def evaluate(
    run: RunPath,
    metric: Annotated[
        list[str] | None,
        component_option(
            "metric", "Metrics (fid,kid,precision,recall, and modes for features with classes).", "NAME,NAME"
        ),
    ] = None,
    num_samples: Annotated[
        int | None, num_samples_option("Fakes, and as many real images (10,000, or as many as the split has).")
    ] = None,
    checkpoint: CheckpointName = "newest",
    split: Annotated[
        str | None,
        typer.Option(metavar="test|train", help="Split of the real images (test, if there is one)."),
    ] = None,
    features: Annotated[str | None, component_option("features", "Feature extractor (the run's).")] = None,
    settings: Annotated[
        list[str] | None,
        set_option("An option of a metric, of the features or of sampling, such as metric.kid.subsets=50."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of latents and real images (the run's).")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    ema: Ema = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run's generator against real images, with a protocol of everything that the scores depend on."""
    directory = RunDirectory.open(run)
    choice = checkpoint_choice(checkpoint)
    chosen_split = next((name for name in SPLITS if name == split), None)
    if chosen_split is None and split is not None:
        raise UsageError(f"invalid split {split!r} (available: {', '.join(SPLITS)})")
    names, options, sampling = _read_settings(settings or [])
    registry = open_registry(plugin, no_plugins=no_plugins)
    with _stages(quiet=quiet) as progress:
        progress("reading the run")

        from ganforge.report import report_run  # noqa: PLC0415 - imports Pillow
        from ganforge.runs.evaluate import EvaluationRequest, evaluate_run  # noqa: PLC0415 - imports torch
        from ganforge.runs.trained_run import TrainedRun  # noqa: PLC0415 - imports torch

        trained = TrainedRun(directory, registry, report=report_run)
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
        )
        scores = evaluate_run(trained, request, progress=progress)
    for line in trained.notices:
        notice(line)
    if json:
        print_json(scores.as_dict())
    else:
        _print(scores)


def _read_settings(settings: list[str]) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Return the names of metrics, options of metrics and features, and sampling options. Raises ConfigError."""
    pairs = [read_setting(setting) for setting in settings]
    texts = [text for key, text in pairs if key == "metric"]
    names = split_names(texts)
    if texts and not names:
        raise ConfigError(f"--metric {','.join(texts)}: no name", fix="write --metric NAME,NAME, or leave it out")
    options = {key: literal(text) for key, text in pairs if key != "metric" and not key.startswith(SAMPLING)}
    return names, options, sampling_options(pairs)


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


def _print(scores: RunScores) -> None:
    """Print the scores with their references, and the protocol in a few lines."""
    console = out()
    table = Table("score", "value", "reference", "better", title=f"{escape(str(scores.run))}, step {scores.step:,}")
    for name, value in scores.scores.items():
        deviation = deviation_of(scores.details, scores.protocol, name)
        spread = "" if deviation is None else f" ± {format_number(deviation)}"
        reference = format_number(scores.reference[name]) if name in scores.reference else ""
        direction = "higher" if scores.higher_is_better[name] else "lower"
        table.add_row(escape(name), f"[bold]{format_number(value)}[/]{spread}", reference, direction)
    console.print(table)
    for line in _protocol_lines(scores.protocol):
        console.print(escape(line), style="dim", highlight=False)
    for path in scores.pictures.values():
        console.print(f"picture: [bold]{escape(str(path))}[/]", highlight=False)


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
