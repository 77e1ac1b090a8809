"""Processor time of `ganforge --help` and `list`, compared with importing typer, rich and pydantic.

`python docs/scripts/measure_startup.py [--turns 40]` runs each in turns, in processes of their own, and prints a
Markdown table of medians. What is installed next to this ganforge is found as always: the number of distributions is
printed, too. Bytecode must be written (without PYTHONDONTWRITEBYTECODE).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from importlib.metadata import distributions, entry_points
from pathlib import Path

from generated import table

BASE = "`import typer, rich, pydantic`"
GANFORGE = str(Path(sys.executable).with_name("ganforge"))
COMMANDS = {
    "Python's start alone": (sys.executable, "-c", "pass"),
    BASE: (sys.executable, "-c", "import typer, rich, pydantic"),
    "`ganforge --version`": (GANFORGE, "--version"),
    "`ganforge --help`": (GANFORGE, "--help"),
    "`ganforge list`": (GANFORGE, "list"),
}


def processor_seconds(command: tuple[str, ...]) -> float:
    """Return the processor time of a command, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time all commands and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40)
    turns = parser.parse_args().turns
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(turns):
        for name, command in COMMANDS.items():
            seconds[name].append(processor_seconds(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows: list[tuple[str, ...]] = [
        (name, f"{1000 * value:.0f}", f"{value / medians[BASE]:.2f}") for name, value in medians.items()
    ]
    print(table(("process", "processor time (ms)", "ratio"), rows))
    plugins = len(entry_points(group="ganforge"))
    print(f"\n{turns} turns, {len(list(distributions()))} distributions, {plugins} entry points of ganforge")


if __name__ == "__main__":
    main()
