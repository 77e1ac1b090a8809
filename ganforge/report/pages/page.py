"""Self-contained pages, rendered from templates."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ganforge.utils.format import format_duration, format_number
from ganforge.utils.text import printable, printable_lines

PACKAGE = "ganforge.report.pages"
MAX_TEXT_LENGTH = 4000


def render(template: str, **context: object) -> str:
    """Render a template of the package, such as `report/run.html.j2`; the context is escaped and printable."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ganforge", ""),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": format_number,
        "seconds": lambda value: "" if value is None else format_duration(value),
        "count": lambda value: "" if value is None else f"{value:,.0f}",
        "text": _text,
        "pairs": lambda steps: [(printable(label), picture.uri) for label, picture in steps],  # as the script has them
    }
    style, script = _read_resource("style.css"), _read_resource("script.js")
    # Injected markup can neither load, send nor run anything: the policy admits one script by its hash.
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


def _printable(value: object) -> object:
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _text(value: object) -> str:
    """Return a value as text of limited length, empty for None."""
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]} …"


def _read_resource(name: str) -> str:
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """Return the hash of a text as in a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
