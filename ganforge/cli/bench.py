"""Command `ganforge bench`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from ganforge.cli._options import Json, set_option
from ganforge.cli._output import err, out, print_json
from ganforge.cli._settings import SettingsCommand
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import did_you_mean

MODELS = ("dcgan", "mlp")
LOOPS = {"reference": "reference loop", "bare": "ganforge's updates by hand", "engine": "ganforge"}

app = typer.Typer()


@app.command(cls=SettingsCommand)
def bench(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="dcgan or mlp, for both networks.")] = "dcgan",
    count: Annotated[int, typer.Option("--count", "-n", min=10, metavar="N", help="Measured steps per turn.")] = 40,
    warm_up: Annotated[int, typer.Option(min=1, metavar="N", help="Steps before them.")] = 10,
    turns: Annotated[int, typer.Option(min=1, metavar="N", help="Turns of each loop.")] = 3,
    settings: Annotated[list[str] | None, set_option("As in run, such as precision=fp32.")] = None,
    json: Json = False,
) -> None:
    """Compare the speed of ganforge with that of the textbook's loop on this machine, on MNIST in batches of 60."""
    if model not in MODELS:
        raise UsageError(f"invalid model {model!r}{did_you_mean(model, MODELS)}")
    from ganforge.bench.measure import BenchConfig, run_benchmark

    console = err()
    config = BenchConfig(model, settings or [], count, warm_up, turns)
    result = run_benchmark(config, Registry.discover(no_plugins=True), lambda line: console.print(line, style="dim"))
    if json:
        print_json(result)
    else:
        _print(result)


def _print(result: Mapping[str, Any]) -> None:
    console = out()
    title = f"{result['model']} on {result['device']}, precision {result['precision']}, batch 60"
    table = Table("loop", "ms per step", "lowest and highest turn", title=title)
    for name, label in LOOPS.items():
        spread = result["milliseconds_per_step"][name]
        table.add_row(label, f"{spread['median']:.1f}", f"{spread['low']:.1f} to {spread['high']:.1f}")
    console.print(table)
    ratio, overhead, roofline = result["ratio"], result["engine_over_bare"], result["roofline"]
    console.print(
        f"ganforge is [bold]{ratio['median']:.2f}×[/] as fast as the textbook's loop "
        f"({ratio['low']:.2f} to {ratio['high']:.2f}); overhead {100 * (overhead['median'] - 1):+.1f}%"
    )
    console.print(
        f"{roofline['step_gflop']:.1f} GFLOP per step: {100 * roofline['share']:.0f}% of this machine's "
        f"{roofline['matrix_product_gflop_per_second']:,.0f} GFLOP/s in matrix products; "
        f"data takes {100 * result['data_share']:.1f}% of a step"
    )
