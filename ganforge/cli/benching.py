"""`ganforge bench`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from ganforge.cli.options import Json
from ganforge.cli.output import answering, err, out, print_json
from ganforge.cli.settings import SettingsCommand
from ganforge.errors import UsageError
from ganforge.utils.suggest import did_you_mean

MODELS = ("dcgan", "mlp")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", cls=SettingsCommand)(bench)


@answering
def bench(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="dcgan or mlp, for both networks.")] = "dcgan",
    count: Annotated[int, typer.Option("--count", "-n", min=10, metavar="N", help="Steps that count in a turn.")] = 40,
    warm_up: Annotated[int, typer.Option(min=1, metavar="N", help="Steps before them that do not.")] = 10,
    turns: Annotated[int, typer.Option(min=1, metavar="N", help="How often the loops take turns.")] = 3,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for run, such as precision=fp32.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure the engine beside the textbook's loop on this machine, on MNIST, in batches of 60."""
    if model not in MODELS:
        raise UsageError(f"no model {model!r} to measure{did_you_mean(model, MODELS)}")
    from ganforge.bench.measure import Options, measure_model  # noqa: PLC0415 - imports torch
    from ganforge.plugins.registry import Registry  # noqa: PLC0415

    console = err()
    options = Options(model, settings or [], count, warm_up, turns)
    found = measure_model(options, Registry.discover(no_plugins=True), lambda line: console.print(line, style="dim"))
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    console = out()
    title = f"{found['model']} on {found['device']}, precision {found['precision']}, batch 60"
    table = Table("loop", "ms a step", "lowest and highest turn", title=title)
    labels = {"yardstick": "the textbook's loop", "bare": "ganforge's steps by hand", "engine": "ganforge"}
    for name, label in labels.items():
        spread = found["milliseconds_per_step"][name]
        table.add_row(label, f"{spread['median']:.1f}", f"{spread['low']:.1f} to {spread['high']:.1f}")
    console.print(table)
    ratio, overhead, roofline = found["ratio"], found["engine_over_bare"], found["roofline"]
    console.print(
        f"ganforge is [bold]{ratio['median']:.2f}×[/] as fast as the textbook's loop "
        f"({ratio['low']:.2f} to {ratio['high']:.2f}); beside its bare steps {100 * (overhead['median'] - 1):+.1f}%",
        highlight=False,
    )
    console.print(
        f"{roofline['step_gflop']:.1f} GFLOP a step: {100 * roofline['share']:.0f}% of this machine's "
        f"{roofline['matrix_product_gflop_per_second']:,.0f} GFLOP/s in matrix products; "
        f"data takes {100 * found['data_share']:.1f}% of a step",
        highlight=False,
    )
