"""Export as a program of torch.export, which PyTorch runs without the generator's code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from ganforge.export.generator import ExportedGenerator
from ganforge.export.program import trace, without_warnings
from ganforge.utils.files import write_atomically

#: Name of the facts about the generator within the file.
FACTS = "ganforge.json"


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
