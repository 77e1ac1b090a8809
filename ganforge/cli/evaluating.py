"""`ganforge evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli.options import Json, NoPlugins, Plugins, Quiet, RunPath, complete, open_registry
from ganforge.cli.output import answering, err, notice, out, print_json
from ganforge.cli.settings import SettingsCommand
from ganforge.components.spec import Section
from ganforge.errors import ConfigError, UsageError
from ganforge.utils.format import number

if TYPE_CHECKING:
    from ganforge.components import Split
    from ganforge.runs.evaluate import RunScores

SHOWN_OF_A_HASH = 12
SPLITS: tuple[Split, ...] = ("test", "train")


class ScoringCommand(SettingsCommand):
    """A command whose flags may be options of metrics and of features."""

    sections: ClassVar[tuple[Section, ...] | None] = ("metric", "features")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate", cls=ScoringCommand)(evaluate)


# --features, --metric and their options are written as --set KEY=VALUE before they are parsed (see `SettingsCommand`).
@answering
def evaluate(
    run: RunPath,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME",
            help="What is scored (fid,kid,precision,recall, and modes where the features tell classes apart).",
            autocompletion=complete("metric"),
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            "-n",
            min=1,
            metavar="N",
            help="Fakes, and as many real images (10,000, or as many as the split has).",
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(metavar="STEP|newest|best", help="Of which step the generator is.")
    ] = "newest",
    split: Annotated[
        str | None,
        typer.Option(metavar="test|train", help="Whose images are the real ones (test, where there is one)."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What describes images (as the run says).", autocompletion=complete("features")
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of a metric or of the features, such as metric.kid.subsets=50.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Chooses latents and real images (the run's).")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    ema: Annotated[
        bool | None,
        typer.Option("--ema/--no-ema", help="The moving average, or the weights; the average if there is one."),
    ] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run's generator against real images, with a protocol that says what was measured."""
    from ganforge.training.run_directory import RunDirectory  # noqa: PLC0415 - `--help` needs none of it

    directory = RunDirectory.open(run)
    step = _step(checkpoint)
    chosen = next((name for name in SPLITS if name == split), None)
    if chosen is None and split is not None:
        raise UsageError(f"no split {split!r}; there is {' and '.join(SPLITS)}")
    registry = open_registry(plugin, no_plugins=no_plugins)
    with _stages(quiet=quiet) as progress:
        progress("reading the run")

        from ganforge.runs.evaluate import Asked, evaluate_run  # noqa: PLC0415 - imports torch
        from ganforge.runs.trained import TrainedRun  # noqa: PLC0415

        trained = TrainedRun(directory, registry)
        names, options = _named(settings or [])
        asked = Asked(
            metrics=[*(name for words in metrics or [] for name in words.split(",")), *names] or None,
            samples=samples,
            step=step,
            split=chosen,
            features=features,
            options=options,
            seed=seed,
            device=device,
            ema=ema,
        )
        found = evaluate_run(trained, asked, progress=progress)
    for line in trained.notices:
        notice(line)
    if json:
        print_json(found.as_dict())
    else:
        _print(found)


def _step(word: str) -> int | Literal["best"] | None:
    """Return which checkpoint a word means. Raises UsageError for one that means none."""
    if word == "newest":
        return None
    if word == "best":
        return "best"
    if not word.isdecimal():
        raise UsageError(f"no checkpoint {word!r}; give a step, newest or best")
    return int(word)


def _named(settings: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the metrics that settings name, and all others by key. Raises ConfigError for what is no setting."""
    from ganforge.config.dotted import literal  # noqa: PLC0415 - `--help` needs no pydantic

    names: list[str] = []
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"{setting!r} is no setting", fix="write key=value, such as metric.kid.subsets=50")
        if key.strip() == "metric":
            names += text.split(",")
        else:
            options[key.strip()] = literal(text)
    return names, options


@contextmanager
def _stages(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is being done: one line that changes on a terminal, a line for each stage elsewhere; on stderr."""
    console = err()
    if quiet:
        yield lambda stage: None
    elif console.is_terminal:
        with console.status("") as status:
            yield lambda stage: status.update(f"[dim]{escape(stage)} …[/]")
    else:
        yield lambda stage: console.print(escape(f"{stage} …"), style="dim")


def _print(found: RunScores) -> None:
    """Print the scores with their floors, and the protocol in a few lines."""
    console = out()
    table = Table("score", "value", "floor", "better", title=f"{escape(str(found.run))}, step {found.step:,}")
    for name, value in found.scores.items():
        told = found.details.get(name)
        deviation = told.get("deviation") if isinstance(told, dict) else None
        spread = f" ± {number(deviation)}" if isinstance(deviation, int | float) else ""
        floor = number(found.floor[name]) if name in found.floor else ""
        table.add_row(escape(name), f"[bold]{number(value)}[/]{spread}", floor, found.better[name])
    console.print(table)
    for line in _passport_lines(found.protocol):
        console.print(escape(line), style="dim", highlight=False)
    for path in found.pictures.values():
        console.print(f"picture: [bold]{escape(str(path))}[/]", highlight=False)


def _passport_lines(protocol: dict[str, Any]) -> Iterator[str]:
    """Yield what the scores measured, in words."""
    yield (
        f"{protocol['fake_images']:,} fakes and {protocol['real_images']:,} real images: {protocol['split']} split of "
        f"{protocol['data']} ({protocol['fingerprint'][:SHOWN_OF_A_HASH]})"
    )
    if "train_images" in protocol:
        yield f"{protocol['train_images']:,} training images"
    features = protocol["features"]
    if features is not None:
        yield (
            f"features: {features['name']} ({features['distribution']}, {features['weights'][:SHOWN_OF_A_HASH]}): "
            f"{features['preprocessing']}"
        )
    versions = ", ".join(f"{name} {version[:SHOWN_OF_A_HASH]}" for name, version in protocol["versions"].items())
    yield f"{protocol['weights']} {protocol['checkpoint'][:SHOWN_OF_A_HASH]}, seed {protocol['seed']}; {versions}"
