"""Strict schemas of files: pydantic models whose errors name the first invalid value."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Characters of untrusted text in a message.
MAX_TEXT_LENGTH = 100

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class StrictModel(BaseModel):
    """Schema without conversions, unknown keys or numbers that are not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def first_problem(error: ValidationError) -> str:
    """Return the first invalid value of a document and the reason, in one printable line."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Invalid JSON: ")
    shown = problem["type"] not in {"missing", "value_error", "json_invalid"}
    value = f" is {printable(repr(problem['input']))}" if shown else ""
    return f"{printable(place) or 'its content'}{value}: {printable(reason[:1].lower() + reason[1:])}"


def printable(text: str) -> str:
    """Return untrusted text for a message: shortened, and without control characters."""
    cut = text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…"
    return cut if cut.isprintable() else repr(cut)
