"""Command `ganforge explore` without its page; plugins/ganforge-explore tests the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ganforge.cli.app import app
from tests.helpers.latent_spaces import PLUGIN, train_one_step


def test_the_missing_page_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ganforge-explore the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "ganforge_explore", None)
    run = train_one_step(tmp_path / "run", "matrix")
    with pytest.raises(SystemExit) as end:
        app(["explore", str(run.path), "--plugin", str(PLUGIN), "--no-plugins"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: explore needs ganforge-explore")
    assert "python -m pip install ./plugins/ganforge-explore" in error
