"""`ganforge run` and `ganforge resume`."""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ganforge.cli.options import Json, NoPlugins, Plugins, Quiet, RunPath, complete, open_registry
from ganforge.cli.output import TRACEBACK, answering, err, notice, out, print_json, problem, waiting
from ganforge.cli.settings import SettingsCommand
from ganforge.component import SECTIONS, Section

if TYPE_CHECKING:
    from ganforge.config import Experiment
    from ganforge.engine.observer import Observer
    from ganforge.experiments.launch import Outcome


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run", cls=SettingsCommand)(run)
    app.command("resume")(resume)


def _names(section: Section) -> Any:  # noqa: ANN401 - what typer.Option returns
    kind = SECTIONS[section]
    return typer.Option(
        f"--{section}", metavar="NAME", help=f"The {kind}'s name.", autocompletion=complete(kind), show_default=False
    )


def _setting(flag: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - what typer.Option returns
    return typer.Option(flag, metavar=metavar, help=text, show_default=False)


# The flags before `settings` are written as --set KEY=VALUE before they are parsed (see `SettingsCommand`), so that
# their order counts; they are declared here for the help and for completion.
@answering
def run(
    gen: Annotated[str | None, _names("gen")] = None,
    disc: Annotated[str | None, _names("disc")] = None,
    loss: Annotated[str | None, _names("loss")] = None,
    data: Annotated[str | None, _names("data")] = None,
    penalty: Annotated[list[str] | None, _names("penalty")] = None,
    augment: Annotated[list[str] | None, _names("augment")] = None,
    metric: Annotated[list[str] | None, _names("metric")] = None,
    epochs: Annotated[str | None, _setting("--epochs", "N", "Passes over the training images (20).")] = None,
    steps: Annotated[str | None, _setting("--steps", "N", "Generator updates, instead of epochs.")] = None,
    batch_size: Annotated[str | None, _setting("--batch-size", "N", "Real images in each update (60).")] = None,
    seed: Annotated[str | None, _setting("--seed", "N", "Decides everything random (0).")] = None,
    device: Annotated[str | None, _setting("--device", "NAME", "auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[
        str | None, _setting("--precision", "NAME", "auto, fp32, tf32, bf16; auto measures and takes the fastest.")
    ] = None,
    checkpoint_every: Annotated[
        str | None, _setting("--checkpoint-every", "STEPS", "Steps between checkpoints (an epoch).")
    ] = None,
    sample_every: Annotated[
        str | None, _setting("--sample-every", "STEPS", "Steps between sample grids (an epoch).")
    ] = None,
    evaluate_every: Annotated[
        str | None, _setting("--evaluate-every", "STEPS", "Steps between evaluations (none).")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set anything, such as gen.base_channels=64.", show_default=False
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="textbook: exactly the textbook's training, in float32."),
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; later files win.")
    ] = None,
    run_directory: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run directory; must not exist.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")] = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train: assemble a generator, a discriminator, a loss and data, check that they fit, and train them."""
    from ganforge.config import Layer, command_line_layer, preset_layer, read_document  # noqa: PLC0415

    registry = open_registry(plugin, no_plugins=no_plugins)
    layers = [] if preset is None else [preset_layer(preset)]
    layers += [Layer(str(path), read_document(path)) for path in config or []]
    layers.append(command_line_layer(settings or []))

    from ganforge.runs import RunDirectory  # noqa: PLC0415

    if not dry_run:
        RunDirectory.check_new(run_directory)
    with waiting("assembling the parts, and measuring this machine", quiet=quiet):
        from ganforge.assembly import resolve  # noqa: PLC0415 - imports torch, which takes seconds
        from ganforge.cli.display import make_display  # noqa: PLC0415
        from ganforge.experiments import launch, prepare  # noqa: PLC0415

        prepared = prepare.prepare(resolve(layers, registry), registry, estimate=dry_run)
    if dry_run:
        for line in prepared.resolution.notices:
            notice(line)
        plan = prepare.plan(prepared)
        if json:
            print_json(plan)
        else:
            from ganforge.cli.plan import print_plan  # noqa: PLC0415

            print_plan(plan)
        return
    experiment = prepared.resolution.experiment
    names = f"{experiment.gen.name} × {experiment.disc.name} × {experiment.loss.name} × {experiment.data.name}"
    with make_display(run_name=names, epochs=experiment.epochs, quiet=quiet) as display:
        outcome = launch.start(prepared, out=run_directory, observer=display)
    _report(outcome, json=json)


@answering
def resume(
    run: RunPath,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train to this many epochs in all.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train to this many steps in all.")] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on exactly where a run stopped; --epochs or --steps extend it."""
    from ganforge.runs import RunDirectory  # noqa: PLC0415

    directory = RunDirectory.open(run)
    registry = open_registry(plugin, no_plugins=no_plugins)

    with waiting("assembling the parts", quiet=quiet):
        from ganforge.cli.display import make_display  # noqa: PLC0415 - imports torch, which takes seconds
        from ganforge.experiments import launch  # noqa: PLC0415

    with ExitStack() as stack:

        def watch(experiment: Experiment) -> Observer:
            display = make_display(run_name=directory.name, epochs=experiment.epochs, quiet=quiet)
            return stack.enter_context(display)

        outcome = launch.go_on(directory, registry, epochs=epochs, steps=steps, observer=watch)
    _report(outcome, json=json)


def _report(outcome: Outcome, *, json: bool) -> None:
    """Say how a run ended and how to go on, and exit as it deserves."""
    path = outcome.run.path
    if json:
        print_json(outcome.as_dict())
    else:
        speed = "" if outcome.images_per_second is None else f" · {outcome.images_per_second:,.0f} images/s"
        minutes, seconds = divmod(round(outcome.elapsed_seconds), 60)
        out().print(
            f"[bold]{escape(str(path))}[/]: {outcome.status} after {outcome.steps:,} steps · "
            f"{outcome.images_seen:,} images · {minutes}:{seconds:02d}{speed}",
            highlight=False,
        )
    if outcome.status == "finished":
        if not json:
            err().print(
                f"[dim]look: {escape(str(path / 'samples'))} · draw more: ganforge sample {escape(str(path))}[/]"
            )
        return
    if outcome.signal is not None:
        notice(f"saved at step {outcome.steps:,}; go on with: ganforge resume {path}")
        raise typer.Exit(128 + int(outcome.signal))
    if outcome.cause is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(outcome.cause)
    fix = f"the last good checkpoint is kept; ganforge resume {path} goes on from it"
    if outcome.status == "diverged":
        fix = "the last good checkpoint is kept; a smaller learning rate helps most often: --optimizer.lr 1e-4"
    problem(f"{path}: {outcome.error}", fix)
    raise typer.Exit(1)
