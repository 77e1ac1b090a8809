"""Commands `ganforge run` and `ganforge resume`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from ganforge.cli import _options as opt
from ganforge.cli._output import TRACEBACK, err, next_command, notice, out, print_json, problem, waiting
from ganforge.cli._printer import escape
from ganforge.cli._settings import SettingsCommand, preset_layers
from ganforge.config import command_line_layer
from ganforge.config.dotted import flatten
from ganforge.config.resolve import resolve
from ganforge.config.resolved import DEFAULT
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.format import format_count, format_duration, format_number, format_value
from ganforge.utils.torchrun import RankEnvironment

if TYPE_CHECKING:
    from ganforge.config import Experiment
    from ganforge.plugins.registry import Registry
    from ganforge.runs.session import Outcome
    from ganforge.training.callbacks import Callback

#: Fraction of the time for evaluations from which the report explains it.
MAX_EVALUATION_FRACTION = 0.5

app = typer.Typer()


# The flags before `settings` become --set KEY=VALUE before parsing (see `SettingsCommand`), in their order. They are
# declared for the help and for completion.
@app.command(cls=SettingsCommand)
def run(
    gen: Annotated[str | None, opt.setting_option("gen", "Generator (dcgan).")] = None,
    disc: Annotated[str | None, opt.setting_option("disc", "Discriminator (dcgan).")] = None,
    loss: Annotated[str | None, opt.setting_option("loss", "Adversarial loss (bce).")] = None,
    data: Annotated[str | None, opt.setting_option("data", "Dataset (mnist).")] = None,
    latent: Annotated[str | None, opt.setting_option("latent", "Distribution of the latents (normal).")] = None,
    term: Annotated[
        list[str] | None,
        opt.setting_option("term", "Further term of the loss, such as a gradient penalty; repeatable (none)."),
    ] = None,
    augment: Annotated[list[str] | None, opt.setting_option("augment", "Augmentation; repeatable (none).")] = None,
    optimizer: Annotated[
        str | None,
        opt.setting_option("optimizer", "Optimizer (adam); --optimizer.gen, --optimizer.disc for one network."),
    ] = None,
    schedule: Annotated[
        str | None, opt.setting_option("optimizer.schedule", "Schedule of the learning rate (none).")
    ] = None,
    features: Annotated[
        str | None, opt.setting_option("features", "Feature extractor of metrics (random-convolutions).")
    ] = None,
    metric: Annotated[
        list[str] | None, opt.setting_option("metric", "Metric; repeatable (sliced-wasserstein).")
    ] = None,
    epochs: Annotated[str | None, opt.setting_option("epochs", "Passes over the training images (20).", "N")] = None,
    steps: Annotated[str | None, opt.setting_option("steps", "Generator updates, instead of epochs.", "N")] = None,
    batch_size: Annotated[
        str | None, opt.setting_option("batch-size", "Real images in each discriminator update (60).", "N")
    ] = None,
    seed: Annotated[str | None, opt.setting_option("seed", "Seed of all random numbers (0).", "N")] = None,
    device: Annotated[str | None, opt.setting_option("device", "auto, cpu, cuda, cuda:1, mps (auto).", "NAME")] = None,
    precision: Annotated[
        str | None,
        opt.setting_option(
            "precision",
            "fp32, tf32, bf16, fp16, or auto, by the hardware and the size of the networks (auto).",
            "NAME",
        ),
    ] = None,
    checkpoint_every: Annotated[
        str | None, opt.setting_option("checkpoint-every", "Steps between checkpoints (an epoch).", "STEPS")
    ] = None,
    sample_every: Annotated[
        str | None, opt.setting_option("sample-every", "Steps between sample grids (an epoch).", "STEPS")
    ] = None,
    evaluate_every: Annotated[
        str | None, opt.setting_option("evaluate-every", "Steps between evaluations (none).", "STEPS")
    ] = None,
    settings: Annotated[list[str] | None, opt.set_option("Any setting, such as gen.base_channels=64.")] = None,
    preset: opt.PresetName = None,
    config: opt.ConfigFiles = None,
    run_directory: Annotated[Path | None, opt.out_option("DIR", "Run directory; must not exist.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")] = False,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a generator and a discriminator, after a check that all components fit."""
    registry = opt.open_registry(plugin, no_plugins=no_plugins)
    if _is_other_rank():
        if not dry_run:
            _run_rank(registry)
        return
    layers = [*preset_layers(preset, config, registry), command_line_layer(settings or [])]

    if not dry_run:
        RunDirectory.check_new(run_directory)
    with ExitStack() as stack:
        with waiting("building the components", quiet=quiet):
            from ganforge.cli._display import make_display
            from ganforge.report import report_run
            from ganforge.runs.launch import start_run
            from ganforge.runs.plan import plan
            from ganforge.runs.setup import prepare
            from ganforge.training.distributed import SINGLE_PROCESS, init_distributed

            dist = SINGLE_PROCESS if dry_run else stack.enter_context(init_distributed())
            resolved = resolve(layers, registry)
            prepared = prepare(resolved, registry, dist=dist)
        if quiet:  # problems only; run.json has the data
            about_data = prepared.gan.dataset.notices
            prepared.resolved.notices[:] = [line for line in prepared.resolved.notices if line not in about_data]
        if dry_run:
            notice(*prepared.resolved.notices)
            (print_json if json else _print_plan)(plan(prepared))
            return
        experiment = prepared.resolved.experiment
        names = f"{experiment.gen.name} × {experiment.disc.name} × {experiment.loss.name} × {experiment.data.name}"
        display = stack.enter_context(make_display(run_name=names, epochs=experiment.epochs, quiet=quiet))
        outcome = start_run(prepared, out=run_directory, callback=display, report=report_run)
    _report(outcome, registry, json=json)


def _print_plan(plan: Mapping[str, Any]) -> None:
    """Print the plan of `--dry-run`: components, settings that are not default, data, sizes, device and time."""
    console = out()
    plain = partial(Table, box=None, pad_edge=False, title_justify="left")
    table = plain("component", "name", "from", Column("chosen by", overflow="fold"), title="Components")
    for item in plan["components"]:
        source = f"{item['distribution']} {item['version']}"
        table.add_row(item["for"], f"[bold]{escape(item['name'])}[/]", escape(source), escape(item["origin"]))
    console.print(table)
    heads = Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("origin", overflow="fold")
    settings = plain(*heads, title="Settings")  # a key stays whole: it is a flag
    values = dict(flatten(plan["experiment"]))
    changed = sorted(key for key in values if plan["origins"].get(key, DEFAULT) != DEFAULT)
    for key in changed:
        settings.add_row(escape(key), escape(format_value(values[key])), escape(plan["origins"][key]))
    console.print(settings)
    defaults = format_count(len(values) - len(changed), "other setting")
    console.print(f"[dim]{defaults} at the default; with --json, the plan has all[/]")
    data, count = plan["data"], plan["parameters"]
    sizes = ", ".join(f"{size:,} {split}" for split, size in data["sizes"].items())
    console.print(f"data        {data['image']} pixels; {sizes}; {escape(data['source'])}")
    console.print(f"parameters  generator {count['generator']:,}, discriminator {count['discriminator']:,}")
    reason = plan["origins"].get("precision", DEFAULT)
    console.print(f"device      {plan['device']}, precision {plan['precision']} ({escape(reason)})")
    console.print(
        f"time        {plan['seconds_per_step'] * 1000:.1f} ms a step; {plan['steps_per_epoch']:,} steps and about "
        f"{format_duration(plan['seconds_per_epoch'])} an epoch; {plan['total_steps']:,} steps and about "
        f"{format_duration(plan['seconds_total'])} in all"
    )


def _is_other_rank() -> bool:
    """Return whether torchrun started this process with a rank other than the main one."""
    return RankEnvironment.read().rank > 0


def _run_rank(registry: Registry) -> None:
    """Train on a rank other than the main one, and exit with the same code."""
    from ganforge.runs.session import MainProcessExited, run_rank
    from ganforge.training.distributed import init_distributed

    try:
        with init_distributed() as dist:
            outcome = run_rank(registry, dist)
    except MainProcessExited as error:
        raise typer.Exit(error.exit_code) from None
    if outcome.status == "failed":
        problem(f"rank {dist.rank}: {outcome.error}", outcome.fix)
    _exit(outcome)


def resume(
    run: opt.RunPath,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Total number of epochs.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Total number of steps.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Device: auto, cpu, cuda (the run's).")] = None,
    workers: Annotated[int | None, typer.Option(min=0, metavar="N", help="Processes that read streamed data.")] = None,
    data_path: Annotated[
        str | None, typer.Option("--data.path", metavar="PATH", help="New place of data that has moved.")
    ] = None,
    data_root: Annotated[
        str | None, typer.Option("--data.root", metavar="DIR", help="Folder that holds the data, if it has moved.")
    ] = None,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Resume a run exactly where it stopped; --epochs or --steps extend it."""
    registry = opt.open_registry(plugin, no_plugins=no_plugins)
    if _is_other_rank():
        _run_rank(registry)
        return
    directory = RunDirectory.open(run)

    with waiting("building the components", quiet=quiet):
        from ganforge.cli._display import make_display
        from ganforge.report import report_run
        from ganforge.runs.launch import ResumeOverrides, resume_run
        from ganforge.training.distributed import init_distributed

    with ExitStack() as stack:
        dist = stack.enter_context(init_distributed())

        def open_display(experiment: Experiment) -> Callback:
            display = make_display(run_name=directory.name, epochs=experiment.epochs, quiet=quiet)
            return stack.enter_context(display)

        moved = {name: value for name, value in (("path", data_path), ("root", data_root)) if value is not None}
        overrides = ResumeOverrides(epochs=epochs, steps=steps, device=device, workers=workers, data=moved)
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


def _print_outcome(outcome: Outcome, registry: Registry) -> None:
    """Print the end of a run, its scores, and what to do with it if it finished."""
    path = outcome.run.path
    speed = "" if outcome.images_per_second is None else f" · {outcome.images_per_second:,.0f} images/s"
    out().print(
        f"[bold]{escape(path)}[/]: {outcome.status} after {outcome.steps:,} steps · "
        f"{outcome.images_seen:,} images · {format_duration(outcome.elapsed_seconds)}{speed}"
    )
    if outcome.scores is not None:
        scores, real = outcome.scores.scores, outcome.scores.reference
        parts = (
            f"{name} {format_number(value)} (real images: {format_number(real.get(name))})"
            for name, value in scores.items()
        )
        out().print(escape(" · ".join(parts)))
    if outcome.evaluation_seconds:
        fraction = outcome.evaluation_seconds / max(outcome.elapsed_seconds, outcome.evaluation_seconds)
        suffix = "; the first and the last are always made" if fraction > MAX_EVALUATION_FRACTION else ""
        duration = format_duration(outcome.evaluation_seconds)
        err().print(f"[dim]evaluations took {duration}, {100 * fraction:.0f}% of the time{suffix}[/]")
    if outcome.status == "finished":
        more = escape(next_command("sample", path, registry=registry))
        err().print(f"[dim]samples: {escape(path / 'samples')} · more: {more}[/]")


def _report(outcome: Outcome, registry: Registry, *, json: bool) -> None:
    """Print the end of a run and the next command, and exit unless it finished."""
    if json:
        print_json(outcome.as_dict())
    else:
        _print_outcome(outcome, registry)
    if outcome.status == "finished":
        return
    path = outcome.run.path
    resume = next_command("resume", path, registry=registry, program=_program())
    if outcome.signal is not None:
        notice(f"saved at step {outcome.steps:,}; resume with: {resume}")
        _exit(outcome)
    if outcome.cause is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(outcome.cause)
    saved = outcome.run.checkpoints.is_dir() and any(outcome.run.checkpoints.iterdir())
    kept = "the last good checkpoint is kept; " if saved else ""
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
