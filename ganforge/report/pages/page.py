"""A page in one file: everything it shows stands in it, nothing is fetched, and only its own script runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ganforge.report.pages.pictures import Picture
from ganforge.utils import format as words
from ganforge.utils.files import write_atomically

PLACE = "ganforge.report.pages"


def render(template: str, **context: object) -> str:
    """Return a page. Everything in `context` is escaped, whatever it is; only templates write markup.

    template: its path within the package, such as `report/run.html.j2`; it extends `report/pages/base.html.j2`.
    What cannot be written as UTF-8, such as half a surrogate in a file's name, becomes a question mark.
    """
    text = _environment().get_template(template).render(context)
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all. Raises OSError."""
    write_atomically(path, page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ganforge", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "duration": words.duration,
        "size": words.size,
        "pairs": _pairs,
    }
    style, script = _own("style.css"), _own("script.js")
    # Whatever might slip into the page: it loads nothing, sends nothing, and runs only what has this hash.
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    environment.globals |= {
        "style": Markup(style),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "policy": policy,
        "version": version("ganforge"),
    }
    return environment


def _pairs(steps: Iterable[tuple[str, Picture]]) -> list[tuple[str, str]]:
    """Return labelled pictures as the script reads them."""
    return [(label, picture.uri) for label, picture in steps]


def _own(name: str) -> str:
    return files(PLACE).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return a text's hash as a Content-Security-Policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
