"""Train the generators of the zoo: `python -m ganforge_zoo.train OUT [--only NAME …]`.

Each is trained in OUT, scored, and exported into the package as a bundle of about 1 MB. A run that exists is resumed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BUNDLES = Path(__file__).parent / "bundles"
#: Flags of all trainings: scores at the end.
COMMON = "--metric fid,precision,recall,modes --num-samples 2000"
#: Flags of each training, by name.
RECIPES = {
    "digits": "--data.source sample --gen dcgan --disc dcgan --gen.base_channels 20 --disc.base_channels 32 "
    "--epochs 15 --ema-halflife-images 5000 --precision fp32 --features digits --evaluate-every 2490",
    "digits-best": "--preset best --data.source sample --features digits --evaluate-every 1000",
    "fashion": "--preset best --data fashion-mnist --features fashion --evaluate-every 1000",
}
MAX_BUNDLE_BYTES = 1_500_000


def main(arguments: Sequence[str]) -> None:
    """Train, score and export each generator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), default=sorted(RECIPES), metavar="NAME")
    given = parser.parse_args(arguments)
    given.out.mkdir(exist_ok=True)
    BUNDLES.mkdir(exist_ok=True)
    for name in given.only:
        run = given.out / name
        flags = [*RECIPES[name].split(), *COMMON.split()]
        ganforge(*(["resume", str(run)] if run.exists() else ["run", *flags, "--out", str(run)]))
        bundle = BUNDLES / f"{name}.zip"
        ganforge("export", str(run), "--to", "bundle", "--out", str(bundle), "--force")
        if bundle.stat().st_size > MAX_BUNDLE_BYTES:
            sys.exit(f"{bundle} has {bundle.stat().st_size:,} bytes; {MAX_BUNDLE_BYTES:,} are allowed")


def ganforge(*words: str) -> None:
    """Run a command, or end with its error."""
    subprocess.run([sys.executable, "-m", "ganforge", *words], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
