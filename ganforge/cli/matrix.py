"""`ganforge matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ganforge.cli.matrix_display import MatrixDisplay
from ganforge.cli.options import Json, NoPlugins, Plugins, Quiet, complete, open_registry
from ganforge.cli.output import answering, err, notice, out, print_json, problem, waiting
from ganforge.cli.settings import SettingsCommand
from ganforge.components.spec import SECTIONS, Section
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry
    from ganforge.sweep.config import Request
    from ganforge.sweep.leaderboard import Leaderboard
    from ganforge.sweep.trials import Combination

SEEDS = "3"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("matrix", cls=SettingsCommand)(matrix)


def _names(section: Section) -> Any:  # noqa: ANN401 - what typer.Option returns
    kind = SECTIONS[section]
    text = f"Names of {kind}s." if kind != "loss" else "Names of losses."
    text = "Names of data sets." if kind == "dataset" else text
    flag, completer = f"--{section}", complete(kind)
    return typer.Option(flag, metavar="NAME,NAME", help=text, autocompletion=completer, show_default=False)


# The four names, and every setting of `run`, are written as --set KEY=VALUE before they are parsed (see
# `SettingsCommand`); the names are declared here for the help and for completion.
@answering
def matrix(
    gen: Annotated[str | None, _names("gen")] = None,
    disc: Annotated[str | None, _names("disc")] = None,
    loss: Annotated[str | None, _names("loss")] = None,
    data: Annotated[str | None, _names("data")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|N,N", help="3: seeds 0, 1, 2 (the default); 3,5,8: those; 3,: that one.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE", help="Try each value, such as gen.base_channels=32,64; may be repeated."
        ),
    ] = None,
    search: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Let Optuna choose N trials, instead of trying everything.")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW..HIGH[:log|:int]", help="What a search may choose, such as optimizer.lr=1e-5..1e-2:log."
        ),
    ] = None,
    objective: Annotated[str | None, typer.Option(metavar="SCORE", help="What a search improves (fid).")] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where a search keeps its trials, for several machines (a journal in DIR)."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="What is scored, as evaluate has it.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Fakes for the scores, as evaluate has it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As for run, for all cells; so is every other setting of run."),
    ] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="As for run, for all cells.")] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", metavar="FILE", help="Settings in TOML, for all cells.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder of all runs (runs/matrix-…).")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with a matrix as it was asked for; so does the same command."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Runs at the same time.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, list the cells, write nothing.")
    ] = False,
    plugin: Plugins = None,
    no_plugins: NoPlugins = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every combination that fits with several seeds, score each run, and rank them."""
    with waiting("reading what is asked", quiet=quiet):
        from ganforge.sweep.config import Request  # noqa: PLC0415
        from ganforge.sweep.parse import (  # noqa: PLC0415 - torch
            read_layers,
            read_scoring,
            read_search,
            read_seeds,
        )

    if resume is not None:
        anew = [settings, seeds, sweep, search, space, objective, storage, metrics, samples, preset, config, folder]
        if any(one not in (None, []) for one in anew) or plugin or no_plugins:
            raise UsageError(
                f"--resume {resume} goes on with what was asked, so nothing else can be asked beside it",
                fix="leave the rest out; or, to add to it, give the whole command again with --out",
            )
        request, folder = Request.read(resume), resume
    else:
        axes, base = read_layers(settings or [], sweep or [], preset, config or [])
        request = Request(
            axes=axes,
            base=base,
            seeds=read_seeds(SEEDS if seeds is None else seeds),
            plugins=tuple(str(path.resolve()) for path in plugin or []),
            no_plugins=no_plugins,
            scoring=read_scoring(metrics, samples),
            search=read_search(search, space or [], objective, storage),
        )
    registry = open_registry([Path(path) for path in request.plugins], no_plugins=request.no_plugins)
    if request.search is not None:
        from ganforge.sweep.search_space import with_metric  # noqa: PLC0415 - as above

        request = with_metric(request, request.search.objective, registry)
    if dry_run:
        _show_plan(request, registry, folder, json=json)
        return
    planned: list[Combination] = []
    with ExitStack() as stack:
        with waiting("checking every combination", quiet=quiet):
            from ganforge.sweep.matrix import Matrix  # noqa: PLC0415
            from ganforge.training.signals import Interruption  # noqa: PLC0415 - as above

            prepared = Matrix.prepare(request, registry, folder, planned.append)
        _tell(planned)
        if not quiet:
            at_once = "" if jobs == 1 else f", {jobs} at the same time"
            err().print(f"[dim]{prepared.count:,} runs{at_once}, in {escape(str(prepared.directory.path))}[/]")
        display = stack.enter_context(MatrixDisplay(count=prepared.count, jobs=jobs, quiet=quiet))
        interruption = stack.enter_context(Interruption())
        try:
            found = prepared.work(jobs, display, interruption)
        except (KeyboardInterrupt, SystemExit):  # the second signal; the runs have heard both, and save what they have
            notice(f"go on with: ganforge matrix --resume {prepared.directory.path}")
            raise
    _report(found, prepared.directory.path, json=json)
    if interruption.received is not None:
        count = len(found.open_cells)
        left = f"{count} run{' is' if count == 1 else 's are'} left"
        notice(f"{left}; go on with: ganforge matrix --resume {prepared.directory.path}")
        raise typer.Exit(128 + interruption.received)
    raise typer.Exit(1 if any(result.status != "diverged" for result in found.unscored) else 0)


def _tell(planned: Sequence[Combination]) -> None:
    """Say once what should be read before anything is trained: notices, and how much does not fit."""
    told = [set(one.notices) for one in planned if one.experiment is not None]
    for line in dict.fromkeys(line for one in planned for line in one.notices):
        if "is kept but not used" not in line or all(line in lines for lines in told):  # another combination uses it
            notice(line)
    unfit = [one for one in planned if one.experiment is None]
    if unfit:
        words = f"{unfit[0].label}: {unfit[0].reason}"
        more = "" if len(unfit) == 1 else f" (and {len(unfit) - 1} more; the reasons follow at the end)"
        notice(f"not applicable: {words}{more}")


def _show_plan(request: Request, registry: Registry, folder: Path | None, *, json: bool) -> None:
    """Show the cells of a matrix and where their runs would lie."""
    from ganforge.sweep.matrix import plan  # noqa: PLC0415
    from ganforge.sweep.trials import merged  # noqa: PLC0415 - imports torch

    if request.search is not None:
        raise UsageError("a search chooses while it runs; there is no plan to show", fix="leave --dry-run out")
    directory, planned = plan(request, registry, folder, lambda _: None)
    combinations = merged(planned)
    if json:
        cells = [
            {"combination": one.choices, "fits": one.experiment is not None, "reason": one.reason, "fix": one.fix}
            for one in combinations
        ]
        print_json({"out": str(directory.path), "seeds": request.seeds, "combinations": cells})
        return
    table = Table("combination", "seeds", title=escape(str(directory.path)))
    for one in combinations:
        fits = (
            ", ".join(map(str, request.seeds))
            if one.experiment is not None
            else f"[yellow]{escape(str(one.reason))}[/]"
        )
        table.add_row(escape(one.label), fits)
    out().print(table)


def _report(found: Leaderboard, path: Path, *, json: bool) -> None:
    """Print the leaderboard, and what stands in none of its tables."""
    from ganforge.sweep.leaderboard import ARROWS, written  # noqa: PLC0415 - as above

    for result in found.unscored:
        problem(f"{path / result.cell.name}: {result.status}: {result.error}")
    for cell, finding in found.findings:
        notice(f"{path / cell.name}: {finding.line()}")
    if json:
        print_json({"matrix": str(path), **found.as_dict()})
        return
    console = out()
    for scores in found.tables:
        keys, directions = scores.varied(), scores.directions
        table = Table(*keys, "seeds", title=escape(scores.title), title_justify="left")
        for score, better in directions.items():
            table.add_column(f"{score} {ARROWS[better]}", justify="right")
        for row in scores.ranked(found.objective):
            numbers = [written(row.estimate(score)) for score in directions]
            table.add_row(*(escape(row.word(key)) for key in keys), str(len(row.seeds)), *numbers)
        console.print(table)
    if found.inapplicable:
        table = Table("not applicable", "why", title_justify="left")
        for one in found.inapplicable:
            table.add_row(escape(one.label), escape(str(one.reason)))
        console.print(table)
    if found.tables:
        err().print(
            f"[dim]mean over seeds ± half of Student's 95% interval; ↓ lower is better. "
            f"All of it: {escape(str(path / 'leaderboard.md'))}[/]"
        )
