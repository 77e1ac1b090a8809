"""Parser of a sweep's flags: --seeds, --sweep, --space, --objective, and the names of the components."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ganforge.config import Experiment, Layer, command_line_layer
from ganforge.config.dotted import literal
from ganforge.config.references import TRAINED
from ganforge.errors import PluginError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import MAX_TRIALS, BaseLayer, EvalSpec, SearchConfig, SearchSpace, SweepConfig
from ganforge.utils.suggest import did_you_mean

DEFAULT_OBJECTIVE = "fid"
#: Separator of an option's values, outside of brackets.
COMMA = re.compile(r",(?![^\[]*\])")
SPACE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<scale>log|int|int-log))?")

Axes = dict[str, tuple[Any, ...]]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of `3` (0, 1, 2), `3,5,8` (these) or `3,` (seed 3). Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    try:
        numbers = [int(word) for word in words if word]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or (len(words) == 1 and numbers == [0]):
        raise UsageError(f"--seeds {text}: invalid seeds", fix="3 means seeds 0, 1, 2; 3,5,8 means those")
    if len(words) > 1:
        return tuple(dict.fromkeys(numbers))
    if numbers[0] > MAX_TRIALS:
        raise UsageError(
            f"--seeds {text}: {numbers[0]:,} seeds exceed the limit of {MAX_TRIALS:,} trials",
            fix=f"pass fewer; {numbers[0]}, means one seed",
        )
    return tuple(range(numbers[0]))


def parse_scoring(metrics: Sequence[str], num_samples: int | None) -> EvalSpec:
    """Return the options of the scores. Raises UsageError for --metric without a name."""
    names = tuple(name.strip() for text in metrics for name in text.split(",") if name.strip())
    if metrics and not names:
        raise UsageError(f"--metric {','.join(metrics)}: no name", fix="write --metric NAME,NAME, or leave it out")
    return EvalSpec(metrics=names or None, num_samples=num_samples)


def parse_sweep(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return key and values of `gen.base_channels=32,64`, `gen.hidden=[16],[32,32]` or `term=none,r1`.

    Raises:
        UsageError: The text has no key or no values, or the key has a flag.
    """
    key, equals, words = text.partition("=")
    key = key.strip().replace("-", "_")
    values = _parse_values(words)
    if not equals or not key.strip(".") or not values:
        raise UsageError(f"--sweep {text}: no option and values", fix="write --sweep gen.base_channels=32,64,112")
    _check_has_no_flag(key, words, f"--sweep {text}")
    return key, values


def _check_has_no_flag(key: str, words: str, argument: str) -> None:
    """Raise UsageError for the seed and the four components, which have flags."""
    section = key.removesuffix(".name")
    if key == "seed" or section in TRAINED:
        flag = "--seeds 3,5,8" if key == "seed" else f"--{section} {words}"
        raise UsageError(f"{argument}: {key} has a flag", fix=f"pass {flag}")


def _parse_values(text: str) -> tuple[Any, ...]:
    """Return the different values between commas, as TOML literals where possible."""
    values = literal(f"[{text}]")
    if isinstance(values, str) or any(isinstance(value, date | time) for value in values):
        # A value is not TOML, such as r1 or 1e-4..1e-2, or is a date, which `literal` alone returns as text.
        values = [literal(word.strip()) for word in COMMA.split(text) if word.strip()]
    values = [_dates_to_text(value) for value in values]
    return tuple(value for number, value in enumerate(values) if value not in values[:number])


def _dates_to_text(value: Any) -> Any:  # noqa: ANN401 - a TOML value
    """Return a value with text for its dates, since no option is a date."""
    if isinstance(value, list):
        return [_dates_to_text(item) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value


def parse_space(text: str) -> tuple[str, SearchSpace]:
    """Return key and range of `optimizer.lr=1e-5..1e-2:log` or `critic_steps=1..5:int`. Raises UsageError."""
    key, _, words = text.partition("=")
    key = key.strip().replace("-", "_")
    _check_has_no_flag(key, "NAME,NAME", f"--space {text}")
    match = SPACE.fullmatch(words.strip())
    example = "write --space optimizer.lr=1e-5..1e-2:log, or critic_steps=1..5:int"
    if match is None or not key.strip(". "):
        raise UsageError(f"--space {text}: no option and range", fix=example)
    scale = match["scale"] or ""
    try:
        low, high = float(match["low"]), float(match["high"])
        space = SearchSpace(low=low, high=high, integer="int" in scale, log="log" in scale)
    except ValueError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        raise UsageError(f"--space {text}: {reason}", fix=example) from None
    return key, space


def parse_layers(
    settings: Sequence[str], sweeps: Sequence[str], below: Sequence[Layer]
) -> tuple[Axes, tuple[BaseLayer, ...]]:
    """Return the axes of a sweep, and the layers that all its trials share; `below` are those of a preset and of files.

    Raises UsageError and ConfigError.
    """
    axes, rest = _split_axes(command_line_layer(settings).values, below)
    if "seed" in rest:
        raise UsageError("a sweep has no --seed", fix="pass --seeds 3,5,8; 3, means seed 3")
    for text in sweeps:
        key, values = parse_sweep(text)
        if key in axes:
            raise UsageError(f"--sweep {text}: {key} is varied already", fix="pass all its values at once")
        axes[key] = values
    layers = [*below, Layer("command line", rest, loose=True)]
    return axes, tuple(BaseLayer.model_validate(layer, from_attributes=True) for layer in layers)


def _split_axes(settings: Mapping[str, Any], below: Sequence[Layer]) -> tuple[Axes, dict[str, Any]]:
    """Return the names of each component, and the other settings of the command line.

    The highest layer `below` that names a component counts if the command line does not.
    """
    axes: Axes = {}
    rest: dict[str, Any] = dict(settings)
    for section in TRAINED:
        default = Experiment.model_fields[section].default.name
        candidates = [*(_name(layer.values.get(section)) for layer in below), _name(rest.get(section))]
        names = str(([default] + [name for name in candidates if name is not None])[-1])
        axes[section] = tuple(dict.fromkeys(word for word in (name.strip() for name in names.split(",")) if word))
        if not axes[section]:
            raise UsageError(f"--{section}: no name", fix=f"write --{section} NAME,NAME, or leave it out")
        rest[section] = {key: value for key, value in rest.get(section, {}).items() if key != "name"}
    return axes, {key: value for key, value in rest.items() if value != {}}


def _name(content: object) -> object:
    return content.get("name") if isinstance(content, Mapping) else content


def parse_search(
    num_configs: int | None, spaces: Sequence[str], objective: str | None, storage: str | None
) -> SearchConfig | None:
    """Return the search, or None without --search. Raises UsageError."""
    if num_configs is None:
        flags = {"--space": spaces, "--objective": objective, "--storage": storage}
        for flag, value in flags.items():
            if value:
                raise UsageError(f"{flag} needs a search", fix="pass --search N, the number of configurations")
        return None
    if storage is not None:
        check_address(storage)
    ranges = dict(parse_space(text) for text in spaces)
    return SearchConfig(
        num_configs=num_configs, objective=objective or DEFAULT_OBJECTIVE, spaces=ranges, storage=storage
    )


def check_address(url: str) -> None:
    """Raise UsageError for an address with a password, since sweep.toml will hold it."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if password is not None:
        raise UsageError(
            "--storage contains a password, which sweep.toml would hold",
            fix="leave it out; PostgreSQL reads it from PGPASSWORD or ~/.pgpass",
        )


def find_objective(objective: str, names: Sequence[str] | None, registry: Registry) -> tuple[str, bool]:
    """Return the metric of a score, among these or all installed ones, and whether a higher value is better.

    Raises UsageError if no metric has the score.
    """
    entries = registry.of_kind("metric") if names is None else [registry.find("metric", name) for name in names]
    scores: list[str] = []
    for entry in entries:
        try:
            directions = registry.load(entry).higher_is_better
        except PluginError:
            if names is not None:
                raise
            continue  # a broken metric that was not requested
        if objective in directions:
            return registry.name_of(entry), bool(directions[objective])
        scores += directions
    raise UsageError(f"--objective {objective}: no metric has this score{did_you_mean(objective, scores)}")


def add_objective_metric(sweep: SweepConfig, objective: str, registry: Registry) -> SweepConfig:
    """Return a configuration with metrics; by default the metric of the objective. Raises UsageError."""
    name, _ = find_objective(objective, sweep.scoring.metrics, registry)
    metrics = sweep.scoring.metrics or (name,)
    return sweep.model_copy(update={"scoring": sweep.scoring.model_copy(update={"metrics": metrics})})
