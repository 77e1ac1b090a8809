"""Files that commands write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer

from ganforge.cli._output import RUN_FILES, check_output_folder, check_output_path
from ganforge.cli.run import _report
from ganforge.errors import UsageError
from ganforge.plugins import Plugins
from ganforge.plugins.registry import Registry
from ganforge.runs.session import Outcome
from ganforge.training.run_directory import RunDirectory
from tests.helpers.plugins import command
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
        with pytest.raises(UsageError, match=re.escape(f"{path} belongs to a run")):
            check_output_path(path, force=True)
    for path in (run / "report.html", Path("own.json"), tmp_path / "run.json"):
        check_output_path(path, force=True)


def test_folders_that_a_run_needs_are_never_filled(tmp_path: Path) -> None:
    """An exported folder replaces no checkpoint, not even with --force; a new folder in a run is allowed."""
    run = make_run(tmp_path / "run")
    checkpoint = run / "checkpoints" / "step-00000001"
    checkpoint.mkdir(parents=True)
    for path in (checkpoint, checkpoint.parent, checkpoint / "new"):
        with pytest.raises(UsageError, match=re.escape(f"{path} belongs to a run")):
            check_output_folder(path, force=True)
    check_output_folder(run / "weights", force=False)


def test_a_run_that_was_removed_while_it_trained_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of a failed run, and the message its error, not that of the folder that is gone."""
    run = RunDirectory(tmp_path / "gone")
    error = "a file could not be written"
    outcome = Outcome(run, "failed", 3, 30, None, 1.0, {}, error=error)
    with pytest.raises(typer.Exit) as end:
        _report(outcome, Registry(Plugins()), json=False)
    assert end.value.exit_code == 1
    assert f"{error}\n→ start it again: ganforge resume" in capsys.readouterr().err


def test_an_empty_sort_key_is_refused(tmp_path: Path) -> None:
    """`--sort ""`, as from an unset variable of a script, differs from the default order."""
    make_run(tmp_path / "run")
    ended = command("runs", tmp_path, "--sort", "")
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize("name", ["sweep.toml", "plan.json", "trials/x.toml"])
def test_no_command_replaces_a_file_that_a_sweep_needs(name: str, tmp_path: Path) -> None:
    """A page named plan.json would end the sweep; other files in its folder are the user's."""
    (tmp_path / "trials").mkdir()
    for file in ("sweep.toml", "plan.json", "trials/x.toml", "page.html"):
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match="belongs to a sweep"):
        check_output_path(tmp_path / name, force=True)
    check_output_path(tmp_path / "page.html", force=True)
    (tmp_path / "plan.json").unlink()  # lost, or of a sweep that met a full disk at its start
    with pytest.raises(UsageError, match="belongs to a sweep"):
        check_output_path(tmp_path / "sweep.toml", force=True)
    shutil.rmtree(tmp_path / "trials")  # a sweep.toml of the user alone makes no sweep
    check_output_path(tmp_path / "sweep.toml", force=True)
