"""Program of a generator, traced by torch.export for any batch size, and its file, which PyTorch runs alone."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from ganforge.errors import IncompatibleError
from ganforge.export.generator import ExportedGenerator
from ganforge.utils.files import write_atomically
from ganforge.utils.tracebacks import summarize_exception

#: Images of the traced batch; torch.export takes 0 and 1 for constants.
TRACED_BATCH = 3
#: Name of the facts about the generator within the file.
FACTS = "ganforge.json"
#: Facts about a node that name files of this machine.
PRIVATE = ("stack_trace", "from_node", "source_fn_stack", "nn_module_stack", "torch_fn", "custom")


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore the warnings of PyTorch's exporters about versions of Python and about their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@without_warnings()
def export_torch(exported: ExportedGenerator, path: Path) -> None:
    """Write a program, load it, and compare its images with the run's.

    Raises:
        GanforgeError: The generator cannot be traced, or the images differ.
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    torch.export.save(trace(exported), buffer, extra_files={FACTS: json.dumps(exported.facts())})
    buffer.seek(0)
    function: Any = torch.export.load(buffer).module()
    exported.verify(path.name, lambda inputs: function(*inputs))
    write_atomically(path, buffer.getvalue())


@without_warnings()
def trace(exported: ExportedGenerator) -> ExportedProgram:
    """Return the program of a generator: latents and conditions to images.

    Raises:
        IncompatibleError: The generator cannot be traced, draws random numbers, or changes its state.
    """
    program = _trace(exported)
    for node in program.graph.nodes:
        if node.op == "call_function" and torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise IncompatibleError(
                f"{exported.name} draws random numbers ({node.target}), which an exported program cannot repeat",
                fix="turn its noise off by a sampling option, or export a bundle: --to bundle",
            )
        for key in PRIVATE:
            node.meta.pop(key, None)
    changed = sorted(program.run_decompositions({}).graph_signature.buffers_to_mutate.values())
    if changed:
        raise IncompatibleError(
            f"{exported.name} changes its state ({changed[0].removeprefix('generator.')}) while it makes images",
            fix="export a bundle: --to bundle",
        )
    return program


def _trace(exported: ExportedGenerator) -> ExportedProgram:
    """Trace with the analysis of Python code, which understands `len(z)`, or without it if that fails."""
    inputs = exported.inputs(TRACED_BATCH)
    batch = Dim("batch")
    shapes = tuple({0: batch} for _ in inputs)
    function: nn.Module = exported.function
    try:
        return torch.export.export(function, inputs, dynamic_shapes=shapes, strict=True)
    except Exception as error:  # noqa: BLE001 - any error of the tracer or of the generator
        reason = error
    try:
        return torch.export.export(function, inputs, dynamic_shapes=shapes, strict=False)
    except Exception:  # noqa: BLE001 - as above
        raise IncompatibleError(
            f"{exported.name} cannot be traced by torch.export: {summarize_exception(reason)}",
            fix="export a bundle: --to bundle",
        ) from reason
