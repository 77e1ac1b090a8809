"""The page about Python and the notebooks run."""

from __future__ import annotations

import asyncio
import importlib
import re
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.helpers.docs import DOCS, ROOT, blocks
from tests.helpers.notebooks import session

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
#: Largest notebook, since its outputs are pictures in the repository.
MAX_BYTES = 300_000
PAGE = DOCS / "python.md"
#: Replacements that make the trainings short.
SHORT = {"steps=500": 'steps=2, batch_size=8, precision="fp32", evaluate=None', "steps=1000": "steps=3"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default:MNIST", "default:.*is kept but not used")  # meant for users
def test_the_page_about_python_runs() -> None:
    """Its Python code runs, in its order, as cells of a notebook; only the trainings are shortened."""
    cells = [block.text for block in blocks(PAGE, "python")]
    for long, short in SHORT.items():
        assert any(long in cell for cell in cells)
        cells = [cell.replace(long, short) for cell in cells]
    with session(*cells) as names:
        assert names["run"].manifest.status == "finished"


def interrupt(client: Any, file: Path) -> None:
    """Press the stop button as soon as a file exists."""
    while not file.exists():
        time.sleep(0.05)
    asyncio.run(client.km.interrupt_kernel())


@pytest.mark.slow
def test_the_stop_button_saves(tmp_path: Path) -> None:
    """A training with a class of a cell ends with a checkpoint, and the call that the error shows continues it."""
    train = """
import ganforge
class L(ganforge.Loss):
    def discriminator_loss(self, *, real, fake): return -real.logits.sigmoid() + fake.logits.sigmoid()
    def generator_loss(self, *, real, fake): return -fake.logits.sigmoid()
ganforge.train(loss=L, gen="mlp", disc="mlp", data={"name": "mnist", "source": "sample"}, out="run", steps=10**6)
"""
    cells = [nbformat.v4.new_code_cell(source) for source in (train, "placeholder")]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    )
    with client.setup_kernel():
        presser = threading.Thread(target=interrupt, args=(client, tmp_path / "run" / "metrics.jsonl"))
        presser.start()
        with pytest.raises(CellExecutionError):
            client.execute_cell(cells[0], 0)
        presser.join()
        shown, error = cells[0].outputs
        assert "interrupted" in shown.data["text/plain"]
        assert error.ename == "KeyboardInterrupt"
        step, call = re.fullmatch(r"saved at step (\d+); (ganforge\.resume\(.*\)) continues", error.evalue).groups()  # type: ignore[union-attr]
        assert "components.py" in call
        more = f"run = {call[:-1]}, steps={int(step) + 1})\nprint(run.manifest.summary.steps)"
        cells[1].source = more
        client.execute_cell(cells[1], 1)
        assert cells[1].outputs[-1].text.strip() == str(int(step) + 1)


def shape(notebook: Any) -> list[list[tuple[str, ...]]]:
    """Return the kinds of the outputs of each cell."""
    return [
        [(output.output_type, output.get("name", ""), *sorted(output.get("data", ()))) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_three_small_notebooks() -> None:
    """Each has the outputs of one run from top to bottom, none of them a warning, and is small."""
    assert [path.stem for path in NOTEBOOKS] == ["explore-a-latent-space", "train-and-compare", "write-a-loss"]
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, 4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert "stderr" not in {output.get("name") for cell in code for output in cell.outputs}
        assert path.stat().st_size < MAX_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook runs in a kernel, with short trainings, and its outputs are of the kinds that it was saved with."""
    monkeypatch.syspath_prepend(str(DOCS / "scripts"))
    script = importlib.import_module("make_notebooks")
    assert shape(script.execute(path, tmp_path, STEPS=3)) == shape(nbformat.read(path, 4))
