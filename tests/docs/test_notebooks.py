"""The page about Python and the notebooks run."""

from __future__ import annotations

import pytest

from tests.helpers.docs import DOCS, blocks
from tests.helpers.notebooks import session

PAGE = DOCS / "python.md"
#: Replacements that make the trainings short.
SHORT = {"steps=500": 'steps=2, batch_size=8, precision="fp32", evaluate=None', "steps=1000": "steps=3"}


@pytest.mark.filterwarnings("default:MNIST", "default:.*is kept but not used")  # meant for users
def test_the_page_about_python_runs() -> None:
    """Its Python code runs, in its order, as cells of a notebook; only the trainings are shortened."""
    cells = [block.text for block in blocks(PAGE, "python")]
    for long, short in SHORT.items():
        assert any(long in cell for cell in cells)
        cells = [cell.replace(long, short) for cell in cells]
    with session(*cells) as names:
        assert names["run"].manifest.status == "finished"
