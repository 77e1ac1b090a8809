"""Export as plain safetensors, with the generator's operations as a file of plain PyTorch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save, save_file
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ganforge.errors import IncompatibleError
from ganforge.export.generator import BATCH_SIZES, ExportedGenerator, Inputs
from ganforge.export.program import trace
from ganforge.training.checkpoint import to_cpu
from ganforge.utils.files import filling

WEIGHTS, MODULE = "generator.safetensors", "generator.py"
#: Prefix of the generator's tensors in the traced function.
PREFIX = "generator."
#: Operations that only check what the tracer assumed.
CHECKS = ("_assert", "sym_constrain_range")
#: Draw of latents, by the name of their distribution.
DRAWS = {"normal": "torch.randn(16, {size})", "uniform": "2 * torch.rand(16, {size}) - 1"}
#: Program that runs the exported file of the current folder in a process in which ganforge cannot be imported.
CHECK = """
import sys
sys.modules["ganforge"] = None
sys.path.insert(0, ".")
import torch
from safetensors.torch import load_file, save_file
from generator import Generator
generator = Generator(load_file("generator.safetensors"))
batches = load_file("../inputs.safetensors")
names = sorted({name.split(".")[0] for name in batches})
def run(name):
    inputs = [batches[f"{name}.{index}"] for index in range(2) if f"{name}.{index}" in batches]
    return generator(*inputs).contiguous()
with torch.no_grad():
    save_file({name: run(name) for name in names}, "../outputs.safetensors")
"""
TIMEOUT_SECONDS = 600

SOURCE = '''"""Generator {name!r} in plain PyTorch, written by ganforge {version}.

    import torch
    from safetensors.torch import load_file

    from generator import Generator

    generator = Generator(load_file("generator.safetensors"))
    z = {draw}{condition}
    images = generator(z{argument})  # (16, {shape}){range}

Step {step} of the training, {weights}. Batch norm and others are in evaluation mode.
"""

{imports}

aten = torch.ops.aten


class Generator(torch.nn.Module):
    """Images of latents.

    Args:
        tensors: Content of generator.safetensors.
    """

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            owner = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, torch.nn.Module())
                owner = owner._modules[part]
            owner.register_buffer(last, tensor)

    def forward(self, {parameters}) -> torch.Tensor:
        """Return images, (N, {shape}), of latents, (N, {size}){conditions}."""
        t = dict(self.named_buffers())
{body}
'''


def export_weights(exported: ExportedGenerator, folder: Path) -> None:
    """Write generator.safetensors and generator.py, run them without ganforge, and compare the images with the run's.

    Raises:
        GanforgeError: The generator cannot be traced, or the images differ.
        OSError: A file cannot be written.
    """
    program = trace(exported)
    tensors = _tensors(program)
    with filling(folder) as temporary:
        facts = json.dumps(exported.facts())
        (temporary / MODULE).write_text(_source(exported, program, tensors), encoding="utf-8")
        content = save({name: to_cpu(value) for name, value in tensors.values()}, {"ganforge": facts})
        (temporary / WEIGHTS).write_bytes(content)
        images = _run(exported, temporary)
        exported.verify(MODULE, lambda inputs: images[len(inputs[0])])


def _tensors(program: ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Return the name in the file and the value of each tensor of a program, by the name of its input."""
    tensors = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            continue
        target = str(spec.target)
        value = program.state_dict[target] if target in program.state_dict else program.constants[target]
        assert isinstance(value, Tensor), "the program has no other state"  # noqa: S101
        tensors[spec.arg.name] = (target.removeprefix(PREFIX), value)
    return tensors


def _source(exported: ExportedGenerator, program: ExportedProgram, tensors: Mapping[str, tuple[str, Tensor]]) -> str:
    """Return the content of generator.py."""
    facts = exported.facts()
    condition: dict[str, Any] | None = facts["condition"]
    size, shape = facts["latent"]["size"], ", ".join(map(str, facts["image"]))
    draw = DRAWS.get(facts["latent"]["name"], f"...  # latents of the distribution {facts['latent']['name']!r}, {{}}")
    body, names = _body(program, tensors)
    return SOURCE.format(
        name=facts["generator"],
        version=facts["ganforge"],
        draw=draw.format(f"(16, {size})", size=size),
        condition="" if condition is None else f"\n    condition = {_example(condition)}",
        argument="" if condition is None else ", condition",
        parameters="z: torch.Tensor" + ("" if condition is None else ", condition: torch.Tensor"),
        conditions="" if condition is None else ", and their conditions",
        shape=shape,
        size=size,
        range="" if facts["range"] is None else " in [-1, 1]",
        step=facts["step"],
        weights="moving average of the weights" if facts["weights"] == "generator_ema" else "the weights themselves",
        imports="\n".join(names),
        body=body,
    )


def _example(condition: Mapping[str, Any]) -> str:
    """Return an expression for 16 conditions."""
    if condition["kind"] == "classes":
        return f"torch.arange(16) % {condition['num_classes']}"
    return f"torch.randn(16, {', '.join(map(str, condition['shape']))})"


def _body(program: ExportedProgram, tensors: Mapping[str, tuple[str, Tensor]]) -> tuple[str, list[str]]:
    """Return the operations of a program as the lines of a method, and the imports that they need."""
    graph = program.graph_module.graph
    for node in reversed(graph.nodes):
        if node.op == "call_function" and str(node.target).rpartition("aten.")[2].startswith(CHECKS):
            graph.erase_node(node)
    text = graph.python_code("self").src.partition(":\n")[2].replace("torch.ops.aten.", "aten.")
    text = re.sub(r";  [\w = ]+ = None$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^    return \((\w+),\)$", r"    return \1", text, flags=re.MULTILINE)
    text = re.sub(r"\w+", lambda word: f"t[{tensors[word[0]][0]!r}]" if word[0] in tensors else word[0], text)
    imports = {"inf": "from math import inf", "nan": "from math import nan", "device": "from torch import device"}
    needed = [line for name, line in imports.items() if re.search(rf"(?<![\w.'])\b{name}\b(?![\w'])", text)]
    return "\n".join(f"    {line}" for line in text.splitlines() if line.strip()), ["import torch", *needed]


def _run(exported: ExportedGenerator, folder: Path) -> dict[int, Tensor]:
    """Return the images of the exported files for each batch size, made in a process without ganforge."""
    batches, outputs = folder.parent / "inputs.safetensors", folder.parent / "outputs.safetensors"
    inputs: dict[int, Inputs] = {count: exported.inputs(count) for count in BATCH_SIZES}
    save_file({f"{count}.{index}": value for count in inputs for index, value in enumerate(inputs[count])}, batches)
    finished = subprocess.run(
        [sys.executable, "-I", "-B", "-c", CHECK],
        cwd=folder,  # safetensors reads no absolute path that is not UTF-8
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
        raise IncompatibleError(
            f"{exported.name} does not run as plain PyTorch: {reason}", fix="export a program: --to torch"
        )
    return {int(name): images for name, images in load(outputs.read_bytes()).items()}
