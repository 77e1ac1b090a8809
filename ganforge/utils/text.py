"""Untrusted text: the one escape for terminals, tables, CSV and pages, and the one quotation for shells."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import PurePath

#: Characters that Python has for the bytes 0x80 to 0xff of a file name that is not UTF-8.
UNDECODABLE = range(0xDC80, 0xDD00)
#: Command within a message, which may have quoted arguments, or a flag with its value.
COMMAND_OR_FLAG = re.compile(
    r"\b(?:ganforge|python|torchrun|Docker:) (?:'[^']*'|[^;)])*"
    r"|(?<![\w./-])--(?P<key>[a-z][\w.-]*\w)(?: (?!(?:and|or|out)\b)(?P<value>[^\s,;:()]+)(?=$|[,;:)]| --| or ))?"
)


def printable(text: str) -> str:
    r"""Return text on one line that neither a terminal nor a reader mistakes: the same, or with escapes such as `\x1b`.

    Control characters, line ends, direction marks, invisible and unassigned characters, and bytes of file names that
    are not UTF-8 are escaped. The result is unchanged by a second call.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def printable_lines(text: str) -> str:
    """Return text of several lines with each line as `printable` returns it; tabs become spaces."""
    return text if text.isprintable() else "\n".join(map(printable, text.expandtabs().split("\n")))


def printable_json(document: object, *, indent: int | None = None) -> str:
    r"""Return JSON of ASCII characters without control characters, the same values; other types become text."""
    return json.dumps(document, indent=indent, default=str).replace("\x7f", "\\u007f")


def as_keywords(text: str) -> str:
    """Return a message for Python: `--num-samples 97` becomes `num_samples=97`; commands of a shell are kept."""
    return COMMAND_OR_FLAG.sub(_as_keyword, text)


def _as_keyword(match: re.Match[str]) -> str:
    if match["key"] is None:
        return match[0]
    key = match["key"].replace("-", "_")
    if key == "set" and match["value"] is not None:  # `--set KEY=VALUE`
        return match["value"]
    return key if match["value"] is None else f"{key}={match['value']}"


def shell_command(*arguments: object) -> str:
    """Return arguments as one line of printable text that a shell splits into the same arguments.

    A path that starts with a dash gets `./`, since it would be read as an option. Letters that stderr cannot show are
    written as bytes, in `$'…'`.
    """
    return " ".join(map(_quote, arguments))


def _quote(argument: object) -> str:
    text = str(argument)
    if isinstance(argument, PurePath) and text.startswith("-"):
        text = f"./{text}"
    if all(map(_is_shown, text)):
        return shlex.quote(text)
    return "$'" + "".join(map(_quote_letter, text)) + "'"


def _quote_letter(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    return letter if _is_shown(letter) else "".join(f"\\{byte:03o}" for byte in _bytes(letter))


def _is_shown(letter: str) -> bool:
    """Return whether a character is printable, and stderr has it."""
    try:
        letter.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return letter.isprintable()


def _escape(letter: str) -> str:
    return f"\\x{_bytes(letter)[0]:02x}" if ord(letter) in UNDECODABLE else ascii(letter)[1:-1]


def _bytes(letter: str) -> bytes:
    """Return the bytes that a character stands for in a file name."""
    code = ord(letter)
    return bytes([code - 0xDC00]) if code in UNDECODABLE else letter.encode("utf-8", "surrogatepass")
