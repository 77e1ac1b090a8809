"""Export as ONNX, which onnxruntime and many other programs run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge.errors import IncompatibleError, UsageError
from ganforge.export.generator import ExportedGenerator, Inputs
from ganforge.export.program import TRACED_BATCH, trace, without_warnings
from ganforge.utils.files import write_atomically
from ganforge.utils.tracebacks import summarize_exception

INPUTS = ("z", "condition")
OUTPUT = "images"
#: Key of the facts about the generator in the model's metadata.
FACTS = "ganforge"


def export_onnx(exported: ExportedGenerator, path: Path) -> None:
    """Write an ONNX model, run it with onnxruntime, and compare its images with the run's.

    Raises:
        UsageError: onnxruntime or onnxscript is not installed.
        GanforgeError: The generator cannot be converted, or the images differ.
        OSError: The file cannot be written.
    """
    write_atomically(path, onnx_model(exported))


def onnx_model(exported: ExportedGenerator) -> bytes:
    """Return a verified ONNX model. Raises as `export_onnx` does."""
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
        import onnxscript  # noqa: F401, PLC0415 - an extra that torch.onnx needs
    except ImportError as error:
        raise UsageError(
            f"--to onnx needs onnxruntime and onnxscript: {error}", fix="python -m pip install 'ganforge[onnx]'"
        ) from None
    content = _convert(exported)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        (images,) = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=False)})
        return torch.from_numpy(images)

    exported.verify("the ONNX model", run)
    return content


def _convert(exported: ExportedGenerator) -> bytes:
    """Return the bytes of an ONNX model without the names of files of this machine."""
    inputs = exported.inputs(TRACED_BATCH)
    program = trace(exported)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with without_warnings():
            converted: Any = torch.onnx.export(
                program, inputs, dynamo=True, verbose=False, input_names=INPUTS[: len(inputs)], output_names=[OUTPUT]
            )
    except Exception as error:
        raise IncompatibleError(
            f"{exported.name} cannot be converted to ONNX: {summarize_exception(error)}",
            fix="export a program of PyTorch: --to torch",
        ) from error
    finally:
        logger.setLevel(level)
    model = converted.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.outputs]:
        value.shape[0] = "batch"
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props[FACTS] = json.dumps(exported.facts())
    content: bytes = converted.model_proto.SerializeToString()
    return content
