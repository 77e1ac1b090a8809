"""Configuration of a sweep, as sweep.toml holds it, and the schema of all files of a sweep."""

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
from ganforge.config.references import TRAINED
from ganforge.errors import ConfigError, UsageError
from ganforge.utils.files import read_file, write_atomically
from ganforge.utils.schema import first_problem
from ganforge.utils.text import printable_json

FILE = "sweep.toml"
#: Limit of the trials of a sweep; more are a typing error, and would take months.
MAX_TRIALS = 10_000
HEADER = "# Configuration of `ganforge sweep`. The same command, or `ganforge sweep --resume DIR`, continues it.\n"


class Document(BaseModel):
    """Content of a file, or a part of it: no unknown keys, and no conversion of texts to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, path: Path, text: str | bytes) -> Self:
        """Return the document of a JSON text. Raises ConfigError with the file, the key and the problem."""
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            problem = error
        try:
            # pydantic's JSON has no bytes that are not UTF-8, which a path may have; "?" stands for them in the check.
            content = json.loads(text)
            cls.model_validate_json(json.dumps(content, ensure_ascii=False).encode(errors="replace"), strict=True)
            return cls.model_validate(content)
        except ValidationError as error:
            problem = error
        except (ValueError, RecursionError):  # not JSON
            pass
        raise ConfigError(f"{path} is damaged: {first_problem(problem, cls)}")

    @classmethod
    def read_json(cls, path: Path) -> Self:
        """Return the document of a JSON file. Raises OSError and ConfigError."""
        return cls.parse(path, read_file(path))

    def write_json(self, path: Path) -> None:
        """Write the document as JSON. Raises OSError."""
        write_atomically(path, printable_json(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return the document as JSON holds it."""
        return self.model_dump(mode="json")


class SearchSpace(Document):
    """Range of a number that a search may choose, both ends included."""

    low: float
    high: float
    integer: bool = False
    log: bool = False

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("both ends must be finite")
        if not self.low < self.high:
            raise ValueError(f"{self.low:g} is not below {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.low:g} has no logarithm")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("both ends must be integers")
        return self


class SearchConfig(Document):
    """Search by Optuna; its `storage` is an address, or None for a journal in the sweep's folder."""

    num_configs: PositiveInt
    objective: str
    spaces: dict[str, SearchSpace] = Field(default_factory=dict)
    storage: str | None = None


class EvalSpec(Document):
    """Options of `ganforge evaluate`; None leaves them to that command."""

    metrics: tuple[str, ...] | None = None
    num_samples: PositiveInt | None = None

    @property
    def arguments(self) -> list[str]:
        """Command-line arguments of `ganforge evaluate`."""
        metrics = [] if self.metrics is None else ["--metric", ",".join(self.metrics)]
        return metrics + ([] if self.num_samples is None else ["--num-samples", str(self.num_samples)])


class BaseLayer(Document):
    """Layer of settings that all trials share."""

    origin: str
    values: dict[str, Any]
    loose: bool = False
    advisory: bool = False

    def layer(self) -> Layer:
        """Return the layer for `resolve`."""
        return Layer(**dict(self))


class SweepConfig(Document):
    """Everything that decides the trials of a sweep.

    Attributes:
        plugins: Absolute paths of local plugins.
        no_plugins: Whether installed plugins are ignored.
        search: Search, or None for a grid.
        axes: Values by setting: first the names of the four components, then the swept settings.
        base: Layers that all trials share, lowest first.
    """

    seeds: tuple[NonNegativeInt, ...] = Field(min_length=1)
    plugins: tuple[str, ...] = ()
    no_plugins: bool = False
    scoring: EvalSpec = EvalSpec()
    search: SearchConfig | None = None
    axes: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]
    base: tuple[BaseLayer, ...]

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        missing = [section for section in TRAINED if section not in self.axes]
        if missing:
            raise ValueError(f"axes has no {missing[0]}")
        return self

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the configuration of a sweep's folder.

        Raises:
            UsageError: The folder has no sweep.toml.
            ConfigError: It is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            raise UsageError(f"{folder} is not a sweep: it has no {FILE}", fix="leave --resume out to start a new one")
        try:
            return cls.parse(path, json.dumps(read_document(path), default=str))
        except ConfigError as error:
            reason = error.message
        except RecursionError:
            reason = f"{path} is damaged: it is nested too deeply"
        raise ConfigError(reason, fix=f"remove it, and give the same command again with --out {folder}")

    def write(self, folder: Path) -> None:
        """Write sweep.toml. Raises OSError."""
        write_atomically(folder / FILE, HEADER + write_document(self.model_dump(mode="json", exclude_none=True)))

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of a hash; more configurations of a search leave them unchanged."""
        text = json.dumps(self.model_dump(mode="json", exclude={"search": {"num_configs"}}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def conflict_with(self, earlier: SweepConfig) -> str | None:
        """Return the reason if this configuration is not an extension of an earlier one, else None.

        A grid may have more seeds and values, and other scores; a search only more configurations.
        """
        return next(self._conflicts(earlier), None)

    def _conflicts(self, earlier: SweepConfig) -> Iterator[str]:
        if self.search is not None and earlier.search is not None:
            if self.digest != earlier.digest:
                yield "it is another search"
            if self.search.num_configs < earlier.search.num_configs:
                yield f"it had {earlier.search.num_configs} configurations"
            return
        if (self.search is None) != (earlier.search is None):
            yield "it is a search" if earlier.search else "it is not a search"
        axes, earlier_axes = ({**config.axes, "seeds": config.seeds} for config in (self, earlier))
        for key in dict.fromkeys(["seeds", *earlier_axes, *axes]):
            if key not in earlier_axes or key not in axes:
                yield f"{key} was {'varied' if key in earlier_axes else 'not varied'}"
            elif missing := [value for value in earlier_axes[key] if value not in axes[key]]:
                yield f"its {key} included {', '.join(map(str, missing))}"
        settings, earlier_settings = _flatten_layers(self.base), _flatten_layers(earlier.base)
        keys = dict.fromkeys([*earlier_settings, *settings])
        if changed := [key for key in keys if settings.get(key) != earlier_settings.get(key)]:
            yield f"it had other settings: {', '.join(changed)}"
        if (self.plugins, self.no_plugins) != (earlier.plugins, earlier.no_plugins):
            yield f"its plugins were {', '.join(earlier.plugins) or 'the installed ones'}"


def _flatten_layers(layers: Iterable[BaseLayer]) -> dict[str, Any]:
    """Return the values of layers by dotted key, preceded by the file for layers from files."""
    return {
        key if layer.origin == "command line" else f"{layer.origin}: {key}": value
        for layer in layers
        for key, value in flatten(layer.values)
    }
