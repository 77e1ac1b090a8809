"""Export as a bundle, which `ganforge.load` opens."""

from __future__ import annotations

from pathlib import Path

from ganforge.export.generator import ExportedGenerator
from ganforge.runs.bundle import write_bundle
from ganforge.runs.sources import open_source
from ganforge.runs.trained_run import TrainedRun
from ganforge.utils.files import replacing


def export_bundle(exported: ExportedGenerator, path: Path) -> None:
    """Write a bundle, open it, and compare its images with the run's.

    Raises:
        GanforgeError: A component of the run is missing, or the images differ.
        OSError: The file cannot be written.
    """
    with replacing(path) as temporary:
        write_bundle(exported.run, exported.checkpoint, exported.weights, temporary)
        bundle = TrainedRun(open_source(temporary), exported.run.registry)
        opened = ExportedGenerator(bundle, bundle.checkpoint(), exported.weights)
        exported.verify(path.name, lambda inputs: opened.function(*inputs))
