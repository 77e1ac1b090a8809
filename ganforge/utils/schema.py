"""Strict schemas of files and settings: pydantic models, and their errors as one line."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ganforge.utils.suggest import did_you_mean
from ganforge.utils.text import printable

#: Characters of untrusted text in a message.
MAX_TEXT_LENGTH = 100

Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def escape_bytes(text: str) -> str:
    r"""Return text in which bytes of a file name that are not UTF-8 are escapes such as `\xe9`."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


#: Types of text and of paths.
TEXT_TYPES = (str, str | None, Path, Path | None)
#: Name or argument from the operating system; bytes that are not UTF-8, which JSON cannot hold, are escaped.
SystemText = Annotated[str, AfterValidator(escape_bytes)]


class StrictModel(BaseModel):
    """Schema without conversions, unknown keys or numbers that are not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def spell_scalars(values: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return values in which an integer for text or a path, and a boolean for these or for a number, is text.

    TOML reads the name of a folder such as 2024 as a number; pydantic would take true for 1. A number with a point is
    refused, since 2024.10 has been read as 2024.1.
    """
    return {
        key: str(value).lower()
        if key in model.model_fields and _is_spelled(value, model.model_fields[key].annotation)
        else value
        for key, value in values.items()
    }


def _is_spelled(value: object, annotation: object) -> bool:
    if isinstance(value, bool):
        return annotation in TEXT_TYPES or _is_number(annotation)
    return isinstance(value, int) and annotation in TEXT_TYPES


def _is_number(annotation: object) -> bool:
    """Return whether a type allows numbers and no booleans."""
    types, pending = set(), [annotation]
    while pending:
        types.add(part := pending.pop())
        pending += [argument for argument in get_args(part) if isinstance(argument, type) or get_args(argument)]
    return bool not in types and not types.isdisjoint({int, float})


def first_problem(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first problem of a document in one printable line: key, value and reason, or the nearest valid key."""
    problem = error.errors(include_url=False)[0]
    *parents, last = map(str, problem["loc"]) if problem["loc"] else ("",)
    key = excerpt(".".join([*parents, last]))
    if problem["type"] == "extra_forbidden":
        return f"invalid key {key!r}" + (
            "" if model is None else did_you_mean(last, model_at(model, parents).model_fields)
        )
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Invalid JSON: ")
    reason = excerpt(message if message[:2].isupper() else message[:1].lower() + message[1:])
    return f"{key} = {excerpt(reprlib.repr(problem['input']))}: {reason}" if key else reason


def validation_message(prefix: str, error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """Return pydantic's errors as one line: the key, its origin, the problem, and the nearest valid key."""
    messages = []
    for finding in error.errors(include_url=False):
        path = [str(part) for part in finding["loc"]]
        key = ".".join([prefix, *path] if prefix else path)
        origin = origins.get(key) or next((origins[name] for name in origins if key.startswith(f"{name}.")), None)
        suffix = f" ({origin})" if origin else ""
        if finding["type"] == "extra_forbidden":
            noun = "no option" if prefix or len(path) > 1 else "invalid setting"
            fields = model_at(model, path[:-1]).model_fields
            messages.append(f"{noun} {path[-1]!r}{suffix}{did_you_mean(path[-1], fields)}")
        elif finding["type"] == "missing":
            messages.append(f"{key} must be given, such as --{key} VALUE")
        else:
            reason = finding["msg"].removeprefix("Value error, ")
            if finding["type"] in {"path_type", "string_type"} and isinstance(finding["input"], float):
                reason = "it must be text, as is a number in quotes; on the command line: \"'1.0'\""
            value = excerpt(repr(finding["input"]))
            messages.append(f"{key} = {value}{suffix}: {reason[:1].lower()}{reason[1:]}" if key else reason)
    return "; ".join(messages)


def model_at(model: type[BaseModel], path: Iterable[str]) -> type[BaseModel]:
    """Return the model of a part of a document."""
    for key in path:
        if key in model.model_fields:
            model = next(_models_in(model.model_fields[key].annotation), model)
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def excerpt(text: str) -> str:
    """Return untrusted text for a message: printable and shortened."""
    return printable(text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…")
