"""Commands `ganforge run` and `ganforge resume`."""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli._completion import completions
from ganforge.cli._options import (
    ConfigFiles,
    Json,
    NoPlugins,
    Plugins,
    PresetName,
    Quiet,
    RunPath,
    component_option,
    open_registry,
    set_option,
)
from ganforge.cli._output import TRACEBACK, err, next_command, notice, out, print_json, problem, waiting
from ganforge.cli._plan import print_plan
from ganforge.cli._printer import escape
from ganforge.cli._settings import SettingsCommand, preset_layers
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.format import format_duration, format_number
from ganforge.utils.torchrun import RankEnvironment

if TYPE_CHECKING:
    from ganforge.config import Experiment
    from ganforge.plugins.registry import Registry
    from ganforge.runs.session import Outcome
    from ganforge.training.callbacks import Callback

#: Fraction of the time for evaluations from which the report explains it.
MAX_EVALUATION_FRACTION = 0.5

app = typer.Typer(rich_markup_mode="rich")


def _setting(flag: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - as above
    def values(incomplete: str) -> list[tuple[str, str]]:
        return completions([flag], incomplete)

    return typer.Option(flag, metavar=metavar, help=text, autocompletion=values, show_default=False)


# The flags before `settings` become --set KEY=VALUE before parsing (see `SettingsCommand`), in their order. They are
# declared for the help and for completion.
@app.command(cls=SettingsCommand)
def run(
    gen: Annotated[str | None, component_option("gen", "Generator (dcgan).")] = None,
    disc: Annotated[str | None, component_option("disc", "Discriminator (dcgan).")] = None,
    loss: Annotated[str | None, component_option("loss", "Adversarial loss (bce).")] = None,
    data: Annotated[str | None, component_option("data", "Dataset (mnist).")] = None,
    latent: Annotated[str | None, component_option("latent", "Distribution of the latents (normal).")] = None,
    term: Annotated[
        list[str] | None,
        component_option("term", "Further term of the loss, such as a gradient penalty; repeatable (none)."),
    ] = None,
    augment: Annotated[list[str] | None, component_option("augment", "Augmentation; repeatable (none).")] = None,
    optimizer: Annotated[
        str | None,
        component_option("optimizer", "Optimizer (adam); --optimizer.gen, --optimizer.disc for one network."),
    ] = None,
    schedule: Annotated[
        str | None, component_option("optimizer.schedule", "Schedule of the learning rate (none).")
    ] = None,
    features: Annotated[
        str | None, component_option("features", "Feature extractor of metrics (random-convolutions).")
    ] = None,
    metric: Annotated[list[str] | None, component_option("metric", "Metric; repeatable (sliced-wasserstein).")] = None,
    epochs: Annotated[str | None, _setting("--epochs", "N", "Passes over the training images (20).")] = None,
    steps: Annotated[str | None, _setting("--steps", "N", "Generator updates, instead of epochs.")] = None,
    batch_size: Annotated[
        str | None, _setting("--batch-size", "N", "Real images in each discriminator update (60).")
    ] = None,
    seed: Annotated[str | None, _setting("--seed", "N", "Seed of all random numbers (0).")] = None,
    device: Annotated[str | None, _setting("--device", "NAME", "auto, cpu, cuda, cuda:1, mps.")] = None,
    precision: Annotated[
        str | None,
        _setting(
            "--precision",
            "NAME",
            "auto, fp32, tf32, bf16, fp16; auto chooses by the hardware and the size of the networks.",
        ),
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
    settings: Annotated[list[str] | None, set_option("Any setting, such as gen.base_channels=64.")] = None,
    preset: PresetName = None,
    config: ConfigFiles = None,
    run_directory: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Run directory; must not exist.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")] = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a generator and a discriminator, after a check that all components fit."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    if _is_other_rank():
        if not dry_run:
            _run_rank(registry)
        return
    layers = [*preset_layers(preset, config, registry), command_line_layer(settings or [])]

    if not dry_run:
        RunDirectory.check_new(run_directory)
    with ExitStack() as stack:
        with waiting("building the components", quiet=quiet):
            from ganforge.cli._display import make_display  # noqa: PLC0415 - imports torch, which takes seconds
            from ganforge.report import report_run  # noqa: PLC0415 - as above
            from ganforge.runs.launch import start_run  # noqa: PLC0415 - as above
            from ganforge.runs.plan import plan  # noqa: PLC0415 - as above
            from ganforge.runs.setup import prepare  # noqa: PLC0415 - as above
            from ganforge.training.distributed import SINGLE_PROCESS, init_distributed  # noqa: PLC0415 - as above

            dist = SINGLE_PROCESS if dry_run else stack.enter_context(init_distributed())
            resolved = resolve(layers, registry)
            prepared = prepare(resolved, registry, dist=dist)
        if quiet:  # problems only; run.json has the data
            about_data = prepared.gan.dataset.notices
            prepared.resolved.notices[:] = [line for line in prepared.resolved.notices if line not in about_data]
        if dry_run:
            _show_plan(plan(prepared), prepared.resolved.notices, json=json)
            return
        experiment = prepared.resolved.experiment
        names = f"{experiment.gen.name} × {experiment.disc.name} × {experiment.loss.name} × {experiment.data.name}"
        display = stack.enter_context(make_display(run_name=names, epochs=experiment.epochs, quiet=quiet))
        outcome = start_run(prepared, out=run_directory, callback=display, report=report_run)
    _report(outcome, registry, json=json)


def _show_plan(plan: dict[str, Any], notices: list[str], *, json: bool) -> None:
    for line in notices:
        notice(line)
    if json:
        print_json(plan)
    else:
        print_plan(plan)


def _is_other_rank() -> bool:
    """Return whether torchrun started this process with a rank other than the main one."""
    return RankEnvironment.read().rank > 0


def _run_rank(registry: Registry) -> None:
    """Train on a rank other than the main one, and exit with the same code."""
    from ganforge.runs.session import MainProcessExited, run_rank  # noqa: PLC0415 - imports torch
    from ganforge.training.distributed import init_distributed  # noqa: PLC0415 - imports torch

    try:
        with init_distributed() as dist:
            outcome = run_rank(registry, dist)
    except MainProcessExited as error:
        raise typer.Exit(error.exit_code) from None
    if outcome.status == "failed":
        problem(f"rank {dist.rank}: {outcome.error}", outcome.fix)
    _exit(outcome)


def resume(
    run: RunPath,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Total number of epochs.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Total number of steps.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Device: auto, cpu, cuda (the run's).")] = None,
    workers: Annotated[int | None, typer.Option(min=0, metavar="N", help="Processes that read streamed data.")] = None,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Resume a run exactly where it stopped; --epochs or --steps extend it."""
    registry = open_registry(plugin, no_plugins=no_plugins)
    if _is_other_rank():
        _run_rank(registry)
        return
    directory = RunDirectory.open(run)

    with waiting("building the components", quiet=quiet):
        from ganforge.cli._display import make_display  # noqa: PLC0415 - imports torch, which takes seconds
        from ganforge.report import report_run  # noqa: PLC0415 - as above
        from ganforge.runs.launch import ResumeOverrides, resume_run  # noqa: PLC0415 - as above
        from ganforge.training.distributed import init_distributed  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        dist = stack.enter_context(init_distributed())

        def open_display(experiment: Experiment) -> Callback:
            display = make_display(run_name=directory.name, epochs=experiment.epochs, quiet=quiet)
            return stack.enter_context(display)

        overrides = ResumeOverrides(epochs=epochs, steps=steps, device=device, workers=workers)
        outcome = resume_run(directory, registry, overrides, callback=open_display, dist=dist, report=report_run)
    _report(outcome, registry, json=json)


def _program() -> str:
    """Return the program that started this process, as text of the shell."""
    environment = RankEnvironment.read()
    if environment.world_size == 1:
        return "ganforge"
    local_size = environment.local_world_size
    machines = f"--nproc-per-node {local_size}" if local_size == environment.world_size else "…"  # needs more options
    return f"torchrun {machines} -m ganforge"


def _report(outcome: Outcome, registry: Registry, *, json: bool) -> None:
    """Print the end of a run and the next command, and exit unless it finished."""
    path = outcome.run.path
    resume = next_command("resume", path, registry=registry, program=_program())
    if json:
        print_json(outcome.as_dict())
    else:
        speed = "" if outcome.images_per_second is None else f" · {outcome.images_per_second:,.0f} images/s"
        out().print(
            f"[bold]{escape(path)}[/]: {outcome.status} after {outcome.steps:,} steps · "
            f"{outcome.images_seen:,} images · {format_duration(outcome.elapsed_seconds)}{speed}",
            highlight=False,
        )
    if outcome.scores is not None and not json:
        scores, real = outcome.scores, outcome.scores.reference
        parts = [
            f"{name} {format_number(value)} (real images: {format_number(real.get(name))})"
            for name, value in scores.scores.items()
        ]
        out().print(escape(" · ".join(parts)), highlight=False)
    if outcome.evaluation_seconds and not json:
        fraction = outcome.evaluation_seconds / max(outcome.elapsed_seconds, outcome.evaluation_seconds)
        suffix = "; the first and the last are always made" if fraction > MAX_EVALUATION_FRACTION else ""
        duration = format_duration(outcome.evaluation_seconds)
        err().print(f"[dim]evaluations took {duration}, {100 * fraction:.0f}% of the time{suffix}[/]")
    if outcome.status == "finished":
        if not json:
            more = escape(next_command("sample", path, registry=registry))
            err().print(f"[dim]samples: {escape(path / 'samples')} · more: {more}[/]")
        return
    if outcome.signal is not None:
        notice(f"saved at step {outcome.steps:,}; resume with: {resume}")
        _exit(outcome)
    if outcome.cause is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(outcome.cause)
    kept = "the last good checkpoint is kept; " if any(outcome.run.checkpoints.iterdir()) else ""
    if outcome.status == "diverged":
        fix = f"{kept}in a new run: {outcome.fix}"
    else:
        following = f"{kept}continue from it: {resume}" if kept else None
        fix = "\n".join(filter(None, [outcome.fix, following])) or f"start it again: {resume}"
    problem(f"{path}: {outcome.error}", fix)
    _exit(outcome)


def _exit(outcome: Outcome) -> None:
    """Exit with the code of an outcome."""
    if outcome.signal is not None:
        raise typer.Exit(128 + int(outcome.signal))
    raise typer.Exit(0 if outcome.status == "finished" else 1)
