"""Time that `ganforge runs` takes for many runs, including the start of Python.

One tiny run is trained, and its directory is copied: run.json, run.toml and evaluation.jsonl as separate files, the
others as links to the same files. Half of the copies are in one folder, half in folders of a hundred, as `ganforge
sweep` writes them. Cold numbers need the permission to empty the system's file cache.

    python docs/scripts/measure_listing.py --count 10000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ganforge

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
LOSSES, ENDS, SEEDS, TRIALS = ("bce", "hinge", "least-squares"), ("finished",) * 9 + ("interrupted",), 5, 100
LIST = (sys.executable, "-m", "ganforge", "runs", "RUNS")
COMMANDS = {
    "Python's start alone": (sys.executable, "-c", "pass"),
    "`ganforge --version`": (sys.executable, "-m", "ganforge", "--version"),
    "`ganforge runs`": LIST,
    "`ganforge runs --json`": (*LIST, "--json"),
    "`ganforge runs --where loss=hinge --sort images_per_second`": (
        *LIST,
        *("--where", "loss=hinge", "--sort", "images_per_second"),
    ),
    "`ganforge runs --sort sliced-wasserstein --limit 20`": (*LIST, "--sort", "sliced-wasserstein", "--limit", "20"),
    "`ganforge runs --where gen.hidden=[8]`": (*LIST, "--where", "gen.hidden=[8]"),
    "`ganforge runs --where gen.hidden=[8] --sort sliced-wasserstein`": (
        *LIST,
        *("--where", "gen.hidden=[8]", "--sort", "sliced-wasserstein"),
    ),
}
#: Commands that are also timed with an empty file cache, which disturbs other programs on the machine.
COLD = ("`ganforge --version`", "`ganforge runs`")


def train(folder: Path) -> Path:
    """Train a tiny run with evaluations, the original of all copies."""
    network = {"name": "mlp", "options": {"hidden": [8]}}
    experiment = ganforge.Experiment.model_validate(
        {
            "gen": network,
            "disc": network,
            "data": {"name": "mnist", "options": {"source": "sample"}},
            "steps": 200,
            "batch_size": 10,
            "precision": "fp32",
            "device": "cpu",
            "evaluate_every": 50,
            "num_samples": 100,
        }
    )
    return ganforge.train(experiment, out=folder).path


def copy(run: Path, folder: Path, number: int) -> None:
    """Copy a run with another loss, status, speed and seed."""
    parent = folder if number % 2 else folder / f"sweep-{number // (2 * TRIALS):03d}"
    place = parent / f"mlp-mlp-{LOSSES[number % 3]}-mnist-{number:05d}"
    seed = number % SEEDS
    for source in run.rglob("*"):
        target = place / source.relative_to(run)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif source.suffix not in {".json", ".toml", ".jsonl"} or source.parent != run:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
    manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
    manifest["status"], manifest["seed"] = ENDS[number % len(ENDS)], seed
    manifest["components"]["loss"] = LOSSES[number % 3]
    manifest["summary"]["images_per_second"] = 1000 + number * 7919 % 5000
    content = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (place / "run.json").write_text(content, encoding="utf-8")
    settings = (run / "run.toml").read_text(encoding="utf-8")
    (place / "run.toml").write_text(settings.replace("seed = 0", f"seed = {seed}"), encoding="utf-8")
    for name in ("evaluation.jsonl", "metrics.jsonl"):
        shutil.copyfile(run / name, place / name)


def seconds(command: tuple[str, ...], runs: Path) -> tuple[float, float]:
    """Return the wall time and the processor time of a command."""
    words = [str(runs) if word == "RUNS" else word for word in command]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold_seconds(command: tuple[str, ...], runs: Path) -> float:
    """Return the wall time of a command with an empty file cache. Raises OSError without the permission to empty it."""
    os.sync()
    DROP_CACHES.write_text("3")
    return seconds(command, runs)[0]


def main() -> None:
    """Create the runs, time each command, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="number of runs")
    parser.add_argument("--turns", type=int, default=7, help="repetitions of each command")
    parser.add_argument("--cold", action="store_true", help="also with an empty file cache")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run, folder = train(Path(temporary) / "original"), Path(temporary) / "runs"
        for number in range(arguments.count):
            copy(run, folder, number)
        size = (run / "run.json").stat().st_size
        print(f"{arguments.count:,} runs, run.json of {size:,} bytes, {os.cpu_count()} cores\n")
        print("| command | fastest | median | processor's time | cold |\n| --- | ---: | ---: | ---: | ---: |")
        for name, command in COMMANDS.items():
            cold = f"{cold_seconds(command, folder):.2f}" if arguments.cold and name in COLD else ""
            warm = [seconds(command, folder) for _ in range(arguments.turns)]
            walls, processor = [wall for wall, _ in warm], min(time for _, time in warm)
            print(
                f"| {name} | {min(walls):.2f} | {statistics.median(walls):.2f} | {processor:.2f} | {cold} |", flush=True
            )


if __name__ == "__main__":
    main()
