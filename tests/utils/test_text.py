"""Laws of untrusted text: nothing of it controls a terminal, JSON keeps it, and shells get it back."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.errors import GanforgeError
from ganforge.utils.text import as_keywords, printable, printable_json, printable_lines, shell_command

#: Any text of Python, lone surrogates included, with the characters that matter often.
TEXT = st.text(st.characters() | st.sampled_from("\x00\x1b\x07\r\n\t\x7f\x9b\u200f\u202e\u2066\u2028\udcff'\"\\$` "))
#: Any argument of a process: bytes without the null byte.
ARGUMENTS = st.binary(max_size=20).map(lambda name: os.fsdecode(name.replace(b"\0", b"'")))
PROFILE = settings(max_examples=200, deadline=None, derandomize=True)


def is_harmless(text: str) -> bool:
    """Return whether text has no control, format, surrogate, private, unassigned or line-separating character."""
    return not any(unicodedata.category(letter)[0] == "C" or letter in "\u2028\u2029" for letter in text)


@PROFILE
@given(TEXT)
def test_printable_text_is_harmless_and_stable(text: str) -> None:
    """Printable text is one harmless line of UTF-8, the same after a second call, and unchanged if it was harmless."""
    shown = printable(text)
    assert shown.isprintable()
    assert is_harmless(shown)
    assert printable(shown) == shown
    assert shown.encode().decode() == shown
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("digits", "digits"),
        ("네 숫자 × 🙂", "네 숫자 × 🙂"),
        ("a\nb\x1b[31m\x9b", r"a\nb\x1b[31m\x9b"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        (os.fsdecode(b"na\xefve"), r"na\xefve"),
    ],
)
def test_escapes_are_those_of_python(text: str, shown: str) -> None:
    """Only what a terminal would interpret is escaped; bytes that are not UTF-8 are shown as bytes."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        ("pass --num-samples 97 or less", "pass num_samples=97 or less"),
        ("leave out --checkpoint, --ema and --sampling", "leave out checkpoint, ema and sampling"),
        ("--data folder --data.path DIR; or --reference FILE", "data=folder data.path=DIR; or reference=FILE"),
        ("pass --epochs or --steps to train it further", "pass epochs or steps to train it further"),
        ("leave --reuse-fakes out, or choose another --out", "leave reuse_fakes out, or choose another out"),
        ("--resize makes pictures (--optimizer.lr 5e-5)", "resize makes pictures (optimizer.lr=5e-5)"),
        ("resume it: ganforge resume r --steps 5; or --out X", "resume it: ganforge resume r --steps 5; or out=X"),
        ("python -m pip install --no-deps ganforge", "python -m pip install --no-deps ganforge"),
        ("ganforge resume 'a (1)' --steps 5; or --out X", "ganforge resume 'a (1)' --steps 5; or out=X"),
        ("remove a--old, or /data/--old-one", "remove a--old, or /data/--old-one"),
        ("--workers 1, or enlarge it (Docker: --shm-size 1g)", "workers=1, or enlarge it (Docker: --shm-size 1g)"),
        ("give it: --set path=VALUE, or options= in a test", "give it: path=VALUE, or options= in a test"),
    ],
)
def test_an_error_of_python_names_keywords(flags: str, keywords: str) -> None:
    """The text of an error has keywords of Python in place of flags, and commands of a shell unchanged."""
    assert as_keywords(flags) == keywords
    error = GanforgeError("--data: no images", fix=flags)
    assert (str(error), error.fix) == (f"--data: no images\n{keywords}", flags)


@PROFILE
@given(TEXT)
def test_lines_stay_lines(text: str) -> None:
    """Line ends are kept in text of several lines, and only they."""
    lines = printable_lines(text).split("\n")
    assert len(lines) == text.count("\n") + 1
    assert all(map(is_harmless, lines))


@PROFILE
@given(st.recursive(TEXT | st.none() | st.integers(), lambda inner: st.dictionaries(TEXT, inner) | st.lists(inner)))
def test_json_keeps_every_text(document: object) -> None:
    """JSON is printable ASCII, and has the same values after parsing, names that are not UTF-8 included."""
    text = printable_json(document)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == document


@PROFILE
@given(TEXT, TEXT)
def test_errors_are_printable(message: str, fix: str) -> None:
    """Message and fix of an error are one line each, with any text in them."""
    error = GanforgeError(message, fix=fix)
    assert error.message.isprintable()
    assert error.fix is not None
    assert error.fix.isprintable()
    assert str(error).split("\n") == [*filter(None, (error.message, error.fix))] or not str(error)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(ARGUMENTS, min_size=1, max_size=20))
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_splits_a_command_into_its_arguments(shell: str, arguments: list[str]) -> None:
    """A printed command, pasted into a shell, has the bytes of each argument."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    line = shell_command(*arguments)
    assert line.isprintable()
    done = subprocess.run([program, "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(argument) for argument in arguments]


def test_a_command_can_be_pasted_from_a_stream_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters that stderr does not have are bytes, which bash reads as the same argument."""
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    line = shell_command("printf", "%s", "café 가's")
    assert line.isascii()
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-c", line], capture_output=True, check=True).stdout == "café 가's".encode()


def test_a_path_is_not_an_option() -> None:
    """A path that starts with a dash is pasted as a path."""
    assert shell_command("rm", "-r", Path("-rf")) == "rm -r ./-rf"
