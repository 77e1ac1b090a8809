"""Train without and with listeners, in turns, and compare the final weights and the time of a step.

`python docs/scripts/compare_trackers.py OUT [--model dcgan] [--steps 300] [--turns 5] [--data-root DIR] [OPTION …]`.
Options that it does not know go to `ganforge run`. The listeners: one that sleeps a minute in each hook, one that
raises in each, and every tracker of ganforge's that is installed. MLflow logs to a database in OUT and W&B offline,
unless MLFLOW_TRACKING_URI and WANDB_MODE say otherwise. OUT gets the runs; stderr gets what each run said about its
listener; stdout gets a Markdown table. A step's time is the median that a run measures of itself, and a ratio is one
turn's, to the run without a listener of the same turn: what disturbs the machine for longer disturbs both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

from generated import table

TRACKERS = ("ganforge-tensorboard", "ganforge-mlflow", "ganforge-wandb")
HOOKS = ("started", "step_logged", "images_saved", "checkpoint_saved", "evaluated", "finished")
BATCH = 60

SLEEPS, RAISES = "import time\ntime.sleep(60)", "raise RuntimeError('on purpose')"


@dataclass
class Contender:
    """One way to listen, or not to, and what its runs gave.

    allowed: the installed plugins that are loaded beside ganforge's own. local: a plugin's file. milliseconds: of a
    step, for each turn. digests: of the weights that each turn ended with. told: lines about its listener, in all.
    """

    name: str
    allowed: str = "ganforge"
    local: Path | None = None
    milliseconds: list[float] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    told: int = 0


def main() -> None:
    """Train everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=("mlp", "dcgan"), default="dcgan")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data-root", type=Path)
    arguments, others = parser.parse_known_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True)
    flags = ["--gen", arguments.model, "--disc", arguments.model, "--steps", str(arguments.steps)]
    flags += ["--batch-size", str(BATCH), "--precision", "fp32"]
    flags += ["--data.source", "sample"] if arguments.data_root is None else ["--data.root", str(arguments.data_root)]
    contenders = list_contenders(out)
    for turn in range(arguments.turns):
        for contender in contenders:
            train(contender, out / f"{contender.name.replace(' ', '-')}-{turn + 1}", [*flags, *others])
    print(compared(contenders))


def list_contenders(out: Path) -> list[Contender]:
    """Return the run without a listener first, then every listener; write the local ones into `out`."""
    contenders = [Contender("none")]
    for name, body in (("sleeps a minute", SLEEPS), ("raises", RAISES)):
        file = out / f"{name.split()[0]}.py"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        hooks = (f"@hookimpl\ndef ganforge_{hook}(run):\n{lines}\n" for hook in HOOKS)
        file.write_text("from ganforge import hookimpl\n\n" + "\n".join(hooks), encoding="utf-8")
        contenders.append(Contender(name, local=file))
    installed = {point.dist.name for point in entry_points(group="ganforge") if point.dist is not None}
    return contenders + [Contender(name, allowed=name) for name in TRACKERS if name in installed]


def train(contender: Contender, run: Path, flags: list[str]) -> None:
    """Train once with a listener, and keep what that gave."""
    plugin = [] if contender.local is None else ["--plugin", str(contender.local)]
    defaults = {"MLFLOW_TRACKING_URI": f"sqlite:///{run.parent}/mlflow.db", "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", "run", *flags, *plugin, "--out", str(run), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env={**defaults, **os.environ, "GANFORGE_PLUGINS": contender.allowed},
    )
    if done.returncode:
        sys.exit(done.stderr)
    told = [line for line in done.stderr.splitlines() if "plugin" in line]
    for line in told:
        print(f"{run.name}: {line}", file=sys.stderr)
    contender.told += len(told)
    contender.milliseconds.append(1000 * BATCH / json.loads(done.stdout)["images_per_second"])
    contender.digests.append(digest(run))


def digest(run: Path) -> str:
    """Return the digest of a run's last weights and optimisers."""
    last = max((run / "checkpoints").iterdir())
    content = b"".join(path.read_bytes() for path in sorted(last.glob("*.safetensors")))
    return hashlib.sha256(content).hexdigest()


def compared(contenders: list[Contender]) -> str:
    """Return the table; the first contender is what the others are compared with."""
    header = ("listener", "weights", "milliseconds a step", "ratio: median (lowest to highest)", "lines told a run")
    alone = contenders[0]
    rows: list[tuple[str, ...]] = []
    for contender in contenders:
        ratios = [mine / other for mine, other in zip(contender.milliseconds, alone.milliseconds, strict=True)]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        same = {*contender.digests} == {alone.digests[0]}
        weights = f"{contender.digests[0][:12]}" if same else "differ"
        told = f"{contender.told / len(ratios):g}"
        rows.append((contender.name, weights, f"{statistics.median(contender.milliseconds):.2f}", spread, told))
    return table(header, rows)


if __name__ == "__main__":
    main()
