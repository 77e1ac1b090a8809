"""The form that an experiment has in TOML: `[gen] name = "dcgan"`, and its options in `[gen.dcgan]`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from ganforge.config.experiment import SEVERAL, SINGLE, TRAINED, ComponentRef, Experiment
from ganforge.config.optimizers import NOTHING
from ganforge.errors import ConfigError


def read_document(path: Path) -> dict[str, Any]:
    """Return a TOML file's content. Raises ConfigError, with the line, where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def write_document(document: Mapping[str, Any]) -> str:
    """Return a document as TOML text."""
    return tomli_w.dumps(document)


def to_document(experiment: Experiment) -> dict[str, Any]:
    """Return the whole experiment as TOML can hold it; `from_document` gives it back."""
    values = experiment.model_dump(mode="json")
    document = {key: value for key, value in values.items() if key not in {*SINGLE, *SEVERAL, "optimizer"}}
    other_length = "epochs" if experiment.epochs is None else "steps"
    document.pop(other_length)
    document = {key: NOTHING if value is None else value for key, value in document.items()}
    for section in SINGLE:
        name, options = values[section]["name"], values[section]["options"]
        document[section] = {"name": name} | ({name: options} if options else {})
    for section in SEVERAL:
        chosen = values[section]
        options = {item["name"]: item["options"] for item in chosen if item["options"]}
        document[section] = {"names": [item["name"] for item in chosen]} | options
    document["optimizer"] = {
        network: {key: NOTHING if value is None else value for key, value in options.items()}
        for network, options in values["optimizer"].items()
    }
    return document


def from_document(document: Mapping[str, Any]) -> Experiment:
    """Return the experiment that `to_document` wrote. Raises ConfigError where the document is none."""
    values: dict[str, Any] = {key: None if value == NOTHING else value for key, value in document.items()}
    try:
        for section in SINGLE:
            if section not in TRAINED and section not in values:
                continue  # a run that is older than feature extractors has the default one
            table = values[section]
            values[section] = ComponentRef(name=table["name"], options=table.get(table["name"], {}))
        for section in SEVERAL:
            table = values[section]
            values[section] = tuple(ComponentRef(name=name, options=table.get(name, {})) for name in table["names"])
        return Experiment.model_validate(values)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ConfigError(f"this is no resolved experiment: {' '.join(str(error).split())}") from None
