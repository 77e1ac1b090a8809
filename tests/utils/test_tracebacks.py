"""Laws of error messages about plugins."""

from __future__ import annotations

import pytest

from ganforge.utils.tracebacks import MAX_LINE_LENGTH, single_line, summarize_exception


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer from https://me:s3cret@example.org:5000/api", "no answer from https://***@example.org:5000/api"),
        ("https://t0ken@example.org/api", "https://***@example.org/api"),
        ("postgresql://me:p@ss@db/runs is down", "postgresql://***@db/runs is down"),
        ("https://example.org/@user:1 and me@example.org", "https://example.org/@user:1 and me@example.org"),
        ("two\nlines\x1b[31m", r"two lines\x1b[31m"),
    ],
)
def test_messages_have_one_line_and_no_password(text: str, shown: str) -> None:
    """Control characters are escaped, and user and password of an address are replaced."""
    assert single_line(text) == shown
    assert summarize_exception(ConnectionError(text)).startswith(f"ConnectionError: {shown}")


def test_long_messages_are_cut() -> None:
    """A message is as long as a reader reads."""
    assert len(single_line("x" * 10_000)) == MAX_LINE_LENGTH
