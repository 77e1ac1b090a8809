"""Final weights and step times of trainings without and with listeners, in turns.

`python docs/scripts/compare_trackers.py OUT [--model dcgan] [--steps 300] [--turns 5] [--data-root DIR] [OPTION …]`.
Unknown options are passed to `ganforge run`. The listeners: one that sleeps a minute in each hook, one that
raises in each, and every tracker of ganforge's that is installed. MLflow logs to a database in OUT and W&B offline,
unless MLFLOW_TRACKING_URI and WANDB_MODE are set. OUT gets the runs; stderr gets the messages of each run about its
listener; stdout gets a Markdown table. A step's time is the median that a run measures, and a ratio compares it with
the run without a listener of the same turn: a longer disturbance of the machine affects both.
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
    """A listener, or none, with the results of its runs.

    Attributes:
        name: Name in the table.
        allowed: Installed plugins that are loaded, as `GANFORGE_PLUGINS` names them.
        local: File of a local plugin.
        milliseconds: Time of a step, for each turn.
        digests: Digest of the final weights, for each turn.
        messages: Number of lines about the listener.
    """

    name: str
    allowed: str = "ganforge"
    local: Path | None = None
    milliseconds: list[float] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    messages: int = 0


def main() -> None:
    """Train all runs and print the table."""
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
    """Train once with a listener, and record the results."""
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
    messages = [line for line in done.stderr.splitlines() if "plugin" in line]
    for line in messages:
        print(f"{run.name}: {line}", file=sys.stderr)
    contender.messages += len(messages)
    contender.milliseconds.append(1000 * BATCH / json.loads(done.stdout)["images_per_second"])
    contender.digests.append(digest(run))


def digest(run: Path) -> str:
    """Return the digest of a run's last weights and optimizers."""
    last = max((run / "checkpoints").iterdir())
    content = b"".join(path.read_bytes() for path in sorted(last.glob("*.safetensors")))
    return hashlib.sha256(content).hexdigest()


def compared(contenders: list[Contender]) -> str:
    """Return the table; the others are compared with the first contender."""
    header = ("listener", "weights", "milliseconds per step", "ratio: median (lowest to highest)", "messages per run")
    alone = contenders[0]
    rows: list[tuple[str, ...]] = []
    for contender in contenders:
        ratios = [mine / other for mine, other in zip(contender.milliseconds, alone.milliseconds, strict=True)]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        same = {*contender.digests} == {alone.digests[0]}
        weights = f"{contender.digests[0][:12]}" if same else "differ"
        messages = f"{contender.messages / len(ratios):g}"
        rows.append((contender.name, weights, f"{statistics.median(contender.milliseconds):.2f}", spread, messages))
    return table(header, rows)


if __name__ == "__main__":
    main()
