"""Benchmarks: every recipe on MNIST and Fashion-MNIST with several seeds, scored, and docs/benchmarks.md.

`python docs/scripts/make_benchmarks.py OUT --data-root DIR [--epochs 1] [--seeds 3] [-j N] [--only NAME …]`. DIR holds
both datasets in torchvision's layout; the plugins of this repository must be installed. All recipes see the same number
of real images. Runs that OUT holds are not trained again; `--table` only writes the page from them. Each recipe is a
`ganforge sweep`; the textbook's loop is trained and scored by score_textbook.py.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generated import DOCS, inserted, table

from ganforge.runs.statistics import estimate

PAGE = DOCS / "benchmarks.md"
SCRIPT = "make_benchmarks.py"
DATA = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
SCORES = ("fid", "kid", "precision", "recall", "modes", "modes-divergence")
METRICS = "fid,kid,precision,recall,modes"
#: Steps of the textbook's loop in an epoch: 60,000 images in batches of 60.
STEPS_PER_EPOCH = 1000


@dataclass(frozen=True)
class Recipe:
    """Recipe: its flags, or the networks of the textbook's loop."""

    name: str
    flags: str
    textbook: bool = False


RECIPES = (
    Recipe("the textbook's loop, MLP GAN", "mlp", textbook=True),
    Recipe("the textbook's loop, DCGAN", "dcgan", textbook=True),
    Recipe("MLP GAN", "--gen mlp --disc mlp --loss bce"),
    Recipe("MLP GAN, hinge", "--gen mlp --disc mlp --loss hinge"),
    Recipe("MLP GAN, least squares", "--gen mlp --disc mlp --loss least-squares"),
    Recipe("MLP GAN, Wasserstein with clipped weights", "--gen mlp --disc mlp --loss wasserstein"),
    Recipe("MLP GAN, conditional", "--gen conditional-mlp --disc conditional-mlp --loss bce"),
    Recipe("DCGAN", "--gen dcgan --disc dcgan --loss bce"),
    Recipe("DCGAN, minimax", "--gen dcgan --disc dcgan --loss minimax"),
    Recipe("DCGAN, hinge", "--gen dcgan --disc dcgan --loss hinge"),
    Recipe("DCGAN, least squares", "--gen dcgan --disc dcgan --loss least-squares"),
    Recipe("DCGAN, moving average", "--gen dcgan --disc dcgan --loss bce --ema-halflife-images 5000"),
    Recipe("DCGAN, R1", "--gen dcgan --disc dcgan --loss bce --term r1"),
    Recipe("DCGAN, conditional", "--gen conditional-dcgan --disc conditional-dcgan --loss bce"),
    Recipe("DCGAN, auxiliary classifier", "--gen conditional-dcgan --disc ac-dcgan --loss bce --term ac-gan"),
    Recipe("ResNet, hinge", "--gen resnet --disc resnet --loss hinge --critic-steps 1"),
    Recipe("DCGAN and ResNet, Wasserstein with gradient penalty", "--gen dcgan --disc resnet --loss wasserstein-gp"),
    Recipe("R3GAN", "--gen r3gan --disc r3gan --loss relativistic"),
)


@dataclass(frozen=True)
class Budget:
    """Budget of every recipe: epochs, fakes per score, seeds, data folder, and number of processes."""

    epochs: int
    num_samples: int
    seeds: int
    root: Path
    jobs: int


def main() -> None:
    """Train the missing runs, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-n", "--num-samples", type=int, default=10_000)
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[recipe.name for recipe in RECIPES])
    parser.add_argument("--table", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    if not arguments.table:
        budget = Budget(
            arguments.epochs, arguments.num_samples, arguments.seeds, arguments.data_root.absolute(), arguments.jobs
        )
        train([recipe for recipe in RECIPES if recipe.name in arguments.only], arguments.out, budget)
    PAGE.write_text(inserted(PAGE, SCRIPT, render(arguments.out)), encoding="utf-8")


def train(recipes: list[Recipe], out: Path, budget: Budget) -> None:
    """Train and score, several processes at a time; a recipe that fails is reported and left out."""
    lock = threading.Lock()
    tasks = [
        (f"{recipe.name}, {data}, seed {seed}", _task(recipe, data, seed, out, budget))
        for recipe in recipes
        for data in DATA
        for seed in range(budget.seeds)
    ]

    def work(task: tuple[str, Callable[[], None]]) -> None:
        try:
            task[1]()
        except subprocess.CalledProcessError as error:
            with lock:
                print(f"{task[0]} failed: {(error.stderr or '').strip()[-300:]}", flush=True)
        else:
            with lock:
                print(task[0], flush=True)

    with ThreadPoolExecutor(budget.jobs) as pool:
        list(pool.map(work, tasks))


def _task(recipe: Recipe, data: str, seed: int, out: Path, budget: Budget) -> Callable[[], None]:
    place = place_of(out, recipe, data)
    root, steps = str(budget.root), str(budget.epochs * STEPS_PER_EPOCH)

    def textbook() -> None:
        row = place / f"seed{seed}.json"
        if not row.exists():
            script = str(Path(__file__).with_name("score_textbook.py"))
            words = [script, str(row), "--model", recipe.flags, "--data", data, "--steps", steps, "--seed", str(seed)]
            run([*words, "--data-root", root, "--num-samples", str(budget.num_samples), "--metric", METRICS])

    def sweep() -> None:
        length = ["--epochs", str(budget.epochs), "--seeds", f"{seed},", "--out", str(place / f"seed{seed}")]
        scoring = ["--metric", METRICS, "--num-samples", str(budget.num_samples)]
        words = [*shlex.split(recipe.flags), "--data", data, "--data.root", root, *length, *scoring]
        run(["-m", "ganforge", "sweep", *words, "--json", "--quiet"])

    return textbook if recipe.textbook else sweep


def run(words: list[str]) -> None:
    """Run a Python program. Raises CalledProcessError with its output."""
    subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)


def place_of(out: Path, recipe: Recipe, data: str) -> Path:
    """Return the folder of a recipe on a dataset."""
    return out / data / "-".join(recipe.name.replace(",", "").replace("'", "").lower().split())


def newest_rows(place: Path) -> list[dict[str, Any]]:
    """Return the newest row of scores of each seed."""
    of_textbook = sorted(place.glob("seed*.json"))
    of_runs = sorted(place.rglob("evaluation.jsonl"))
    return [json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) for path in [*of_textbook, *of_runs]]


def render(out: Path) -> str:
    """Return the generated part of the page: a table for each dataset."""
    parts = []
    for data, name in DATA.items():
        by_recipe = {recipe: newest_rows(place_of(out, recipe, data)) for recipe in RECIPES}
        by_recipe = {recipe: rows for recipe, rows in by_recipe.items() if rows}
        if not by_recipe:
            continue
        any_row = next(iter(by_recipe.values()))[0]
        reference = (_number(any_row["reference"].get(score)) for score in SCORES)
        lines: list[tuple[str, ...]] = [("reference: training images", *reference, "", "")]
        lines += [_line(recipe, rows) for recipe, rows in by_recipe.items()]
        header = ("recipe", *SCORES, "seeds", "flags")
        protocol = any_row["protocol"]
        features = protocol["features"]
        setting = (
            f"{protocol['fake_images']:,} fakes against {protocol['real_images']:,} {protocol['split']} images, "
            f"features `{features['name']}` ({features['weights'][:12]}), data {protocol['fingerprint'][:12]}."
        )
        parts.append(f"### {name}\n\n{setting}\n\n{table(header, lines)}")
    return "\n\n".join(parts)


def _line(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    cells = []
    for score in SCORES:
        values = [row["scores"].get(score) for row in rows]
        known = estimate([value for value in values if value is not None])
        cells.append("" if known is None else _number(known.mean) + _margin(known.margin))
    flags = "" if recipe.textbook else f"`{recipe.flags}`"
    return (recipe.name, *cells, str(len(rows)), flags)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _margin(margin: float | None) -> str:
    return "" if margin is None else f" ± {margin:.2g}"


if __name__ == "__main__":
    main()
