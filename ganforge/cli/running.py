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
from ganforge.components.spec import SECTIONS, Section
from ganforge.utils.format import duration

if TYPE_CHECKING:
    from ganforge.config import Experiment
    from ganforge.plugins.registry import Registry
    from ganforge.runs.session import Outcome
    from ganforge.training.callbacks import Observer

#: A share of the time that evaluations take which wants a word of explanation.
MUCH = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run", cls=SettingsCommand)(run)
    app.command("resume")(resume)


def _names(section: Section) -> Any:  # noqa: ANN401 - what typer.Option returns
    kind = SECTIONS[section]
    what = {"features": "feature extractor"}.get(kind, kind)
    return typer.Option(
        f"--{section}", metavar="NAME", help=f"The {what}'s name.", autocompletion=complete(kind), show_default=False
    )


def _setting(flag: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - what typer.Option returns
    def values(incomplete: str) -> list[tuple[str, str]]:
        from ganforge.cli.completion import completions  # noqa: PLC0415 - only when a shell asks

        return completions([flag], incomplete)

    return typer.Option(flag, metavar=metavar, help=text, autocompletion=values, show_default=False)


def _presets() -> list[str]:
    from ganforge.config.layers import PRESETS  # noqa: PLC0415 - as above

    return list(PRESETS)


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
    features: Annotated[str | None, _names("features")] = None,
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
        typer.Option(
            "--preset",
            metavar="NAME",
            help="textbook: exactly the textbook's training, in float32.",
            autocompletion=_presets,
        ),
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
    if _follows():
        if not dry_run:
            _follow(registry)
        return
    layers = [] if preset is None else [preset_layer(preset)]
    layers += [Layer(str(path), read_document(path)) for path in config or []]
    layers.append(command_line_layer(settings or []))

    from ganforge.training.run_directory import RunDirectory  # noqa: PLC0415

    if not dry_run:
        RunDirectory.check_new(run_directory)
    with ExitStack() as stack:
        with waiting("assembling the parts, and measuring this machine", quiet=quiet):
            from ganforge.cli.display import make_display  # noqa: PLC0415
            from ganforge.config.resolve import resolve  # noqa: PLC0415 - imports torch, which takes seconds
            from ganforge.runs import launch  # noqa: PLC0415
            from ganforge.runs import setup as prepare  # noqa: PLC0415
            from ganforge.training.distributed import ALONE, joined  # noqa: PLC0415

            processes = ALONE if dry_run else stack.enter_context(joined())
            resolved = resolve(layers, registry)
            prepared = prepare.prepare(resolved, registry, estimate=dry_run, processes=processes)
        if dry_run:
            _show_plan(prepare.plan(prepared), prepared.resolved.notices, json=json)
            return
        experiment = prepared.resolved.experiment
        names = f"{experiment.gen.name} × {experiment.disc.name} × {experiment.loss.name} × {experiment.data.name}"
        display = stack.enter_context(make_display(run_name=names, epochs=experiment.epochs, quiet=quiet))
        outcome = launch.start(prepared, out=run_directory, observer=display)
    _report(outcome, json=json)


def _show_plan(plan: dict[str, Any], notices: list[str], *, json: bool) -> None:
    for line in notices:
        notice(line)
    if json:
        print_json(plan)
    else:
        from ganforge.cli.plan import print_plan  # noqa: PLC0415 - only here

        print_plan(plan)


def _follows() -> bool:
    """Whether torchrun has started this process beside a first one, which decides and shows."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0


def _follow(registry: Registry) -> None:
    """Train beside the first process, and exit as it does."""
    from ganforge.runs.distributed_launch import FirstEndedError, follow  # noqa: PLC0415
    from ganforge.training.distributed import joined  # noqa: PLC0415 - imports torch

    try:
        with joined() as processes:
            outcome = follow(registry, processes)
    except FirstEndedError as error:
        raise typer.Exit(error.exit_code) from None
    if outcome.status == "failed":
        problem(f"process {processes.rank}: {outcome.error}", outcome.fix)
    _leave(outcome)


@answering
def resume(
    run: RunPath,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train to this many epochs in all.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train to this many steps in all.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Another device: auto, cpu, cuda.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Read streamed data with this many processes.")
    ] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on exactly where a run stopped; --epochs or --steps extend it."""
    from ganforge.training.run_directory import RunDirectory  # noqa: PLC0415

    registry = open_registry(plugin, no_plugins=no_plugins)
    if _follows():
        _follow(registry)
        return
    directory = RunDirectory.open(run)

    with waiting("assembling the parts", quiet=quiet):
        from ganforge.cli.display import make_display  # noqa: PLC0415 - imports torch, which takes seconds
        from ganforge.runs import launch  # noqa: PLC0415
        from ganforge.runs.launch import Changes  # noqa: PLC0415
        from ganforge.training.distributed import joined  # noqa: PLC0415

    with ExitStack() as stack:
        processes = stack.enter_context(joined())

        def watch(experiment: Experiment) -> Observer:
            display = make_display(run_name=directory.name, epochs=experiment.epochs, quiet=quiet)
            return stack.enter_context(display)

        changes = Changes(epochs=epochs, steps=steps, device=device, workers=workers)
        outcome = launch.go_on(directory, registry, changes, observer=watch, processes=processes)
    _report(outcome, json=json)


def _report(outcome: Outcome, *, json: bool) -> None:
    """Say how a run ended and how to go on, and exit as it deserves."""
    path = outcome.run.path
    if json:
        print_json(outcome.as_dict())
    else:
        speed = "" if outcome.images_per_second is None else f" · {outcome.images_per_second:,.0f} images/s"
        out().print(
            f"[bold]{escape(str(path))}[/]: {outcome.status} after {outcome.steps:,} steps · "
            f"{outcome.images_seen:,} images · {duration(outcome.elapsed_seconds)}{speed}",
            highlight=False,
        )
    if outcome.evaluation_seconds and not json:
        share = outcome.evaluation_seconds / max(outcome.elapsed_seconds, outcome.evaluation_seconds)
        always = "; the first and the last are always made" if share > MUCH else ""
        took = f"evaluations took {duration(outcome.evaluation_seconds)}, {100 * share:.0f}% of the time{always}"
        err().print(f"[dim]{took}[/]")
    if outcome.status == "finished":
        if not json:
            err().print(
                f"[dim]look: {escape(str(path / 'samples'))} · draw more: ganforge sample {escape(str(path))}[/]"
            )
        return
    if outcome.signal is not None:
        start = "torchrun … -m ganforge" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "ganforge"
        notice(f"saved at step {outcome.steps:,}; go on with: {start} resume {path}")
        _leave(outcome)
    if outcome.cause is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(outcome.cause)
    kept = "the last good checkpoint is kept; " if any(outcome.run.checkpoints.iterdir()) else ""
    if outcome.status == "diverged":
        fix = f"{kept}what helps, in a new run: {outcome.fix}"
    else:
        on = f"{kept}ganforge resume {path} goes on from it" if kept else None
        fix = "\n".join(filter(None, [outcome.fix, on])) or f"ganforge resume {path} starts it again"
    problem(f"{path}: {outcome.error}", fix)
    _leave(outcome)


def _leave(outcome: Outcome) -> None:
    """Exit as the end of a run deserves."""
    if outcome.signal is not None:
        raise typer.Exit(128 + int(outcome.signal))
    raise typer.Exit(0 if outcome.status == "finished" else 1)
