"""What a person can set, where each value came from, and its form in TOML."""

from ganforge.component import SECTIONS, Section
from ganforge.config.document import from_document, read_document, to_document, write_document
from ganforge.config.experiment import Experiment, Selection
from ganforge.config.layers import Layer, command_line_layer, nested, preset_layer
from ganforge.config.optimizers import OPTIMIZERS, OptimizerOptions, Optimizers

__all__ = [
    "OPTIMIZERS",
    "SECTIONS",
    "Experiment",
    "Layer",
    "OptimizerOptions",
    "Optimizers",
    "Section",
    "Selection",
    "command_line_layer",
    "from_document",
    "nested",
    "preset_layer",
    "read_document",
    "to_document",
    "write_document",
]
