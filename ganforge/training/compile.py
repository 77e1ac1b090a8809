"""Compiled networks, and updates that are recorded once on a GPU and then replayed.

What is compiled is a whole loss, from latents and images on; what is recorded is a whole update. So no compiled
function feeds another one, which recording would overwrite (pytorch#160281).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganforge.training.build import GANComponents
from ganforge.training.step import Forward, Steps

#: Calls of an update before it is recorded: libraries make their workspaces, memory is first touched.
WARM_UP = 3
#: What runs a recorded function again, and what that function returned: the same tensors, filled anew.
Recording = tuple[Callable[[], Any], Any]
Record = Callable[[Callable[[], Any]], Recording]


def compile_hindrance(gan: GANComponents) -> str | None:
    """Return why an experiment's networks cannot be compiled, or None."""
    if gan.penalties:
        return f"penalty {next(iter(gan.penalties))!r} takes gradients of gradients, which compiled code has not"
    if gan.augmentations:
        return f"augmentation {next(iter(gan.augmentations))!r} draws random numbers between the networks"
    experiment = gan.resolved.experiment
    if experiment.reuse_fakes:
        return "fakes are used in both updates"
    return "batch norm is shared among processes" if experiment.sync_batch_norm else None


def graph_hindrance(gan: GANComponents, device: torch.device) -> str | None:
    """Return why an experiment's updates cannot be recorded, or None."""
    experiment = gan.resolved.experiment
    if device.type != "cuda":
        return f"{device.type} records no graphs"
    for kind, parts in (("penalty", gan.penalties), ("augmentation", gan.augmentations)):
        if parts:
            return f"{kind} {next(iter(parts))!r} draws random numbers on the processor"
    if experiment.gradient_accumulation > 1:
        return "gradients are accumulated"
    if experiment.sync_batch_norm:
        return "batch norm is shared among processes"
    return "fakes are used in both updates" if experiment.reuse_fakes else None


def compile_networks(steps: Steps, backend: str = "inductor") -> None:
    """Compile both losses, each with the networks that lead to it; that happens at their first call."""
    for side in steps.forward:
        steps.forward[side] = _compiled(steps.forward[side], backend)


def _compiled(forward: Forward, backend: str) -> Forward:
    def of_tensors(images: Tensor | None, labels: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor]:
        return forward(images, labels, z, 0, 0)  # counts matter to penalties and augmentations alone

    compiled = torch.compile(of_tensors, backend=backend, dynamic=False)
    return lambda images, labels, z, index, part: compiled(images, labels, z)


def record_updates(steps: Steps, notice: Callable[[str], None], record: Record | None = None) -> None:
    """Record each update at its fourth call, and replay it from then on.

    Of several processes, the pass and the optimiser's step are recorded apart, since gradients are averaged between
    them. record: how, `on_gpu` by default. Where that fails, all updates go on unrecorded and `notice` hears why: a
    recorded optimiser's step would read the gradients of a recorded pass.
    """
    recorders: list[Recorder] = []

    def give_up(reason: str) -> None:
        for recorder in recorders:
            recorder.give_up()
        notice(f"updates are not recorded as CUDA graphs: {reason}")

    def recorder() -> Recorder:
        made = Recorder(record or partial(on_gpu, device=steps.device), steps.device, give_up)
        steps.when_restored.append(made.forget)
        recorders.append(made)
        return made

    for side in steps.passes:
        if steps.processes.count == 1:
            steps.passes[side] = _recorded_pass(recorder(), steps.passes[side], then=steps.applies[side])
            steps.applies[side] = _nothing
        else:
            steps.passes[side] = _recorded_pass(recorder(), steps.passes[side], then=_nothing)
            steps.applies[side] = partial(recorder().call, steps.applies[side])


def on_gpu(function: Callable[[], Any], *, device: torch.device) -> Recording:
    """Record what a function does on a GPU, without doing it."""
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            result = function()
    return graph.replay, result


class Recorder:
    """Call a function of tensors: a few times plainly, then recorded, its arguments copied to where they were then."""

    def __init__(self, record: Record, device: torch.device, when_failed: Callable[[str], None]) -> None:
        self.record = record
        self.device = device
        self.when_failed = when_failed
        self.calls = 0
        self.failed = False
        self.recording: Recording | None = None
        self.arguments: tuple[Tensor | None, ...] = ()

    def forget(self) -> None:
        """Record again: what the recording works on was replaced, as an optimiser's state is by restoring it."""
        self.calls, self.recording = 0, None

    def give_up(self) -> None:
        """Call plainly from now on."""
        self.failed, self.recording = True, None

    def call(self, function: Callable[..., Any], *arguments: Tensor | None) -> Any:  # noqa: ANN401 - what it returns
        """Return what the function gives; of a recorded one that is overwritten by the next call."""
        self.calls += 1
        if self.failed or self.calls <= WARM_UP:
            return function(*arguments)
        if self.recording is None:
            self.arguments = tuple(None if given is None else given.to(self.device, copy=True) for given in arguments)
            try:
                self.recording = self.record(lambda: function(*self.arguments))
            except Exception as error:  # noqa: BLE001 - a component's code may do anything that cannot be recorded
                self.when_failed(" ".join(str(error).split()))
                return function(*arguments)
        for kept, given in zip(self.arguments, arguments, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given, non_blocking=True)
        replay, result = self.recording
        replay()
        return result


def _recorded_pass(recorder: Recorder, run: Forward, then: Callable[[], None]) -> Forward:
    def of_tensors(images: Tensor | None, labels: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor]:
        found = run(images, labels, z, 0, 0)
        then()
        return found

    def call(images: Tensor | None, labels: Tensor | None, z: Tensor, index: int, part: int) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = recorder.call(of_tensors, images, labels, z)
        return found

    return call


def _nothing() -> None:
    """Do nothing: it was done before."""


def accelerate(steps: Steps, gan: GANComponents, notice: Callable[[str], None]) -> None:
    """Compile and record what the experiment says, once it has been decided: `auto` means not yet."""
    experiment = gan.resolved.experiment
    if experiment.compile == "on" and compile_hindrance(gan) is None:
        compile_networks(steps)
    if experiment.cuda_graphs == "on" and graph_hindrance(gan, steps.device) is None:
        record_updates(steps, notice)
