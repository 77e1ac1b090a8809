"""The gallery: each recipe trained for a short time, and docs/gallery.md.

`python docs/scripts/make_gallery.py OUT --data-root DIR [--seconds 60] [--only NAME …]`. DIR holds MNIST and
Fashion-MNIST in torchvision's layout; the plugins of this repository must be installed. Runs go into OUT; the last grid
of each becomes a picture in docs/images/gallery. `--dry-run` measures first how many steps fit into the time.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from generated import DOCS, inserted, table

PAGE = DOCS / "gallery.md"
PICTURES = DOCS / "images" / "gallery"
SCRIPT = "make_gallery.py"
MNIST, FASHION = "mnist", "fashion-mnist"
#: Narrow networks: a processor trains them long enough to see something.
NARROW = "--gen.base_channels 32 --disc.base_channels 32"


@dataclass(frozen=True)
class Recipe:
    """Recipe: its data, its flags, and the distributions of its components."""

    name: str
    data: str
    flags: str
    source: str = "ganforge"

    @property
    def command(self) -> str:
        """The command, without the number of steps and the data folder."""
        return f"ganforge run --data {self.data} {self.flags}"


RECIPES = (
    Recipe("textbook-mlp", MNIST, "--gen mlp --disc mlp"),
    Recipe("textbook-dcgan", MNIST, "--gen dcgan --disc dcgan"),
    Recipe("minimax", MNIST, "--gen mlp --disc mlp --loss minimax", "ganforge-losses"),
    Recipe("least-squares", MNIST, f"--gen dcgan --disc dcgan {NARROW} --loss least-squares", "ganforge-losses"),
    Recipe("hinge", FASHION, f"--gen dcgan --disc dcgan {NARROW} --loss hinge", "ganforge-losses"),
    Recipe("wasserstein", MNIST, f"--gen dcgan --disc dcgan {NARROW} --loss wasserstein", "ganforge-losses"),
    Recipe(
        "wasserstein-gp",
        MNIST,
        "--gen dcgan --gen.base_channels 32 --disc resnet --disc.base_channels 16 --loss wasserstein-gp",
        "ganforge-losses, ganforge-resnet",
    ),
    Recipe("r1", FASHION, f"--gen dcgan --disc dcgan {NARROW} --term r1 --term.every 4", "ganforge-losses"),
    Recipe(
        "resnet",
        MNIST,
        "--gen resnet --gen.base_channels 16 --disc resnet --disc.base_channels 16 --critic-steps 1 --loss hinge",
        "ganforge-resnet, ganforge-losses",
    ),
    Recipe("r3gan", FASHION, "--gen r3gan --disc r3gan --loss relativistic", "ganforge-r3gan, ganforge-losses"),
    Recipe("conditional", MNIST, f"--gen conditional-dcgan --disc conditional-dcgan {NARROW}", "ganforge-conditional"),
    Recipe(
        "ac-gan",
        MNIST,
        f"--gen conditional-dcgan --disc ac-dcgan {NARROW} --term ac-gan --term.classify_fakes false",
        "ganforge-conditional",
    ),
    Recipe(
        "feature-matching",
        MNIST,
        f"--gen conditional-dcgan --disc conditional-dcgan {NARROW} --term feature-matching",
        "ganforge-conditional",
    ),
    Recipe("diffaugment", FASHION, f"--gen dcgan --disc dcgan {NARROW} --augment diffaugment", "ganforge-augment"),
    Recipe("ada", FASHION, f"--gen dcgan --disc dcgan {NARROW} --augment ada", "ganforge-augment"),
)


def main() -> None:
    """Train the chosen recipes, and write the page of all trained ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", default=[recipe.name for recipe in RECIPES])
    arguments = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        if recipe.name in arguments.only:
            train(recipe, arguments.out / recipe.name, arguments.data_root.absolute(), arguments.seconds)
    PAGE.write_text(inserted(PAGE, SCRIPT, render(arguments.out)), encoding="utf-8")


def train(recipe: Recipe, place: Path, root: Path, seconds: float) -> None:
    """Train one recipe for about `seconds`, unless its run exists."""
    if not place.exists():
        words = [*shlex.split(recipe.command)[1:], "--data.root", str(root)]
        plan = ganforge(*words, "--dry-run", "--steps", "1000")
        steps = max(int(seconds / plan["seconds_per_step"]), 1)
        length = ("--steps", str(steps), "--sample-every", str(steps), "--checkpoint-every", str(steps))
        result = ganforge(*words, *length, "--seed", "0", "--out", str(place))
        print(recipe.name, result["status"], result["steps"], round(result["elapsed_seconds"]), flush=True)
    run = json.loads((place / "run.json").read_text(encoding="utf-8"))
    grid = place / "samples" / f"step-{run['summary']['steps']:08d}.png"
    shutil.copyfile(grid, PICTURES / f"{recipe.name}.png")


def ganforge(*words: str) -> dict[str, Any]:
    """Run the command line and return its document."""
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *words, "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def render(out: Path) -> str:
    """Return the generated part of the page: the table, then a picture of each run."""
    rows: list[tuple[str, ...]] = []
    pictures: list[str] = []
    for recipe in RECIPES:
        if not (out / recipe.name / "run.json").is_file():
            continue
        run = json.loads((out / recipe.name / "run.json").read_text(encoding="utf-8"))
        summary = run["summary"]
        steps, seconds = f"{summary['steps']:,}", f"{summary['elapsed_seconds']:.0f}"
        row = (f"[{recipe.name}](#{recipe.name})", recipe.source, steps, seconds, run["precision"])
        rows.append(row)
        pictures.append(
            f"### {recipe.name}\n\n```bash\n{recipe.command} --steps {summary['steps']}\n```\n\n"
            f"![{recipe.name} on {recipe.data}, after {steps} steps](images/gallery/{recipe.name}.png)"
        )
    made = datetime.now(UTC).date().isoformat()
    header = ("recipe", "from", "steps", f"seconds ({made})", "precision")
    return "\n\n".join([table(header, rows), *pictures])


if __name__ == "__main__":
    main()
