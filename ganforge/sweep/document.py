"""Strict schemas of a sweep's files; a damaged file is one named problem."""

from __future__ import annotations

import itertools
import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ganforge.errors import ConfigError
from ganforge.utils.files import write_atomically
from ganforge.utils.suggest import did_you_mean


class Document(BaseModel):
    """Content of a file, or a part of it: no unknown keys, and no conversion of texts to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, path: Path, content: object) -> Self:
        """Return the document of a file's content. Raises ConfigError with the file, the key and the problem."""
        try:
            # As JSON, since a list of TOML is a tuple here, which only the strict mode of JSON accepts.
            return cls.model_validate_json(json.dumps(content, default=str), strict=True)
        except ValidationError as error:
            raise ConfigError(f"{path} is damaged: {_first_problem(cls, error)}") from None

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Return the document of a JSON file. Raises OSError and ConfigError."""
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not JSON: {error}") from None
        return cls.parse(path, content)

    def write_json(self, path: Path) -> None:
        """Write the document as JSON. Raises OSError."""
        write_atomically(path, json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return the document as JSON holds it."""
        return self.model_dump(mode="json")


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    """Return the first problem as one line: key, value, and the valid ones."""
    problem = error.errors(include_url=False)[0]
    key, value = ".".join(map(str, problem["loc"])), reprlib.repr(problem["input"])
    if problem["type"] == "extra_forbidden":
        *parents, last = map(str, problem["loc"])
        return f"invalid key {key!r}{did_you_mean(last, _model_at(model, parents).model_fields)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{key} = {value}: {reason[:1].lower()}{reason[1:]}" if key else f"{reason[:1].lower()}{reason[1:]}"


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
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


def rename_damaged(path: Path) -> Path:
    """Rename a file or folder to its first free name with `.damaged-N`, and return it. Raises OSError."""
    candidates = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return path.rename(next(candidate for candidate in candidates if not candidate.exists()))
