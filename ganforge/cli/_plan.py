"""Output of `run --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Column, Table

from ganforge.cli._output import out
from ganforge.cli._printer import escape
from ganforge.config.dotted import flatten
from ganforge.config.resolved import DEFAULT
from ganforge.utils.format import format_duration, format_value


def print_plan(plan: Mapping[str, Any]) -> None:
    """Print the plan of a run, with the origin of every value; those that are not defaults come first."""
    console = out()
    table = Table("kind", "name", "from", "chosen by", title="Components", title_justify="left")
    for item in plan["components"]:
        source = f"{item['distribution']} {item['version']}"
        table.add_row(item["kind"], f"[bold]{escape(item['name'])}[/]", escape(source), escape(item["origin"]))
    console.print(table)
    heads = Column("setting", overflow="fold"), "value", "origin"  # a key stays whole: it is a flag
    settings = Table(*heads, title="Settings", title_justify="left")
    values = [(plan["origins"].get(key, DEFAULT), key, value) for key, value in flatten(plan["experiment"])]
    for origin, key, value in sorted(values, key=lambda item: (item[0] == DEFAULT, item[1])):
        style = "dim" if origin == DEFAULT else ""
        settings.add_row(escape(key), escape(format_value(value)), escape(origin), style=style)
    console.print(settings)
    data, count = plan["data"], plan["parameters"]
    sizes = ", ".join(f"{size:,} {split}" for split, size in data["sizes"].items())
    console.print(f"data        {data['image']} pixels; {sizes}; {escape(data['source'])}", highlight=False)
    console.print(
        f"parameters  generator {count['generator']:,}, discriminator {count['discriminator']:,}", highlight=False
    )
    reason = plan["origins"].get("precision", DEFAULT)
    console.print(f"device      {plan['device']}, precision {plan['precision']} ({escape(reason)})", highlight=False)
    console.print(
        f"time        {plan['seconds_per_step'] * 1000:.1f} ms a step; {plan['steps_per_epoch']:,} steps and about "
        f"{format_duration(plan['seconds_per_epoch'])} an epoch; {plan['total_steps']:,} steps and about "
        f"{format_duration(plan['seconds_total'])} in all",
        highlight=False,
    )
