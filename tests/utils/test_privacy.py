"""Laws of text that leaves the machine or stays in logs: no password, no home folder."""

from __future__ import annotations

import io

import pytest

from ganforge.utils.privacy import MaskedStream, shorten_home, shorten_paths


def test_home_folders_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths below the home folder begin with ~ in nested settings; other paths and non-strings are unchanged."""
    monkeypatch.setenv("HOME", "/home/me")
    others = {"other": "/home/mean/x", "deep": "/data/home/me/x", "n": 1}
    settings = {"path": "/home/me/pictures", "list": ["run", "--out=/home/me/runs", 3], **others}
    short = {"path": "~/pictures", "list": ["run", "--out=~/runs", 3], **others}
    assert shorten_home(settings) == short
    assert shorten_home(None) is None
    monkeypatch.setattr("os.path.expanduser", str)  # an unknown user without HOME
    assert shorten_home(settings) == settings


def test_paths_are_shortened_to_their_last_names() -> None:
    """Absolute paths, alone or in a sentence, leave only their last names; addresses and other text are unchanged."""
    paths = [
        "/data/my faces/",
        "~/pictures",
        "C:\\me\\x",
        "pictures from /data/faces: 3",
        "--out=/home/me/runs",
        "(/a/b)",
    ]
    assert shorten_paths(paths) == ["my faces", "pictures", "x", "pictures from faces: 3", "--out=runs", "(b)"]
    others = {"address": "https://host/a/b", "text": "w/o x, 1/2, and/or", "relative": "../data/x", "number": 1}
    assert shorten_paths(others) == others


def test_streams_are_masked() -> None:
    """Users, passwords and tokens of addresses are not written, but the rest is."""
    stream = io.StringIO()
    print("https://me:s3cret@host/api and https://t0ken@host", file=MaskedStream(stream))
    assert stream.getvalue() == "https://***@host/api and https://***@host\n"
