"""TOML form of an experiment: `[gen] name = "dcgan"`, with options in `[gen.dcgan]`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from ganforge.config.dotted import NOTHING
from ganforge.config.experiment import Experiment
from ganforge.config.references import SEVERAL, SINGLE, ComponentRef
from ganforge.errors import ConfigError
from ganforge.utils.files import error_reason, read_file

#: Limit of a configuration; a resolved one has some thousand bytes.
MAX_BYTES = 1 << 20
#: Dotted key of more parts than any setting has.
LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){32}""")


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file, with names of files that are not UTF-8.

    Raises:
        ConfigError: It cannot be read; the message has the line.
    """
    try:
        text = read_file(path, max_bytes=MAX_BYTES).decode("utf-8-sig", errors="surrogateescape")
        if LONG_KEY.search(text):  # tomllib's memory grows with the square of its parts
            raise ConfigError(f"{path} is not TOML: it has a key of too many parts")
        document = tomllib.loads(text)
        str(document)  # a hexadecimal number may have more digits than can be printed
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error_reason(error)}") from None
    except RecursionError:
        raise ConfigError(f"{path} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # not TOML, a number of too many digits, or a null byte in the path
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return document


def write_document(document: Mapping[str, Any]) -> str:
    """Return a document as TOML text."""
    return tomli_w.dumps(document)


def to_document(experiment: Experiment) -> dict[str, Any]:
    """Return the whole experiment as TOML can hold it; `from_document` is the inverse."""
    values = experiment.model_dump(mode="json")
    components = {*SINGLE, *SEVERAL, "optimizer", "schedules"}
    document = {key: NOTHING if value is None else value for key, value in values.items() if key not in components}
    document.pop("epochs" if experiment.epochs is None else "steps")
    for section in SINGLE:
        document[section] = ref_table(values[section])
    for section in SEVERAL:
        document[section] = refs_table(values[section])
    document["optimizer"] = {phase: ref_table(ref) for phase, ref in values["optimizer"].items()}
    schedules = values["schedules"]
    document["schedules"] = {"names": list(schedules)} | {target: ref_table(ref) for target, ref in schedules.items()}
    return document


def from_document(document: Mapping[str, Any]) -> Experiment:
    """Return the experiment that `to_document` wrote. Raises ConfigError for other documents."""
    values: dict[str, Any] = {key: None if value == NOTHING else value for key, value in document.items()}
    try:
        for section in SINGLE:
            values[section] = _ref(values[section])
        for section in SEVERAL:
            table = values[section]
            values[section] = tuple(ComponentRef(name=name, options=table.get(name, {})) for name in table["names"])
        values["optimizer"] = {phase: _ref(table) for phase, table in values["optimizer"].items()}
        schedules = values["schedules"]
        values["schedules"] = {target: _ref(schedules[target]) for target in schedules["names"]}
        return Experiment.model_validate(values)
    except (KeyError, TypeError, AttributeError, ValidationError, ConfigError) as error:
        raise ConfigError(f"not a resolved experiment: {' '.join(str(error).split())}") from None


def ref_table(ref: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's name, and its options in a table of its own."""
    return {"name": ref["name"]} | ({ref["name"]: ref["options"]} if ref.get("options") else {})


def refs_table(refs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the names of several components, and the options of each in a table of its own."""
    options = {ref["name"]: ref["options"] for ref in refs if ref.get("options")}
    return {"names": [ref["name"] for ref in refs]} | options


def _ref(table: Mapping[str, Any]) -> ComponentRef:
    return ComponentRef(name=table["name"], options=table.get(table["name"], {}))
