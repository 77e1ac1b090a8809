"""Laws of files from strangers: one line names a hostile file, others are listed, time and memory are bounded."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from tests.helpers.checkpoints import train_small
from tests.helpers.plugins import command

Attack = Callable[[Path], object]

#: Files of a run that a command reads, and one command that needs each.
NEEDED_BY = {
    "run.toml": ("resume",),
    "run.json": ("resume",),
    "metrics.jsonl": ("resume",),
    "evaluation.jsonl": ("resume",),
    "checkpoints/step-00000004/checksums.json": ("sample",),
    "checkpoints/step-00000004/state.json": ("sample",),
    "checkpoints/step-00000004/generator.safetensors": ("sample",),
    "checkpoints/step-00000004/optimizers.safetensors": ("resume",),
    "samples/step-00000004.png": ("report",),
    ".lock": ("resume",),
}
GIGABYTE = 1 << 30
SECONDS, MEMORY = 8, GIGABYTE
#: Command line that reports its seconds of a processor and its largest memory in KiB at the end.
MEASURED = """
import atexit, re, sys, time
def report():
    memory = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]
    sys.stderr.write(f"costs: {time.process_time()} {memory}")
atexit.register(report)
from ganforge.cli.app import main
main()
"""


def _sparse(length: int) -> Attack:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(length)

    return write


def _bytes(content: bytes) -> Attack:
    return lambda path: path.write_bytes(content)


#: Attacks of every kind on any file.
ATTACKS: dict[str, Attack] = {
    "a pipe": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "20 GB of holes": _sparse(20 << 30),
    "NUL": _bytes(bytes(1000)),
    "tables": _bytes(b'{"a":' * 50_000),
    "a key of many parts": _bytes(b"a" + b".a" * 100_000 + b" = 1"),
    "another document": _bytes(b"a = 1"),
    "digits": _bytes(b'{"seed": ' + b"9" * 100_000 + b"}"),
    "surrogates": _bytes(rb'{"status": "\udcff", "step": "\ud800"}'),
    "escapes": _bytes(b"\x1b[2J\x9b\r\x07\xe2\x80\xae"),
    "a header of 2^40": _bytes(struct.pack("<Q", 1 << 40) + b"{}"),
}


def _repeated(content: bytes) -> Attack:
    """Write the content a hundred million times."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(100):
                file.write(content * 1_000_000)

    return write


def _tensors(path: Path) -> None:
    entries = (f'"{index}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for index in range(1_000_000))
    header = b"{" + ",".join(entries).encode() + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)


#: These, variants of them, and large files.
ALL: dict[str, Attack] = {
    **ATTACKS,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "nothing": _bytes(b""),
    "brackets": _bytes(b"[" * 100_000),
    "inline tables": _bytes(b"a = " + b"{a=" * 50_000),
    "digits of TOML": _bytes(b"seed = " + b"9" * 100_000),
    "1e400": _bytes(b'{"step": 1e400}'),
    "no UTF-8": _bytes(b"\xff\xfe\x80"),
    "a list": _bytes(b"[]"),
    "null": _bytes(b"null"),
    "a header of 2^63": _bytes(struct.pack("<Q", (1 << 63) + 5)),
    "a million tensors": _tensors,
    "lines": _repeated(b"{}\n"),
    "damaged lines": _bytes(b"{}\n" * 1_000_000),
    "empty lines": _repeated(b"\n"),
    "one line": _repeated(b"x"),
    "many tables": _bytes(b"".join(b"[a%d]\n" % number for number in range(90_000))),
    "many keys": _bytes(b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}"),
    "16 MB of lists": _bytes(b"[" + b"[]," * 5_000_000 + b"[]]"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once, with an evaluation."""
    path = tmp_path_factory.mktemp("whole") / "run"
    settings = ("evaluate_every=4", "metric=sliced-wasserstein", "num_samples=10", "max_eval_time_fraction=1")
    return train_small(Registry.discover(no_plugins=True), path, *settings).path


def attacked(whole: Path, folder: Path, name: str, attack: Attack) -> Path:
    """Return a copy of a run with a hostile file, next to a good copy."""
    shutil.copytree(whole, folder / "good", symlinks=True)
    bad = shutil.copytree(whole, folder / "bad", symlinks=True)
    (bad / name).unlink()
    attack(bad / name)
    return bad


def arguments(verb: str, run: Path) -> list[str | Path]:
    """Return the arguments of a command on a run."""
    if verb == "sample":
        return [verb, run, "-n", "2", "--out", run.parent / "samples.png"]
    return [verb, run, *(["--steps", "6", "--quiet"] if verb == "resume" else [])]


def check(done: subprocess.CompletedProcess[str], name: str) -> None:
    """Check that a command succeeded, or failed with one printable line that names the file."""
    assert done.returncode in {0, 1, 2}, done.stderr
    assert all(line.isprintable() and len(line) < 1000 for line in done.stderr.split("\n"))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (done.returncode != 0)
    assert all(name in line or "has no valid checkpoint" in line for line in errors), errors
    assert "a bug of ganforge" not in done.stderr
    assert "free some space" not in done.stderr


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", NEEDED_BY)
def test_a_hostile_file_is_one_line(name: str, attack: str, whole: Path, tmp_path: Path) -> None:
    """The command that needs a hostile file succeeds without it or names it, and other runs are listed."""
    bad = attacked(whole, tmp_path, name, ATTACKS[attack])
    for verb in NEEDED_BY[name]:
        check(command(*arguments(verb, bad)), Path(name).name)
    listed = command("runs", tmp_path, "--sort", "sliced-wasserstein", "--where", "steps>=4")
    assert listed.returncode == 0, listed.stderr
    assert str(tmp_path / "good") in listed.stdout
    compared = command("compare", tmp_path)
    assert compared.returncode == 0, compared.stderr
    if attack == "a pipe" and name.startswith(("run.", "metrics", "evaluation")):
        assert str(bad) in compared.stderr


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("attack", ALL)
@pytest.mark.parametrize("name", NEEDED_BY)
def test_a_hostile_file_takes_bounded_time_and_memory(name: str, attack: str, whole: Path, tmp_path: Path) -> None:
    """Every command on a run with a hostile file ends within 8 seconds of a processor and a gigabyte."""
    bad = attacked(whole, tmp_path, name, ALL[attack])
    for verb in ("runs", "sample", "evaluate", "report", "compare", "resume"):
        place = tmp_path if verb in {"runs", "compare"} else bad
        done, seconds, memory = measured(*arguments(verb, place))
        if verb in {"runs", "compare"}:
            assert done.returncode == 0, done.stderr
        else:
            check(done, Path(name).name)
        assert seconds < SECONDS, (verb, seconds)
        assert memory < MEMORY, (verb, memory)


def measured(*words: str | Path) -> tuple[subprocess.CompletedProcess[str], float, int]:
    """Run a command in a process of its own; return also its seconds of a processor and its largest memory in bytes.

    The system's own count of a child's memory begins with that of this process.
    """
    line = [sys.executable, "-c", MEASURED, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    done.stderr, _, costs = done.stderr.rpartition("costs: ")
    seconds, memory = costs.split()
    return done, float(seconds), int(memory) * 1024
