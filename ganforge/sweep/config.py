"""What a person asked a matrix for, as matrix.toml keeps it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from ganforge.config import Layer, read_document, write_document
from ganforge.config.dotted import flatten
from ganforge.config.experiment import TRAINED
from ganforge.errors import ConfigError, UsageError
from ganforge.utils.files import write_atomically

FILE = "matrix.toml"
#: How many cells a matrix may have; more are a slip, and would take months.
MOST_CELLS = 10_000
HEADER = "# What `ganforge matrix` was asked. The same command, or `ganforge matrix --resume DIR`, goes on with it.\n"


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Space(_Asked):
    """Hold what a search may choose from: numbers between two, both included."""

    low: float
    high: float
    whole: bool = False
    log: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("both ends must be finite")
        if not self.low < self.high:
            raise ValueError(f"{self.low:g} is not below {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.low:g} has no logarithm")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("both ends must be whole numbers")
        return self


class Search(_Asked):
    """Hold how a search goes on: how many trials, for which score, from which spaces, remembered where."""

    trials: PositiveInt
    objective: str
    spaces: dict[str, Space] = Field(default_factory=dict)
    storage: str | None = None


class ToEvaluate(_Asked):
    """Hold what `ganforge evaluate` is told beside the run; None leaves it to that command."""

    metrics: str | None = None
    samples: PositiveInt | None = None

    @property
    def names(self) -> list[str] | None:
        """The metrics' names, or None where the runs' own are meant."""
        return None if self.metrics is None else [name.strip() for name in self.metrics.split(",") if name.strip()]

    @property
    def arguments(self) -> list[str]:
        """The options of `ganforge evaluate`."""
        given = {"--metrics": self.metrics, "--samples": self.samples}
        return [str(word) for flag, value in given.items() if value is not None for word in (flag, value)]


class Base(_Asked):
    """Hold one layer of settings that all cells share."""

    origin: str
    values: dict[str, Any]
    loose: bool = False
    advisory: bool = False

    def layer(self) -> Layer:
        """Return it as settings are resolved from."""
        return Layer(self.origin, self.values, loose=self.loose, advisory=self.advisory)


class Request(_Asked):
    """Hold everything that decides which cells there are.

    axes: by key, the values that are tried: the four components first, then what is swept over. base: what all cells
    share, lowest first. plugins: absolute paths.
    """

    seeds: tuple[NonNegativeInt, ...] = Field(min_length=1)
    plugins: tuple[str, ...] = ()
    no_plugins: bool = False
    scoring: ToEvaluate = ToEvaluate()
    search: Search | None = None
    axes: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]
    base: tuple[Base, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [section for section in TRAINED if section not in self.axes]
        if missing:
            raise ValueError(f"axes has no {missing[0]}")
        return self

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what a matrix was asked for. Raises UsageError where the folder holds none, ConfigError."""
        place = folder / FILE
        if not place.is_file():
            raise UsageError(
                f"{folder} is no matrix: it has no {FILE}", fix="without --resume, the command makes a new one"
            )
        try:
            return cls.model_validate(read_document(place))
        except ConfigError as error:
            reason = error.message
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"{place} is damaged: {': '.join(filter(None, ('.'.join(map(str, first['loc'])), first['msg'])))}"
        raise ConfigError(reason, fix=f"remove it, and give the same command again with --out {folder}")

    def write(self, folder: Path) -> None:
        """Write matrix.toml. Raises OSError."""
        document = self.model_dump(mode="json", exclude_none=True)
        write_atomically(folder / FILE, HEADER + write_document(document))

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that this request alone has; a search has the same with further trials."""
        asked = self.model_dump(mode="json")
        if asked["search"] is not None:
            del asked["search"]["trials"]
        text = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def hindrance(self, before: Request) -> str | None:
        """Say what keeps this request from adding to what was asked before; None where it is the same or asks for more.

        It may have further seeds and values, and other scores; a search only further trials.
        """
        return next(self._conflicts(before), None)

    def _conflicts(self, before: Request) -> Iterator[str]:
        if self.search is not None and before.search is not None:
            if self.digest != before.digest:
                yield "it is another search"
            if self.search.trials < before.search.trials:
                yield f"it had {before.search.trials} trials"
            return
        if (self.search is None) != (before.search is None):
            yield "it is a search" if before.search else "it is no search"
        for key in dict.fromkeys(["seeds", *before.axes, *self.axes]):
            mine, others = (dict(one.axes) | {"seeds": one.seeds} for one in (self, before))
            if key not in others or key not in mine:
                yield f"{key} was {'varied' if key in others else 'not varied'}"
            elif lost := [value for value in others[key] if value not in mine[key]]:
                yield f"its {key} had {', '.join(map(str, lost))} too"
        mine, others = _flat(self.base), _flat(before.base)
        changed = [key for key in (*others, *mine) if mine.get(key) != others.get(key)]
        if changed:
            yield f"its settings were others: {', '.join(dict.fromkeys(changed))}"
        if (self.plugins, self.no_plugins) != (before.plugins, before.no_plugins):
            yield f"its plugins were {', '.join(before.plugins) or 'the installed ones'}"


def _flat(layers: Iterable[Base]) -> dict[str, Any]:
    """Return what layers set, by dotted key, and by the file where it is one."""
    return {
        key if layer.origin == "command line" else f"{layer.origin}: {key}": value
        for layer in layers
        for key, value in flatten(layer.values)
    }
