"""Run the notebooks of examples/ and save their outputs: `python docs/scripts/make_notebooks.py [NAME…]`."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
TIMEOUT_SECONDS = 600


def execute(path: Path, folder: Path, **constants: int) -> Any:  # noqa: ANN401 - nbformat has no types
    """Return a notebook with the outputs of a run in a folder.

    Args:
        path: The notebook.
        folder: Working folder of its kernel, for the runs.
        constants: Values of constants that a line of the notebook assigns, such as `STEPS`.
    """
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        for name, value in constants.items():
            cell.source = re.sub(rf"^{name} = .*$", f"{name} = {value}", cell.source, flags=re.MULTILINE)
    environment = os.environ | {"GANFORGE_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    client = NotebookClient(
        notebook, timeout=TIMEOUT_SECONDS, resources={"metadata": {"path": str(folder)}}, record_timing=False
    )
    client.execute(env=environment)
    return notebook


def main() -> None:
    """Run the notebooks that are named, by default all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if len(sys.argv) > 1 and path.stem not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
