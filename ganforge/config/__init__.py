"""Configuration of experiments: settings, their origins, and their form in TOML.

The models, and pydantic with them, are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge.components.spec import SECTIONS, Section

if TYPE_CHECKING:
    from ganforge.config.document import from_document, read_document, to_document, write_document
    from ganforge.config.experiment import Experiment
    from ganforge.config.layers import Layer, command_line_layer, nested, preset_layer
    from ganforge.config.references import ComponentRef, InitialWeights

_LAZY = {
    **dict.fromkeys(("from_document", "read_document", "to_document", "write_document"), "document"),
    "Experiment": "experiment",
    **dict.fromkeys(("Layer", "command_line_layer", "nested", "preset_layer"), "layers"),
    **dict.fromkeys(("ComponentRef", "InitialWeights"), "references"),
}

__all__ = [
    "SECTIONS",
    "ComponentRef",
    "Experiment",
    "InitialWeights",
    "Layer",
    "Section",
    "command_line_layer",
    "from_document",
    "nested",
    "preset_layer",
    "read_document",
    "to_document",
    "write_document",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have every type
    if name in _LAZY:
        return getattr(import_module(f"ganforge.config.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ganforge.config' has no attribute {name!r}")
