"""Step time and memory in a training of 100,000 steps of a small MLP GAN.

`python docs/scripts/run_long.py OUT [--steps 100000] [--data-root DIR]`. Rows, grids and checkpoints are written as in
any run. stdout gets a Markdown table: milliseconds per step and resident memory in each tenth of the training.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import ganforge
from ganforge.config import ComponentRef

PAGE = 4096
TENTHS = 10


class MemoryCallback(ganforge.Callback):
    """Callback that records speed and memory at every row."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []

    def on_log(self, row: Mapping[str, float]) -> None:
        """Record the step, milliseconds per step, and resident memory in MiB."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        milliseconds = 1000 * 60 / row["images_per_second"]
        self.rows.append((int(row["step"]), milliseconds, pages * PAGE / 2**20))


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    options = {"source": "sample"} if arguments.data_root is None else {"root": str(arguments.data_root)}
    callback = MemoryCallback()
    small = ComponentRef(name="mlp", options={"hidden": [64]})
    experiment = ganforge.Experiment(
        gen=small,
        disc=small,
        data=ComponentRef(name="mnist", options=options),
        steps=arguments.steps,
        precision="fp32",
        ema_halflife_images=10_000,
        checkpoint_every=1_000,
    )
    ganforge.train(experiment, out=arguments.out, callback=callback)
    print("| steps | milliseconds per step, median | memory, maximum |\n| --- | --- | --- |")
    size = arguments.steps // TENTHS
    for tenth in range(TENTHS):
        rows = [row for row in callback.rows if tenth * size < row[0] <= (tenth + 1) * size]
        times, memory = statistics.median(row[1] for row in rows), max(row[2] for row in rows)
        print(f"| {tenth * size + 1:,} to {(tenth + 1) * size:,} | {times:.2f} | {memory:,.0f} MiB |")


if __name__ == "__main__":
    main()
