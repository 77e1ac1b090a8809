"""Laws of a run's provenance: the commit of the working folder, and the command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ganforge.runs import provenance
from ganforge.runs.provenance import command, git_commit, hardware
from ganforge.schemas.manifest import ResumedSession


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    return tmp_path


def test_git_commit_marks_changed_files(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The commit has a `+` if a tracked file differs; new files do not count; there is none outside of a repository."""
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "new.txt").write_text("new")
    assert git_commit(repository) == commit
    (repository / "a.txt").write_text("b")
    assert git_commit(repository) == f"{commit}+"
    assert git_commit(tmp_path_factory.mktemp("other")) is None


def test_names_in_a_repository_may_have_any_bytes(repository: Path) -> None:
    """A changed file and a setting that are not UTF-8 stop nothing."""
    config = repository / ".git" / "config"
    config.write_bytes(config.read_bytes() + b'[branch "\xe9"]\n\tremote = x\n[core]\n\tquotePath = false\n')
    file = os.fsencode(repository) + b"/caf\xe9.txt"
    with open(file, "wb") as opened:  # noqa: PTH123 - its name is not text
        opened.write(b"a")
    git(repository, "add", ".")
    assert git_commit(repository) == f"{git(repository, 'rev-parse', 'HEAD')}+"


@pytest.mark.parametrize("name", [b"evil", b"x=y", b"x\x0cy", b"\xe9", "x\u2028y".encode()])
def test_git_commit_runs_no_program_of_the_repository(name: bytes, repository: Path) -> None:
    """File system monitor, hooks and filters of any name that the repository configures do not run.

    Changes are still seen; if a filter cannot be switched off, there is no commit.
    """
    commit, witness = git(repository, "rev-parse", "HEAD"), repository / "witness"
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {witness}\ncat\n")
    program.chmod(0o755)
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.write_text(program.read_text())
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(program))
    with (repository / ".git" / "config").open("ab") as config:
        config.write(b'[filter "%s"]\n' % name + f"clean = {program}\nprocess = {program}\nrequired\n".encode())
    (repository / ".git" / "info" / "attributes").write_bytes(b"* filter=%s\n" % name)
    (repository / "a.txt").write_text("c")
    assert git_commit(repository) == (None if b"=" in name else f"{commit}+")
    assert not witness.exists()


def test_git_commit_fetches_nothing(repository: Path) -> None:
    """An object that a partial clone lacks is not fetched with the program of its remote."""
    tree, witness = git(repository, "rev-parse", "HEAD^{tree}"), repository / "witness"
    (repository / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    settings = {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(repository),
        "remote.origin.uploadPack": f"touch {witness}; git-upload-pack",
    }
    for key, value in settings.items():
        git(repository, "config", key, value)
    assert git_commit(repository) is None
    assert not witness.exists()


def test_command_is_text_whatever_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments that are not UTF-8 are escaped in run.json, which could not hold them."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ganforge", "run", "--out", "caf\udce9"])
    session = ResumedSession(at="", step=0, command=command(), versions={}, changed=[], processes=1)
    assert session.command == ["ganforge", "run", "--out", "caf\\xe9"]


OTHER = platform.processor() or platform.machine()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (None, OTHER),
        ("flags: sse\n", OTHER),
        ("model name\t: Some Processor @ 3 GHz\nmodel name: b\n", "Some Processor @ 3 GHz"),
    ],
)
def test_processor_has_a_name_on_every_system(
    content: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is the first in /proc/cpuinfo, or that of Python, as outside of Linux."""
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(provenance, "Path", lambda path: tmp_path / Path(path).name)
    assert hardware().processor == name


def test_memory_is_unknown_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's memory is known on POSIX alone."""
    size = hardware().memory_bytes
    assert size is not None
    assert size > 2**28
    monkeypatch.delattr(os, "sysconf")
    assert hardware().memory_bytes is None
