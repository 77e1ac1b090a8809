"""Runs of two steps, and the command as a process, for the tests of the page."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ganforge.cli.app import app

#: Local plugin with a mapping network that takes any condition, fields of latents, truncation, and vectors as data.
PLUGIN = """
import os
import torch
from torch import nn
import ganforge
from ganforge import Component, hookimpl

class Layered(ganforge.Generator):
    conditional = True
    class SamplingOptions(ganforge.Generator.SamplingOptions):
        truncation: float = 1.0
    def __init__(self, options, image):
        super().__init__(options, image)
        self.mapping = nn.Linear(options.latent_dim, 4)
        self.condition = nn.Linear(image.num_classes or image.condition.shape[0], 4)
        self.layers = nn.ModuleList(nn.Linear(4, image.numel) for _ in range(2))
    def style(self, z, condition=None):
        if self.image.num_classes:
            condition = nn.functional.one_hot(condition, self.image.num_classes).float()
        w = self.sampling.truncation * self.mapping(z) + 3 * self.condition(condition)
        return w.unsqueeze(1).expand(-1, 2, -1)
    def synthesis(self, w, condition=None):
        images = sum(layer(w[:, index]) for index, layer in enumerate(self.layers))
        return images.tanh().view(-1, *self.image.shape)
    def forward(self, z, condition=None):
        return self.synthesis(self.style(z, condition), condition)

class Codes(ganforge.LatentDistribution):
    fields = {"category": slice(0, 3), "code": slice(3, 4)}
    def sample(self, count, dim, rng):
        category = nn.functional.one_hot(torch.randint(3, (count,), generator=rng), 3).float()
        return torch.cat([category, torch.randn(count, dim - 3, generator=rng)], 1)

class Vectors(ganforge.Dataset):
    condition_names = ("smile", "age")
    def open(self, split):
        if "WITHOUT_DATA" in os.environ:
            raise ganforge.DataError("the data are gone")
        rng = torch.Generator().manual_seed(len(split))
        images = torch.randint(0, 256, (40, 1, 8, 8), generator=rng, dtype=torch.uint8)
        return ganforge.ImageTensors(images, torch.rand(40, 2, generator=rng))

@hookimpl
def ganforge_components():
    parts = {"generator": ("layered", Layered), "latent": ("codes", Codes), "dataset": ("vectors", Vectors)}
    return [Component(kind=kind, name=name, target=target) for kind, (name, target) in parts.items()]
"""
COMMON = ("--disc", "mlp", "--disc.hidden", "[4]", "--steps", "2", "--batch-size", "8", "--checkpoint-every", "1")


def run(*arguments: object) -> int:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as end:
        app([str(word) for word in arguments])
    return int(end.value.code or 0)


def train(folder: Path, *arguments: object) -> Path:
    """Return the run directory of a training of two steps with a checkpoint of each."""
    flags = (*COMMON, "--features", "pixels", "--evaluate", "none", "--precision", "fp32", "--quiet", "--out", folder)
    assert run("run", *arguments, *flags) == 0
    return folder


class Served(NamedTuple):
    """Running command with the address of its page."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        """Port of the address."""
        return int(self.address.split("/")[2].rpartition(":")[2])

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Return status and content of a request, whose path is sent unchanged."""
        status, _, content = self.response(method, path, body, **headers)
        return status, content

    def response(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and content of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in names)
        for name, value in {"Content-Length": str(len(body or b"")), **names}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        result = answer.status, answer.headers, answer.read()
        connection.close()
        return result

    def post(self, path: str, document: Any, **headers: str) -> tuple[int, bytes]:
        """Return status and content of a request with a JSON document, or with bytes."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", path, body, **{"Content_Type": "application/json", **headers})


@contextmanager
def served(*arguments: object, port: int | None = 0, folder: Path | None = None) -> Iterator[Served]:
    """Run `ganforge explore` in a process while the block lasts."""
    flags = [] if port is None else ["--port", str(port)]
    command = [sys.executable, "-m", "ganforge", "explore", *map(str, arguments), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                _, problem = process.communicate()
                raise AssertionError(f"exit code {process.returncode}: {problem}")
            yield Served(process, line.split()[0])
        finally:
            process.kill()
