"""Damaged checkpoints, truncated or with a flipped byte: the previous one is loaded, or one error is raised.

The short form damages a few positions of each file, the heavy one two hundred.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganforge.errors import CheckpointError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.training import checkpoint as checkpoints
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import FILES, copied, exact, train_small
from tests.helpers.runs import read_rows

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

#: The first bytes hold a safetensors file's header, where a flip does more than change a weight.
HEADER = 1000
POSITIONS = [pytest.param(12, id="12 positions"), pytest.param(200, id="200 positions", marks=pytest.mark.heavy)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Train four steps once; checkpoints of steps 2 and 4."""
    return train_small(Registry.discover(no_plugins=True), tmp_path_factory.mktemp("trained") / "run")


def positions(size: int, count: int) -> list[int]:
    """Return `count` positions below `size`: both ends, half of the others in the header, the rest anywhere."""
    chance = random.Random(size)  # noqa: S311 - positions, not secrets
    found = {0, 7, 8, size - 1}
    while len(found) < min(count, size):
        found.add(chance.randrange(min(size, HEADER) if len(found) % 2 else size))
    return sorted(found)


def damages(content: bytes, kind: str, count: int) -> Iterator[bytes]:
    """Yield a file's content cut at, or with one bit flipped at, many positions."""
    for number, position in enumerate(positions(len(content), count)):
        if kind == "truncated":
            yield content[:position]
        else:
            yield content[:position] + bytes([content[position] ^ 1 << number % 8]) + content[position + 1 :]


@pytest.mark.parametrize("count", POSITIONS)
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
@pytest.mark.parametrize("name", FILES)
def test_damage_anywhere_leads_to_the_checkpoint_before(
    name: str, kind: str, count: int, trained: RunDirectory, tmp_path: Path
) -> None:
    """One notice names the damaged file, and exactly the older content is loaded.

    Only checksums.json has bytes that mean nothing, such as its last line's end: then the same content is loaded.
    """
    run = copied(trained, tmp_path / "run")
    file = run.checkpoint_path(4) / name
    content = file.read_bytes()
    newest, before = (exact(checkpoints.load(trained.checkpoint_path(step))) for step in (4, 2))
    for damaged in damages(content, kind, count):
        file.write_bytes(damaged)
        notes: list[str] = []
        found = checkpoints.load_newest(run, notes.append)
        assert found is not None
        if notes:
            assert exact(found) == before
            assert len(notes) == 1
            assert str(run.checkpoint_path(4)) in notes[0]
            assert name == "checksums.json" or str(file) in notes[0]
        else:
            assert name == "checksums.json"
            assert damaged.split() == content.split()
            assert exact(found) == newest


@pytest.mark.parametrize("count", POSITIONS)
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_with_no_checkpoint_left_it_is_one_error(kind: str, count: int, trained: RunDirectory, tmp_path: Path) -> None:
    """If every checkpoint has a damaged file, one CheckpointError is raised, and nothing is loaded."""
    run = copied(trained, tmp_path / "run")
    chance = random.Random(count)  # noqa: S311 - files, not secrets
    for number in range(count):
        harmed = []
        for step in (2, 4):
            file = run.checkpoint_path(step) / chance.choice(FILES[1:])
            whole = file.read_bytes()
            file.write_bytes(list(damages(whole, kind, 8))[number % 8])
            harmed.append((file, whole))
        notes: list[str] = []
        with pytest.raises(CheckpointError, match="all 2 are damaged"):
            checkpoints.load_newest(run, notes.append)
        assert [str(file) in note for note, (file, _) in zip(notes, reversed(harmed), strict=True)] == [True, True]
        for file, whole in harmed:
            file.write_bytes(whole)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_resume_command_falls_back_to_the_previous_checkpoint(
    name: str, kind: str, trained: RunDirectory, ganforge: Ganforge, tmp_path: Path
) -> None:
    """`ganforge resume` names the damaged file on stderr, continues, and ends with the bits of an undamaged run."""
    run = copied(trained, tmp_path / "run")
    file = run.checkpoint_path(4) / name
    file.write_bytes(list(damages(file.read_bytes(), kind, 9))[4])
    done = ganforge("resume", run.path, "--steps", "6", "--quiet")
    assert done.returncode == 0, done.stderr
    assert str(run.checkpoint_path(4)) in done.stderr
    assert "Traceback" not in done.stderr
    unharmed = copied(trained, tmp_path / "unharmed")
    straight = ganforge("resume", unharmed.path, "--steps", "6", "--quiet")
    assert straight.returncode == 0, straight.stderr
    assert exact(checkpoints.load(run.checkpoint_path(6))) == exact(checkpoints.load(unharmed.checkpoint_path(6)))


def test_damaged_rows_do_not_stop_a_run(trained: RunDirectory, registry: Registry, tmp_path: Path) -> None:
    """A run resumes with any content of metrics.jsonl and evaluation.jsonl, and writes its later rows."""
    run = copied(trained, tmp_path / "run")
    odd = ['{"step": "4"}', "[" * 10_000, "1" * 5000, '{"step": 4, "elapsed_seconds": null}', '{"step": 3, "x', "\x00"]
    odd += ['{"step": NaN}', '{"step": true}', "[]", '{"step": 4, "elapsed_seconds": 1e999}', '{"step": 9}']
    odd += ['{"step": 4, "elapsed_seconds": 1' + "0" * 400 + "}"]
    for file in (run.metrics, run.evaluations):
        with file.open("ab") as opened:
            opened.write("\n".join(odd).encode() + b"\n\xff\xfe\n")
    assert launch.resume_run(run, registry, launch.ResumeOverrides(steps=6)).status == "finished"
    assert [row["step"] for row in read_rows(run.metrics)][-2:] == [5, 6]
    assert 9 not in [row.get("step") for row in read_rows(run.metrics)]
