"""Laws of configuration from outside: any file and any setting is read, or is one error of the user's."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganforge.config import Experiment, command_line_layer, from_document, read_document, to_document, write_document
from ganforge.config.dotted import literal
from ganforge.config.resolve import resolve
from ganforge.errors import ConfigError, GanforgeError
from ganforge.plugins.registry import Registry
from ganforge.runs.query import Filter
from ganforge.utils.files import write_atomically

PROFILE = settings(max_examples=150, deadline=None, derandomize=True)
OPTIONS = [
    "gen.base_channels",
    "gen.dcgan",
    "disc.dcgan.base_channels",
    "optimizer",
    "optimizer.gen.lr",
    "optimizer.betas",
]
OPTIONS += [
    "schedules.optimizer.gen.lr",
    "schedules",
    "data.source",
    "data.path",
    "phase_order",
    "term.x.weight",
    "metric.fid",
]
KEYS = st.sampled_from([*Experiment.model_fields, *OPTIONS]) | st.text(max_size=12) | st.just("a" + ".a" * 2000)
ODD = [
    "",
    "none",
    "true",
    "[]",
    "{}",
    "[[]]",
    "{a=1}",
    "nan",
    "-inf",
    "1e400",
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 3000,
    "{a=" * 3000,
    "-1",
]
ODD += ["0", "1", "0.5", "2026-01-01", '"', "'", "\x00", "\x1b[2J", "\udcff", "dcgan", "mlp,mlp", "cosine", "a\nb=1"]
VALUES = st.sampled_from(ODD) | st.text(max_size=12) | st.integers().map(str) | st.floats().map(str)
SIGNS = ("=", "!=", "<", "<=", ">", ">=")
DOCUMENTS = st.binary(max_size=60) | st.text("a[]{}=.,\"'\n 19#\udcff", max_size=60).map(
    lambda text: text.encode(errors="surrogateescape")
)


@cache
def own_registry() -> Registry:
    """Return the registry with ganforge's own plugin alone."""
    return Registry.discover(no_plugins=True)


@contextmanager
def usage_errors(match: str = "") -> Iterator[None]:
    """Accept an error of the user's: one line of a readable length, with some words."""
    try:
        yield
    except GanforgeError as raised:
        error = raised
    else:
        return
    assert error.exit_code == 2
    assert error.message.isprintable()
    assert len(error.message) < 10_000
    assert match in error.message


@PROFILE
@given(st.lists(st.tuples(KEYS, VALUES), max_size=3))
@example([("steps", "9" * 400)])
@example([("epochs", "0x" + "f" * 400)])
def test_any_settings_are_resolved_or_refused(pairs: list[tuple[str, str]]) -> None:
    """Settings with any key and value give an experiment that run.toml keeps, or an error that is one line.

    The training has a length that a float can hold.
    """
    with usage_errors(), tempfile.TemporaryDirectory() as folder:
        resolved = resolve([command_line_layer(f"{key}={value}" for key, value in pairs)], own_registry())
        file = Path(folder, "run.toml")
        write_atomically(file, write_document(to_document(resolved.experiment)))
        assert from_document(read_document(file)) == resolved.experiment
        assert math.isfinite(resolved.experiment.total_steps(60_000))


@PROFILE
@given(DOCUMENTS)
def test_any_file_is_a_document_or_refused(content: bytes) -> None:
    """Any bytes are a document, or an error that names the file."""
    with tempfile.TemporaryDirectory() as folder, usage_errors(match="a.toml"):
        file = Path(folder, "a.toml")
        file.write_bytes(content)
        assert isinstance(read_document(file), dict)


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b"a" + b".a" * 100_000 + b" = 1",
        b"[a" + b".a" * 100_000 + b"]",
        b"a = " + b"9" * 100_000,
        b"a = 0x" + b"f" * 100_000,
        b"a = 1\0",
        b"a = '\xff'\n[",
        b"#" * (1 << 20) + b"\n\n",
    ],
    ids=["arrays", "tables", "dots", "header", "digits", "hexadecimal", "NUL", "bytes", "length"],
)
def test_hostile_documents_are_one_error(content: bytes, tmp_path: Path) -> None:
    """Nesting, digits and length without limit are an error that names the file."""
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.toml (?:is not TOML|cannot be read): .{1,300}$"):
        read_document(file)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Editors of Windows write one before the first key."""
    file = tmp_path / "a.toml"
    file.write_text("seed = 3\n", encoding="utf-8-sig")
    assert read_document(file) == {"seed": 3}


@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "folder"])
def test_only_regular_files_are_read(place: str, tmp_path: Path) -> None:
    """A pipe, a device and a folder are refused without waiting."""
    file = tmp_path / "a.toml"
    if place == "pipe":
        os.mkfifo(file)
    elif place == "folder":
        file.mkdir()
    else:
        file.symlink_to(place)
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read: "):
        read_document(file)


@PROFILE
@given(st.binary(max_size=20))
def test_names_that_are_not_utf8_survive_a_document(name: bytes) -> None:
    """A path of any bytes in a document is the same after it is written and read."""
    document = {"path": os.fsdecode(name)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.toml")
        write_atomically(file, write_document(document))
        assert read_document(file) == document


@PROFILE
@given(st.text(max_size=30) | VALUES)
def test_any_text_is_a_value(text: str) -> None:
    """Text of the command line is a TOML literal, or itself."""
    value = literal(text)
    assert value == text or not isinstance(value, str) or value in text or "\\" in text


@PROFILE
@given(
    st.text(max_size=20)
    | st.tuples(st.sampled_from(["fid", "steps", "created", "gen", "seed"]), st.sampled_from(SIGNS), VALUES).map(
        "".join
    ),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(max_size=3), max_size=3),
)
@example("gen=0x" + "f" * 5000, "a")
def test_any_filter_matches_or_is_refused(text: str, value: object) -> None:
    """A filter of any text decides about any value, or is an error of one line."""
    with usage_errors():
        condition = Filter.parse(text)
        condition.check([value])
        assert isinstance(condition.matches(value), bool)
        assert not condition.matches(None)
