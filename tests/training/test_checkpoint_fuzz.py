"""Checkpoints of a malicious author: valid checksums over arbitrary files.

Loading raises CheckpointError, or the checkpoint is complete, its whole state reaches the trainer, and training
continues. The short form tries fifty variations of each file, the heavy one thousands.
"""

from __future__ import annotations

import copy
import json
import os
import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganforge import LossTerm, TrainStep
from ganforge.components.spec import Component
from ganforge.config.reload import reload
from ganforge.errors import CheckpointError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import TrainerContext
from ganforge.training.resume import load_checkpoint, restore_counters
from ganforge.training.run_directory import RunDirectory
from ganforge.training.state import state_tensors
from ganforge.training.trainer import Trainer
from ganforge.utils.signals import Interruption
from tests.helpers.checkpoints import FILES, copied, sign, train_small

EXAMPLES = [
    pytest.param(50, id="50"),
    pytest.param(3000, id="3000", marks=[pytest.mark.heavy, pytest.mark.timeout(1800)]),
]
#: More than any reading or refusing of such a small checkpoint may take, on a busy machine.
DEADLINE = timedelta(seconds=5)
TENSORS = [name for name in FILES if name.endswith(".safetensors")]
STEP = 4


class Square(LossTerm):
    """Mean square of the real logits."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    def forward(self, step: TrainStep) -> torch.Tensor:
        return step.real_output.logits.square()


class Victim:
    """Run with a checkpoint of step 4, whose files the tests replace, and the trainer that resumes from it."""

    def __init__(self, path: Path) -> None:
        plugins = Plugins()
        plugins.components = list(Registry.discover(no_plugins=True).plugins.components)
        square = Component(kind="term", name="square", target=Square)
        plugins.components.append((square, Source("ganforge-square", "1.0")))
        registry = Registry(plugins)
        evaluated = ("evaluate_every=2", "num_samples=10", "max_eval_time_fraction=1")
        self.run = train_small(registry, path, "term=square", *evaluated)
        resolved = prepare_again(self.run, registry)
        self.trainer = Trainer(
            resolved.gan, self.run, device=resolved.device, precision=resolved.precision, context=TrainerContext()
        )
        self.folder = self.run.checkpoint_path(STEP)
        self.whole = {name: (self.folder / name).read_bytes() for name in FILES}
        self.content = checkpoints.load(self.folder)

    def replace(self, name: str, content: bytes, *, signed: bool = True) -> None:
        """Put a file into an otherwise whole checkpoint, with checksums that agree."""
        for file, whole in {**self.whole, name: content}.items():
            (self.folder / file).write_bytes(whole)
        if signed:
            sign(self.folder)

    def accepts(self) -> bool:
        """Load, restore and train a step; return whether that was possible, and check that it was right.

        Any exception but CheckpointError goes through.
        """
        try:
            found = checkpoints.load(self.folder)
            load_checkpoint(self.trainer, found)
        except CheckpointError as error:
            message = str(error).replace(str(self.folder), "")
            assert len(message) < 500
            assert message.isprintable()
            return False
        restored = state_tensors(self.trainer.train_state)
        assert restored.keys() == self.content.tensors.keys()
        for file, before in self.content.tensors.items():
            weights = {name.rpartition("/")[0] for name in found.tensors[file]}
            expected = {name for name in before if file != "optimizers" or name.rpartition("/")[0] in weights}
            assert found.tensors[file].keys() == expected, "a weight's state is whole, or not there"
            for name, value in found.tensors[file].items():
                assert (value.shape, value.dtype) == (before[name].shape, before[name].dtype)
                assert bool(value.isfinite().all())
                assert torch.equal(restored[file][name], value)
        state = self.trainer.state()
        assert (state["step"], state["images_seen"]) == (STEP, 10 * STEP)
        assert {key: found.state[key] for key in ("best", "last_stats")} == {
            key: pytest.approx(state[key]) for key in ("best", "last_stats")
        }
        assert state["health"] == found.state["health"]
        json.dumps(state, allow_nan=False)
        self.trainer._train_step(self.trainer._read_batches(Interruption()))
        self.trainer.metrics.flush()
        return True


def prepare_again(run: RunDirectory, registry: Registry) -> Any:
    """Prepare a run's experiment as `resume` does."""
    return prepare(reload(run.read_experiment(), registry, run.read_manifest()), registry)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """Train once for all tests of this file."""
    return Victim(tmp_path_factory.mktemp("victim") / "run")


# Replacement contents

ODD: list[Any] = [None, True, False, -1, 0, 1, 2**31, 2**53 + 1, 2**60, 2**63, 2**64 - 1, 2**64, 10**400, -0.0, 1e308]
ODD += [float("nan"), float("inf"), 3.5e38, "", "4", "../generator.safetensors", "/etc/passwd", "\x1b[2J", "\x00"]
ODD += ["\u202e", "F32", "F64", "BF16", "F8_E8M0", "F4", "X", "gen/00/exp_avg", "gen/٠/step", [], {}, [[]], [0, 2**62]]
ODD += [[2**32, 2**32], [0, 2**63], [0, 4], [1] * 1000, {"metric": "m", "value": 1.0, "step": 2}, {"square": "1"}]
JSON = st.sampled_from(ODD).map(copy.deepcopy) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from([name for name in ODD if isinstance(name, str)]) | st.text(max_size=12)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """Change a JSON document in one to three places: another value, a key more, fewer, or of another name."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        inner = document
        while isinstance(inner, dict) and inner:
            key = draw(st.sampled_from(sorted(inner)))
            if not isinstance(inner[key], dict) or draw(st.integers(0, 3)) == 0:
                break
            inner = inner[key]
        if not isinstance(inner, dict) or not inner:
            return draw(JSON)
        what = draw(st.sampled_from(["value", "value", "item", "remove", "rename", "add"]))
        if what == "value":
            inner[key] = draw(JSON)
        elif what == "item" and isinstance(inner[key], list) and inner[key]:
            inner[key][draw(st.integers(0, len(inner[key]) - 1))] = draw(JSON)
        elif what == "remove":
            del inner[key]
        elif what == "rename":
            inner[draw(KEYS)] = inner.pop(key)
        else:
            inner[draw(KEYS)] = draw(JSON)
    return document


@st.composite
def harmed(draw: st.DrawFn, content: bytes) -> bytes:
    """Replace, remove or repeat some bytes."""
    at = draw(st.integers(0, min(len(content), 2000)))
    length = draw(st.integers(0, 40))
    return content[:at] + draw(st.binary(max_size=40)) + content[at + length :]


def header_and_data(content: bytes) -> tuple[Any, bytes]:
    """Split a safetensors file into its header and data."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header: Any, data: bytes, length: int | None = None) -> bytes:
    """Join a safetensors file; `length` is the declared length of its header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@st.composite
def harmed_tensors(draw: st.DrawFn, content: bytes) -> bytes:
    """Change a safetensors file: its header's JSON, declared length, data, or any bytes."""
    header, data = header_and_data(content)
    what = draw(st.sampled_from(["header", "header", "header", "length", "data", "bytes", "swap"]))
    if what == "header":
        return with_header(draw(changed(header)), data)
    if what == "length":
        return with_header(header, data, draw(st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1]) | st.integers(0, 2**17)))
    if what == "data":
        at = draw(st.integers(0, len(data) - 4))
        return with_header(header, data[:at] + draw(st.binary(min_size=4, max_size=4)) + data[at + 4 :])
    if what == "swap":
        one, other = draw(st.sampled_from(sorted(header))), draw(st.sampled_from(sorted(header)))
        header[one], header[other] = header[other], header[one]
        return with_header(header, data)
    return draw(harmed(content))


def each(count: int, strategy: st.SearchStrategy[Any], law: Callable[[Any], None]) -> None:
    """Check a law for many deterministic examples."""
    checked = settings(
        max_examples=count,
        deadline=DEADLINE,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
    )(given(strategy)(law))
    checked()


# Laws


def test_the_checkpoint_itself_is_accepted(victim: Victim) -> None:
    """The unchanged checkpoint is accepted; otherwise refusing all input would pass every other test."""
    victim.replace("state.json", victim.whole["state.json"])
    assert victim.accepts()


@pytest.mark.parametrize("count", EXAMPLES)
def test_a_signed_state_is_right_or_refused(count: int, victim: Victim) -> None:
    """Any JSON or bytes in state.json are refused or restored correctly."""
    whole = victim.whole["state.json"]
    document = changed(json.loads(whole)).map(lambda content: json.dumps(content).encode())

    def law(content: bytes) -> None:
        victim.replace("state.json", content)
        victim.accepts()

    each(count, document | harmed(whole), law)


@pytest.mark.parametrize("count", EXAMPLES)
def test_checksums_are_right_or_refused(count: int, victim: Victim) -> None:
    """Any JSON or bytes in checksums.json are refused or correct, also names of missing files and of outside paths."""
    whole = victim.whole["checksums.json"]
    document = changed(json.loads(whole)).map(lambda content: json.dumps(content).encode())

    def law(content: bytes) -> None:
        victim.replace("checksums.json", content, signed=False)
        if victim.accepts():
            assert json.loads(content) == json.loads(whole)

    each(count, document | harmed(whole), law)


@pytest.mark.parametrize("count", EXAMPLES)
@pytest.mark.parametrize("name", TENSORS)
def test_signed_tensors_are_right_or_refused(name: str, count: int, victim: Victim) -> None:
    """Safetensors files with any header, header length and data are refused or restored correctly."""

    def law(content: bytes) -> None:
        victim.replace(name, content)
        victim.accepts()

    each(count, harmed_tensors(victim.whole[name]), law)


def one_tensor(dtype: str, shape: list[int], offsets: list[int], data: bytes = b"", name: str = "a") -> bytes:
    """Return a safetensors file that declares one tensor."""
    return with_header({name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, data)


NASTY = {
    "2**60 elements": one_tensor("F32", [2**60], [0, 2**62]),
    "a shape that overflows": one_tensor("F32", [2**62, 2**62, 0], [0, 0]),
    "a dimension beyond int64": one_tensor("F32", [0, 2**63], [0, 0]),
    "a hundred thousand dimensions": one_tensor("F32", [1] * 100_000, [0, 4], b"1234"),
    "an unknown type": one_tensor("F3", [1], [0, 4], b"1234"),
    "a type that torch lacks": one_tensor("F6_E2M3", [4], [0, 3], b"123"),
    "eight bits": one_tensor("F8_E8M0", [4], [0, 4], b"\xff\x00\x7f\x01"),
    "complex": one_tensor("C64", [1], [0, 8], b"\xff" * 8),
    "offsets beyond the end": one_tensor("F32", [1], [2**40, 2**40 + 4], b"1234"),
    "a name of a megabyte": one_tensor("F32", [1], [0, 4], b"1234", "x" * 2**20),
    "a name that moves the cursor": one_tensor("F32", [1], [0, 4], b"1234", "\x1b[2J"),
    "a name outside": one_tensor("F32", [1], [0, 4], b"1234", "../../x"),
    "a header of 2**63 bytes": with_header({}, b"", 2**63),
    "a header of 99,999,999 bytes": with_header({}, b"", 99_999_999),
    "a nested header": with_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b""),
    "nothing": b"",
    "no tensors": with_header({}, b""),
    "zeros": bytes(10_000),
}


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("name", TENSORS)
def test_nasty_tensors_are_refused(name: str, nasty: bytes, victim: Victim) -> None:
    """Known attacks on tensor readers are refused; no memory is allocated for sizes that only a header declares."""
    victim.replace(name, nasty)
    if not victim.accepts():
        return
    assert (name, nasty) == ("optimizers.safetensors", NASTY["no tensors"]), "as where no weight has a gradient"


NUMBERS = '{"loss/discriminator": 1.0, "loss/generator": 1.0, "prob/real": 0.5, "prob/fake": 0.5, "term/square": %s}'
SOME = NUMBERS % "1.0"
HEALTH = '{"rows": 4, "stats": {}, "streaks": {}, "alerts": []}'
STATE = (
    '{"format": 1, "step": 4, "images_seen": 40, "seed": 0, "precision": "fp32", "rollbacks": 0, "frozen": {}, '
    '"optimizers": {"gen": [{}], "disc": [{}]}, "health": ' + HEALTH + ', "best": %s, "last_stats": %s}'
)
NASTY_JSON = {
    "nested lists": "[" * 500_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a nested best": STATE % ("[" * 100_000 + "]" * 100_000, "{}"),
    "a key twice": STATE.replace('"step": 4', '"step": 2, "step": 4') % ("null", SOME),
    "a number of 5,000 digits": STATE % ("null", NUMBERS % ("1" * 5000)),
    "NaN": STATE % ("null", NUMBERS % "NaN"),
    "more than a float": STATE % ("null", NUMBERS % "1e999"),
    "more than a float32": STATE % ("null", NUMBERS % "1e39"),
    "no losses": STATE % ("null", "{}"),
    "another term": STATE % ("null", NUMBERS % '1.0, "term/r1": 1.0'),
    "numbers in a list": STATE % ("null", "[1.0]"),
    "a best without a value": STATE % ('{"metric": "m", "step": 2}', SOME),
    "a best in the future": STATE % ('{"metric": "m", "value": 1.0, "step": 6}', SOME),
    "a rollback too few": STATE.replace('"rollbacks": 0', '"rollbacks": -1') % ("null", SOME),
    "a true step": STATE.replace('"step": 4', '"step": true') % ("null", SOME),
    "a negative step": STATE.replace('"step": 4', '"step": -4') % ("null", SOME),
    "a huge step": STATE.replace('"step": 4', '"step": ' + "9" * 1000) % ("null", SOME),
    "another step": STATE.replace('"step": 4', '"step": 2') % ("null", SOME),
    "a broken step": STATE.replace('"step": 4', '"step": 4.0') % ("null", SOME),
    "a true format": STATE.replace('"format": 1', '"format": true') % ("null", SOME),
    "two megabytes": STATE % ("null", SOME) + " " * 2**21,
    "nothing": "",
    "a list": "[]",
}


@pytest.mark.parametrize("nasty", NASTY_JSON.values(), ids=NASTY_JSON.keys())
@pytest.mark.parametrize("name", ["state.json", "checksums.json"])
def test_nasty_json_is_refused(name: str, nasty: str, victim: Victim) -> None:
    """Known attacks on JSON readers, and values that no checkpoint has, are refused."""
    victim.replace(name, nasty.encode(), signed=name == "state.json")
    assert not victim.accepts()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "link to nowhere", "endless link", "pipe", "folder"])
def test_only_plain_files_are_read(name: str, kind: str, victim: Victim, tmp_path: Path) -> None:
    """A link (even to the right bytes), a pipe without a writer and a folder are refused with any checksums."""
    run = copied(victim.run, tmp_path / "run")
    folder = run.checkpoint_path(STEP)
    for file, whole in victim.whole.items():
        (folder / file).write_bytes(whole)
    (folder / name).rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        targets = {"link": tmp_path / "moved", "link to nowhere": tmp_path / "none", "endless link": Path("/dev/zero")}
        (folder / name).symlink_to(targets[kind])
    with pytest.raises(CheckpointError, match=r"is not a regular file"):
        checkpoints.load(folder)
    notes: list[str] = []
    found = checkpoints.load_newest(run, notes.append)
    assert found is not None
    assert (found.step, len(notes)) == (2, 1)


@pytest.mark.parametrize("count", EXAMPLES)
def test_any_rows_can_be_restored(count: int, victim: Victim) -> None:
    """Any lines of metrics.jsonl and evaluation.jsonl can be truncated, and elapsed time stays finite."""
    row = {"step": 4, "loss/generator": 1.0, "elapsed_seconds": 2.5}
    line = changed(row).map(lambda content: json.dumps(content).encode()) | st.binary(max_size=60)
    trainer = victim.trainer

    def law(lines: list[bytes]) -> None:
        for path in (victim.run.metrics, victim.run.evaluations):
            path.write_bytes(b"\n".join(lines))
        trainer.step = STEP
        trainer.writer.truncate_after(trainer.step)
        restore_counters(trainer)
        assert 0 <= trainer.meter.elapsed_seconds < float("inf")

    each(count, st.lists(line, max_size=5), law)
