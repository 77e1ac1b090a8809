"""docs/interfaces.md is one program: its components are conformant and its Python code trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganforge import testing
from ganforge.plugins.registry import Registry
from tests.helpers.docs import DOCS, blocks

SOURCE = "\n".join(block.text for block in blocks(DOCS / "interfaces.md", "python"))
#: Replacement that makes the training short.
SHORT = ("epochs=20", 'steps=2, batch_size=8, precision="fp32"')


@pytest.mark.filterwarnings("default:MNIST")  # meant for users: the sample replaces the full dataset
def test_the_page_runs() -> None:
    """All examples run, in their order; only the training is shortened."""
    assert SHORT[0] in SOURCE
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(SOURCE.replace(*SHORT), "interfaces.md", "exec"), namespace)  # noqa: S102 - our own page
    assert namespace["run"].manifest.status == "finished"
    assert Path("digits.png").is_file()
    assert Path("comparison.html").is_file()


@pytest.mark.slow
def test_components_of_the_page_are_conformant(tmp_path: Path) -> None:
    """Each component passes the checks of its kind."""
    components, found, _ = SOURCE.partition("from ganforge.testing")
    assert found
    file = tmp_path / "page.py"
    file.write_text(components, encoding="utf-8")
    registry = Registry.discover([file], no_plugins=True)
    for entry in registry.entries:
        if entry.source.path is not None:
            component = entry.component
            testing.check_component(component.kind, component.name, registry=registry).raise_for_failures()
