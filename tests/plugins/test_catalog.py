"""List of components from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganforge as package
from ganforge.errors import UsageError
from tests.helpers.plugins import local, provides


def test_components_are_listed_as_data(tmp_path: Path) -> None:
    """Built-in and local ones, by kind and name, as a table in text and in a notebook; nothing is imported."""
    plugin = local(tmp_path / "mine.py", provides("loss", "mine", summary="<Best> loss."))
    losses = package.list_components("loss", plugins=[plugin])
    assert [component.name for component in losses] == ["bce", "mine"]
    assert repr(losses).splitlines()[0].split() == ["kind", "name", "summary"]
    assert repr(losses).splitlines()[-1] == "loss  mine  <Best> loss."
    assert "<td>&lt;Best&gt; loss.</td>" in losses._repr_html_()
    everything = package.list_components()
    assert {component.kind for component in everything} > {"generator", "loss", "metric"}
    assert all(isinstance(component, package.Component) for component in everything)


def test_a_misspelled_kind_gets_the_nearest() -> None:
    """The error proposes a kind."""
    with pytest.raises(UsageError, match="invalid kind 'lose'; did you mean 'loss'"):
        package.list_components("lose")  # type: ignore[arg-type]
