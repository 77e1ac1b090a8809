"""Strict schemas of a sweep's files; a damaged file is one named problem."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganforge.errors import ConfigError
from ganforge.utils.files import read_file, write_atomically
from ganforge.utils.schema import first_problem
from ganforge.utils.text import printable_json


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
            raise ConfigError(f"{path} is damaged: {first_problem(error, cls)}") from None

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Return the document of a JSON file. Raises OSError and ConfigError."""
        try:
            return cls.model_validate_json(read_file(path), strict=True)
        except ValidationError as error:
            raise ConfigError(f"{path} is damaged: {first_problem(error, cls)}") from None

    def write_json(self, path: Path) -> None:
        """Write the document as JSON. Raises OSError."""
        write_atomically(path, printable_json(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return the document as JSON holds it."""
        return self.model_dump(mode="json")


def rename_damaged(path: Path) -> Path:
    """Rename a file or folder to its first free name with `.damaged-N`, and return it. Raises OSError."""
    candidates = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return path.rename(next(candidate for candidate in candidates if not candidate.exists()))
