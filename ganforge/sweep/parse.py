"""From what is typed to a request: --seeds, --sweep, --space, and the names that a component is tried with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ganforge.config import Experiment, Layer, command_line_layer, preset_layer, read_document
from ganforge.config.dotted import literal
from ganforge.config.experiment import TRAINED
from ganforge.errors import UsageError
from ganforge.sweep.config import MOST_CELLS, Base, Search, Space, ToEvaluate
from ganforge.sweep.storage import check_address

#: What a search improves unless it is told.
OBJECTIVE = "fid"
#: What separates an option's values, outside brackets.
COMMA = re.compile(r",(?![^\[]*\])")
SPACE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<scale>log|int|int-log))?")


def read_seeds(text: str) -> tuple[int, ...]:
    """Return `3` as seeds 0, 1, 2, and `3,5,8` as themselves; `3,` is seed 3 alone. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    try:
        numbers = [int(word) for word in words if word]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or (len(words) == 1 and numbers == [0]):
        raise UsageError(f"--seeds {text}: no number of seeds", fix="3 means seeds 0, 1, 2; 3,5,8 means those")
    if len(words) > 1:
        return tuple(dict.fromkeys(numbers))
    if numbers[0] > MOST_CELLS:
        raise UsageError(
            f"--seeds {text}: {numbers[0]:,} seeds are more than the {MOST_CELLS:,} cells that a matrix may have",
            fix=f"pass fewer; {numbers[0]}, means that one seed",
        )
    return tuple(range(numbers[0]))


def read_scoring(metrics: str | None, samples: int | None) -> ToEvaluate:
    """Return what is scored. Raises UsageError where --metrics is given and names nothing."""
    found = ToEvaluate(metrics=metrics, samples=samples)
    if found.names == []:
        raise UsageError(f"--metrics {metrics}: names nothing", fix="write --metrics NAME,NAME, or leave it out")
    return found


def read_sweep(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return a key and its values: `gen.base_channels=32,64`, `gen.hidden=[16],[32,32]`, `penalty=none,r1`.

    Raises UsageError.
    """
    key, equals, words = text.partition("=")
    key = key.strip().replace("-", "_")
    values = _values(words)
    if not equals or not key.strip(".") or not values:
        raise UsageError(f"--sweep {text}: no option and values", fix="write --sweep gen.base_channels=32,64,112")
    _check_has_no_flag(key, words, f"--sweep {text}")
    return key, values


def _check_has_no_flag(key: str, words: str, given: str) -> None:
    """Raise UsageError for the seed and the four components, which have flags of their own."""
    if key == "seed" or key in TRAINED:
        flag = "--seeds 3,5,8" if key == "seed" else f"--{key} {words}"
        raise UsageError(f"{given}: a matrix has a flag for that", fix=f"pass {flag}")


def _values(text: str) -> tuple[Any, ...]:
    """Return what stands between commas, each as a TOML literal where it is one."""
    found = literal(f"[{text}]")
    if isinstance(found, str) or any(isinstance(value, date | time) for value in found):
        # some of it is no TOML, such as r1 or 1e-4..1e-2, or is a date, which alone is text
        found = [literal(word.strip()) for word in COMMA.split(text) if word.strip()]
    found = [_without_dates(value) for value in found]
    return tuple(value for number, value in enumerate(found) if value not in found[:number])


def _without_dates(value: Any) -> Any:  # noqa: ANN401 - as TOML has it
    """Return a value with text for the dates in it: no option is one."""
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value


def read_space(text: str) -> tuple[str, Space]:
    """Return a key and what a search may choose for it: `optimizer.lr=1e-5..1e-2:log`, `critic_steps=1..5:int`.

    Raises UsageError.
    """
    key, _, words = text.partition("=")
    key = key.strip().replace("-", "_")
    _check_has_no_flag(key, "NAME,NAME", f"--space {text}")
    match = SPACE.fullmatch(words.strip())
    example = "write --space optimizer.lr=1e-5..1e-2:log, or critic_steps=1..5:int"
    if match is None or not key.strip(". "):
        raise UsageError(f"--space {text}: no option and range", fix=example)
    scale = match["scale"] or ""
    try:
        space = Space(low=float(match["low"]), high=float(match["high"]), whole="int" in scale, log="log" in scale)
    except ValueError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        raise UsageError(f"--space {text}: {reason}", fix=example) from None
    return key, space


def split_axes(
    settings: Mapping[str, Any], below: Sequence[Layer]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
    """Return the names that each component is tried with, and the command line's settings without them.

    below: the layers under the command line; where it names no component, the highest of them that does decides.
    """
    axes: dict[str, tuple[str, ...]] = {}
    rest: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()
    }
    for section in TRAINED:
        default = Experiment.model_fields[section].default.name
        named = [_name(layer.values.get(section)) for layer in below]
        found = [name for name in (*named, _name(rest.get(section))) if name is not None]
        names = str(found[-1] if found else default)
        axes[section] = tuple(dict.fromkeys(word for word in (name.strip() for name in names.split(",")) if word))
        if not axes[section]:
            raise UsageError(f"--{section} names nothing", fix=f"write --{section} NAME,NAME, or leave it out")
        rest[section] = {key: value for key, value in rest.get(section, {}).items() if key != "name"}
    return axes, {key: value for key, value in rest.items() if value != {}}


def _name(content: object) -> object:
    return content.get("name") if isinstance(content, Mapping) else content


def read_layers(
    settings: Sequence[str], sweeps: Sequence[str], preset: str | None, files: Sequence[Path]
) -> tuple[dict[str, tuple[Any, ...]], tuple[Base, ...]]:
    """Return the axes of a matrix, and what all its cells share. Raises UsageError and ConfigError."""
    below = [] if preset is None else [preset_layer(preset)]
    below += [Layer(str(path), read_document(path)) for path in files]
    axes, rest = split_axes(command_line_layer(settings).values, below)
    if "seed" in rest:
        raise UsageError("--seed is one run's", fix="pass --seeds 3,5,8; 3, means seed 3 alone")
    swept: dict[str, tuple[Any, ...]] = {}
    for text in sweeps:
        key, values = read_sweep(text)
        if key in swept:
            raise UsageError(f"--sweep {text}: {key} is varied already", fix="give all its values at once")
        swept[key] = values
    layers = [*below, Layer("command line", rest, loose=True)]
    bases = (Base(origin=one.origin, values=dict(one.values), loose=one.loose, advisory=one.advisory) for one in layers)
    return {**axes, **swept}, tuple(bases)


def read_search(trials: int | None, spaces: Sequence[str], objective: str | None, storage: str | None) -> Search | None:
    """Return a search, or None where none is asked for. Raises UsageError."""
    if trials is None:
        flags = {"--space": spaces, "--objective": objective, "--storage": storage}
        for flag, value in flags.items():
            if value:
                raise UsageError(f"{flag} is for a search", fix="pass --search N, the number of trials")
        return None
    if storage is not None:
        check_address(storage)
    found = dict(read_space(text) for text in spaces)
    return Search(trials=trials, objective=objective or OBJECTIVE, spaces=found, storage=storage)
