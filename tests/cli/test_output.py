"""Files that commands write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganforge.cli._output import RUN_FILES, check_output_path
from ganforge.errors import UsageError
from tests.helpers.run_directories import make_run


@pytest.mark.parametrize("name", [*sorted(RUN_FILES - {"checkpoints"}), "checkpoints/step-00000001/state.json"])
def test_files_that_a_run_needs_are_never_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with --force, through a link or from within the run; its report and files of the user are."""
    run = make_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(run)
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).touch()
    monkeypatch.chdir(run)
    for path in (run / name, tmp_path / "link" / name, Path(name)):
        with pytest.raises(UsageError, match=re.escape(f"{path} is a file of a run")):
            check_output_path(path, force=True)
    for path in (run / "report.html", Path("own.json"), tmp_path / "run.json"):
        check_output_path(path, force=True)
