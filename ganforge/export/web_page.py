"""Export as a folder for any static web server: an ONNX model and a page that runs it in the browser."""

from __future__ import annotations

import json
import lzma
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ganforge.errors import IncompatibleError, UsageError
from ganforge.export.generator import ExportedGenerator
from ganforge.export.onnx import onnx_model
from ganforge.utils.files import filling

PAGE = ("index.html", "page.js", "style.css")
#: Package of the distribution ganforge-web, and the folder of its files; those that end with .xz are unpacked.
RUNTIME = "ganforge_web"
#: Distributions that the page draws latents from, and channels that it shows.
LATENTS = frozenset({"normal", "uniform"})
CHANNELS = frozenset({1, 3})


def export_web(exported: ExportedGenerator, folder: Path) -> None:
    """Write the folder, after its model was run and compared with the run.

    Raises:
        UsageError: ganforge-web or the extra `onnx` is not installed.
        GanforgeError: The page cannot show such images, latents or conditions, or the generator cannot be converted.
        OSError: A file cannot be written.
    """
    runtime = _runtime()
    facts = {"title": exported.run.directory.name, **exported.facts()}
    condition = facts["condition"]
    if facts["latent"]["name"] not in LATENTS or (condition and condition["kind"] == "tensor"):
        raise IncompatibleError(
            f"{exported.name} needs {'tensors' if condition else facts['latent']['name'] + ' latents'}; the page draws "
            "normal or uniform latents, with classes or vectors",
            fix="export the model alone: --to onnx",
        )
    if facts["range"] is None or facts["image"][0] not in CHANNELS:
        raise IncompatibleError(
            f"{exported.name} makes no gray or colored pictures; the page shows no others",
            fix="export the model alone: --to onnx",
        )
    model = onnx_model(exported)
    with filling(folder) as temporary:
        for name in PAGE:
            (temporary / name).write_bytes((resources.files("ganforge.export") / "web" / name).read_bytes())
        (temporary / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        (temporary / "generator.onnx").write_bytes(model)
        (temporary / "onnxruntime").mkdir()
        for file in sorted(runtime.iterdir(), key=lambda file: file.name):
            content, name = file.read_bytes(), file.name.removesuffix(".xz")
            (temporary / "onnxruntime" / name).write_bytes(lzma.decompress(content) if name != file.name else content)


def _runtime() -> Traversable:
    """Return the folder of onnxruntime-web. Raises UsageError if ganforge-web is not installed."""
    try:
        return resources.files(RUNTIME) / "runtime"
    except ModuleNotFoundError:
        raise UsageError(
            "--web needs ganforge-web, which has the files of onnxruntime-web",
            fix="in ganforge's repository: python -m pip install ./plugins/ganforge-web",
        ) from None
