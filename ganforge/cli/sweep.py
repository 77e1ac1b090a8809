"""Command `ganforge sweep`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from rich.table import Table

from ganforge.cli import _options as opt
from ganforge.cli._output import err, next_command, notice, out, print_json, problem, waiting
from ganforge.cli._printer import escape, print_table
from ganforge.cli._settings import SettingsCommand, preset_layers
from ganforge.cli._sweep_display import SweepDisplay
from ganforge.errors import UsageError
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.leaderboard import CAPTION
from ganforge.sweep.parse import add_objective_metric, parse_layers, parse_scoring, parse_search, parse_seeds
from ganforge.sweep.trials import TrialConfig, format_choices, merge_configs
from ganforge.utils.signals import Interruption

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry
    from ganforge.sweep.leaderboard import Leaderboard

DEFAULT_SEEDS = "3"


class SweepCommand(SettingsCommand):
    """Command whose flags may be settings of all trials, except those of the scores."""

    own: ClassVar[frozenset[str]] = frozenset({"metric", "num_samples"})


app = typer.Typer()


# The four names, and every setting of `run`, become --set KEY=VALUE before parsing (see `SettingsCommand`); the names
# are declared for the help and for completion.
@app.command(cls=SweepCommand)
def sweep(
    gen: Annotated[str | None, opt.setting_option("gen", "Names of generators.", "NAME,NAME")] = None,
    disc: Annotated[str | None, opt.setting_option("disc", "Names of discriminators.", "NAME,NAME")] = None,
    loss: Annotated[str | None, opt.setting_option("loss", "Names of losses.", "NAME,NAME")] = None,
    data: Annotated[str | None, opt.setting_option("data", "Names of datasets.", "NAME,NAME")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|N,N", help="3: seeds 0, 1, 2 (the default); 3,5,8: those; 3,: seed 3.")
    ] = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", metavar="KEY=VALUE,VALUE", help="Try each value, such as gen.base_channels=32,64; repeatable."
        ),
    ] = None,
    search: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Let Optuna choose N configurations, instead of all.")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW..HIGH[:log|:int]", help="Range of a search: optimizer.lr=1e-5..1e-2:log."),
    ] = None,
    objective: Annotated[str | None, typer.Option(metavar="SCORE", help="Score that a search improves (fid).")] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Storage of a search, for several machines (a journal in DIR).")
    ] = None,
    metric: Annotated[
        list[str] | None,
        opt.setting_option(
            "metric",
            "Metrics of the leaderboard, as in evaluate; --set metric=NAME is for evaluations during training.",
            "NAME,NAME",
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        opt.num_samples_option(
            "Fakes for the leaderboard, as in evaluate; --set num_samples=N is for evaluations during training."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, opt.set_option("As in run, for all trials; so is every other flag of run.")
    ] = None,
    preset: opt.PresetName = None,
    config: opt.ConfigFiles = None,
    folder: Annotated[Path | None, opt.out_option("DIR", "Folder of all runs (runs/sweep-…).")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue a sweep; the same command continues it, too.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Runs at the same time.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, list the trials, write nothing.")
    ] = False,
    plugin: opt.Plugins = None,
    no_plugins: opt.NoPlugins = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train every combination of components and settings with several seeds, score each run, and rank them."""
    if resume is not None:
        others = (settings, seeds, sweeps, search, space, objective, storage, metric, num_samples)
        sweep_config = SweepConfig.read(resume)
        if any((*others, preset, config, folder, no_plugins and not sweep_config.no_plugins)):
            raise UsageError(
                f"--resume {resume} continues a sweep unchanged, so it cannot be combined with other settings",
                fix="leave them out; to extend the sweep, give the whole command again with --out",
            )
        folder = resume
        _check_plugins(resume, sweep_config, plugin or [])
        registry = opt.open_registry(plugin, no_plugins=sweep_config.no_plugins)
    else:
        registry = opt.open_registry(plugin, no_plugins=no_plugins)
        axes, base = parse_layers(settings or [], sweeps or [], preset_layers(preset, config, registry))
        sweep_config = SweepConfig(
            axes=axes,
            base=base,
            seeds=parse_seeds(DEFAULT_SEEDS if seeds is None else seeds),
            plugins=tuple(str(path.resolve()) for path in plugin or []),
            no_plugins=no_plugins,
            scoring=parse_scoring(metric or [], num_samples),
            search=parse_search(search, space or [], objective, storage),
        )
    if sweep_config.search is not None:
        sweep_config = add_objective_metric(sweep_config, sweep_config.search.objective, registry)
    if dry_run:
        _show_plan(sweep_config, registry, folder, json=json)
        return
    configs: list[TrialConfig] = []
    with ExitStack() as stack:
        with waiting("checking every configuration", quiet=quiet):
            from ganforge.sweep.sweep import Sweep

            prepared = Sweep.prepare(sweep_config, registry, folder, configs.append)
        _print_notices(configs)
        path = prepared.directory.path
        if not quiet:
            suffix = "" if jobs == 1 else f", {jobs} at the same time"
            err().print(f"[dim]{prepared.count:,} runs{suffix}, in {escape(path)}[/]")
        display = stack.enter_context(SweepDisplay(count=prepared.count, jobs=jobs, quiet=quiet))
        interruption = stack.enter_context(Interruption())
        try:
            leaderboard = prepared.run(jobs, display, interruption)
        except KeyboardInterrupt:  # a second signal; the runs got both, and save what they can
            notice(f"resume with: {next_command('sweep', '--resume', path, registry=registry)}")
            raise
    _print_leaderboard(leaderboard, path, json=json)
    if interruption.received is not None:
        count = len(leaderboard.unfinished)
        remaining = f"{count} run{' is' if count == 1 else 's are'} unfinished"
        notice(f"{remaining}; resume with: {next_command('sweep', '--resume', path, registry=registry)}")
        raise typer.Exit(128 + interruption.received)
    raise typer.Exit(1 if any(trial.status != "diverged" for trial in leaderboard.unscored) else 0)


def _check_plugins(folder: Path, config: SweepConfig, plugins: Sequence[Path]) -> None:
    """Raise UsageError unless the user names the local plugins of a sweep: a file in its folder runs no code."""
    if {str(path.resolve()) for path in plugins} != set(config.plugins):
        options = [word for path in config.plugins for word in ("--plugin", path)]
        used = f"local plugins: {', '.join(config.plugins)}" if config.plugins else "no local plugins"
        raise UsageError(f"{folder} uses {used}", fix=next_command("sweep", "--resume", folder, *options))


def _print_notices(configs: Sequence[TrialConfig]) -> None:
    """Print the notices of all configurations once, and the number of those that do not fit."""
    notices = [set(config.notices) for config in configs if config.experiment is not None]
    for line in dict.fromkeys(line for config in configs for line in config.notices):
        # An unused setting matters only if no configuration uses it.
        if "is kept but not used" not in line or all(line in lines for lines in notices):
            notice(line)
    unfit = [config for config in configs if config.experiment is None]
    if unfit:
        more = "" if len(unfit) == 1 else f" (and {len(unfit) - 1} more; the reasons follow at the end)"
        notice(f"not applicable: {unfit[0].label}: {unfit[0].reason}{more}")


def _show_plan(sweep_config: SweepConfig, registry: Registry, folder: Path | None, *, json: bool) -> None:
    """Print the configurations, and the folder of their runs."""
    from ganforge.sweep.sweep import plan

    if sweep_config.search is not None:
        raise UsageError("a search has no plan: it chooses while it runs", fix="leave --dry-run out")
    directory, planned = plan(sweep_config, registry, folder, lambda _: None)
    configs = merge_configs(planned)
    if json:
        documents = [
            {"config": item.choices, "fits": item.experiment is not None, "reason": item.reason, "fix": item.fix}
            for item in configs
        ]
        print_json({"out": str(directory.path), "seeds": sweep_config.seeds, "configs": documents})
        return
    seeds = ", ".join(map(str, sweep_config.seeds))
    table = Table("configuration", "seeds", title=escape(directory.path))
    for config in configs:
        table.add_row(
            escape(config.label), seeds if config.experiment is not None else f"[yellow]{escape(config.reason)}[/]"
        )
    out().print(table)


def _print_leaderboard(leaderboard: Leaderboard, path: Path, *, json: bool) -> None:
    """Print the tables, the configurations that do not fit, and on stderr errors, alerts and notes."""
    for trial in leaderboard.unscored:
        problem(f"{path / trial.run}: {trial.status}: {trial.error}")
    for alert in leaderboard.health:
        notice(f"{path / alert.run}: {alert.line()}")
    notice(*leaderboard.notes)
    if json:
        print_json({"sweep": str(path), **leaderboard.as_dict()})
        return
    console = out()
    for scores in leaderboard.tables:
        console.print(f"[bold]{escape(scores.title)}[/]")
        heads, *rows = scores.cells(len(leaderboard.seeds))
        numbers = range(len(heads) - len(scores.higher_is_better), len(heads))
        more = f"a wider terminal, --json or {path / 'leaderboard.md'} show them"
        print_table(console, heads, rows, numbers=numbers, more=more)
    if leaderboard.inapplicable:
        table = Table("not applicable", "reason", title_justify="left")
        for item in leaderboard.inapplicable:
            table.add_row(escape(format_choices(item.config)), escape(item.reason))
        console.print(table)
    if leaderboard.tables:
        err().print(f"[dim]{CAPTION}; ↓ lower is better. Full leaderboard: {escape(path / 'leaderboard.md')}[/]")
