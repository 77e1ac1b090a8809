"""Strict schemas of a sweep's files; a damaged file is one named problem."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganforge.errors import ConfigError
from ganforge.utils.files import read_file, write_atomically
from ganforge.utils.schema import first_problem
from ganforge.utils.text import printable_json

#: Bytes of a name that are not UTF-8, as Python holds them, and characters of the last private plane.
TO_PRIVATE = {0xDC00 + byte: 0x10FF00 + byte for byte in range(0x80, 0x100)}
FROM_PRIVATE = {private: byte for byte, private in TO_PRIVATE.items()}


class Document(BaseModel):
    """Content of a file, or a part of it: no unknown keys, and no conversion of texts to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, path: Path, content: object) -> Self:
        """Return the document of a file's content. Raises ConfigError with the file, the key and the problem."""
        try:
            return cls._validated(content)
        except ValidationError as error:
            raise ConfigError(f"{path} is damaged: {first_problem(error, cls)}") from None

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Return the document of a JSON file. Raises OSError and ConfigError."""
        content = read_file(path)
        try:
            return cls.model_validate_json(content, strict=True)
        except ValidationError as error:
            with suppress(ValueError, RecursionError):  # also pydantic's
                return cls._validated(json.loads(content))
            raise ConfigError(f"{path} is damaged: {first_problem(error, cls)}") from None

    @classmethod
    def _validated(cls, content: object) -> Self:
        """Return the document of a content, as JSON: only its strict mode accepts a list for a tuple.

        pydantic's JSON has no bytes that are not UTF-8, which a path may have; they are private characters meanwhile.
        """
        readable = _map_texts(content, lambda text: text.translate(TO_PRIVATE))
        document = cls.model_validate_json(json.dumps(readable, default=str), strict=True)
        if readable == content:
            return document
        return cls.model_validate(_map_texts(document.model_dump(), lambda text: text.translate(FROM_PRIVATE)))

    def write_json(self, path: Path) -> None:
        """Write the document as JSON. Raises OSError."""
        write_atomically(path, printable_json(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return the document as JSON holds it."""
        return self.model_dump(mode="json")


def _map_texts(content: Any, function: Callable[[str], str]) -> Any:  # noqa: ANN401 - any content
    """Return a nested content with a function of its texts, keys included."""
    if isinstance(content, str):
        return function(content)
    if isinstance(content, Mapping):
        return {_map_texts(key, function): _map_texts(value, function) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_map_texts(value, function) for value in content)
    return content


def rename_damaged(path: Path) -> Path:
    """Rename a file or folder to its first free name with `.damaged-N`, and return it. Raises OSError."""
    candidates = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    return path.rename(next(candidate for candidate in candidates if not candidate.exists()))
