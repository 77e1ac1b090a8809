"""Laws of data that is read while it is trained on: the same bits as data in memory, whoever reads it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import read_rows_without_times
from folder_parts import save
from stream_parts import write_plugin
from test_resume import digests, wait_for_checkpoint

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.data import streaming as stream
from ganforge.data.loader import Batch, Feed, Order, fits
from ganforge.data.streaming import StreamFeed, make_feed
from ganforge.errors import DataError, PluginError, TrainingError
from ganforge.evaluation.evaluator import Evaluator
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents, build
from ganforge.training.run_directory import RunDirectory

CPU = torch.device("cpu")
SETTINGS = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=12", "precision=fp32", "device=cpu")


@pytest.fixture
def opened(tmp_path: Path) -> Registry:
    """Return the registry with the local plugin's data sets."""
    return Registry.discover([write_plugin(tmp_path)], no_plugins=True)


@pytest.fixture
def assembled(opened: Registry) -> Callable[..., GANComponents]:
    """Build an gan on one of those data sets."""
    return lambda *settings: build(resolve([command_line_layer([*SETTINGS, *settings])], opened))


def same(one: Batch, two: Batch) -> bool:
    """Tell whether two batches have the same bits."""
    assert one.labels is not None
    assert two.labels is not None
    return torch.equal(one.images, two.images) and torch.equal(one.labels, two.labels)


def batches(feed: Feed, indices: Any) -> list[Batch]:
    """Return some batches and let go of the feed."""
    with closing(feed):
        return [feed.batch(index) for index in indices]


def alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something, and fail where it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# The order of the images


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_streamed_batches_are_those_of_data_in_memory(workers: int, assembled: Callable[..., GANComponents]) -> None:
    """Whatever the number of workers, over the ends of epochs: the same images and labels, bit for bit."""
    resident = make_feed(assembled("data=whole"), CPU)
    streamed = make_feed(assembled("data=streamed", f"workers={workers}"), CPU)
    assert isinstance(streamed, StreamFeed)
    assert (streamed.size, streamed.batch_size, streamed.batches_per_epoch) == (40, 12, 3)
    assert resident.batches_per_epoch == 3
    for one, two in zip(batches(resident, range(8)), batches(streamed, range(8)), strict=True):
        assert same(one, two)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_can_be_asked_for_in_any_order(workers: int, assembled: Callable[..., GANComponents]) -> None:
    """Repeating, rewinding, jumping and asking after `close` give each batch as it always is."""
    asked = (0, 1, 1, 2, 0, 0, 7, 8, 3)
    expected = batches(make_feed(assembled("data=whole"), CPU), asked)
    feed = make_feed(assembled("data=streamed", f"workers={workers}"), CPU)
    for one, two in zip(expected, batches(feed, asked), strict=True):
        assert same(one, two)
    assert same(batches(feed, [8])[0], expected[-2])
    feed.close()


def test_asking_again_starts_no_process(assembled: Callable[..., GANComponents]) -> None:
    """The next batch and the last one come from the processes that there are; a batch in memory is not given away."""
    feed = make_feed(assembled("data=streamed", "workers=1"), CPU)
    assert isinstance(feed, StreamFeed)
    with closing(feed):
        first = feed.batch(4)
        (process,) = feed._processes
        first.images.zero_()
        assert feed.batch(4).images.abs().sum() > 0
        feed.batch(5)
        assert feed._processes == [process]
        feed.batch(5 - 1)
        assert feed._processes != [process]
        assert not process.is_alive()


def test_the_parts_of_all_ranks_are_the_batch(assembled: Callable[..., GANComponents]) -> None:
    """Rank after rank, their parts make the batch of one rank alone, in memory and streamed."""
    for settings in (("data=whole",), ("data=streamed", "workers=0")):
        (all_together,) = batches(make_feed(assembled(*settings), CPU), [4])
        parts = [batches(make_feed(assembled(*settings), CPU, rank=rank, ranks=3), [4])[0] for rank in range(3)]
        assert all(len(part.images) == 4 for part in parts)
        labels = [part.labels for part in parts if part.labels is not None]
        assert same(all_together, Batch(torch.cat([part.images for part in parts]), torch.cat(labels)))


def test_an_epoch_shows_each_image_once() -> None:
    """Within an epoch no image comes twice, and its order is its own."""
    order = Order(40, batch_size=10, seed=3, device=CPU)
    epochs = [torch.cat([order.images(index) for index in range(begin, begin + 4)]) for begin in (0, 4)]
    assert all(epoch.sort().values.tolist() == list(range(40)) for epoch in epochs)
    assert not torch.equal(*epochs)


def test_pixels_stay_on_a_device_where_they_take_half_of_it() -> None:
    """Images that take up to half of the free memory are kept there; unknown is the machine's own memory."""
    assert fits(50, 100)
    assert fits(50, 101)
    assert not fits(51, 101)
    assert fits(1 << 60, None)


# Data that draws random numbers


def test_drawn_images_are_the_same_whoever_draws_them(assembled: Callable[..., GANComponents]) -> None:
    """torch, random and numpy draw the same for 0, 1 and 3 workers and from any start, and other for another batch."""
    feeds = [make_feed(assembled("data=streamed", "data.how=noise", f"workers={count}"), CPU) for count in (0, 1, 3)]
    expected, *others = [batches(feed, range(5)) for feed in feeds]
    for other in (*others, [*expected[:2], *batches(feeds[1], range(2, 5))]):
        assert all(same(one, two) for one, two in zip(expected, other, strict=True))
    still = batches(make_feed(assembled("data=streamed", "workers=0"), CPU), range(5))
    noise = [two.images - one.images / 2 for one, two in zip(still, expected, strict=True)]
    assert len({float(one.mean()) for one in noise}) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_training_s_random_numbers_are_left_alone(workers: int, assembled: Callable[..., GANComponents]) -> None:
    """Neither reading nor evaluating moves a global generator of the training process."""
    gan = assembled("data=streamed", "data.how=noise", f"workers={workers}")

    def states() -> list[Any]:
        numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is the one that matters
        return [torch.get_rng_state().tolist(), random.getstate(), str(numpy)]

    before = states()
    batches(make_feed(gan, CPU), range(3))
    gan.take("train", [1, 2], "evaluation/items")
    assert states() == before


# Whole runs


def runs(registry: Registry, folder: Path, *settings: str) -> RunDirectory:
    """Train some steps, and return the run directory."""
    run = RunDirectory(folder)
    layer = command_line_layer([*SETTINGS, "steps=7", *settings])
    assert launch.start(prepare(resolve([layer], registry), registry), out=run.path).status == "finished"
    return run


def test_workers_change_no_bit_of_a_run(opened: Registry, tmp_path: Path) -> None:
    """Runs with 0, 1 and 3 workers, and one with the images in memory, end with the same checkpoints and rows."""
    settings = ("evaluate_every=3", "num_samples=20", "critic_steps=2", "optimizer.lr=0.001")
    settings += ("max_eval_time_fraction=1",)
    whole = runs(opened, tmp_path / "whole", "data=whole", *settings)
    for workers in (0, 1, 3):
        run = runs(opened, tmp_path / str(workers), "data=streamed", f"workers={workers}", *settings)
        assert digests(run) == digests(whole)
        assert read_rows_without_times(run.metrics) == read_rows_without_times(whole.metrics)
        scores, expected = ([row["scores"] for row in read_rows_without_times(r.evaluations)] for r in (run, whole))
        assert scores == expected


def test_a_score_s_passport_names_the_data(assembled: Callable[..., GANComponents]) -> None:
    """Only the chosen images are read, and the fingerprint is what the data set says."""
    gan = assembled("data=streamed", "data.how=raises", "workers=0")
    judge = Evaluator(gan, count=10, split="test", seed=1, weights="generator")
    protocol = judge.evaluate(gan.generator).protocol  # image 7 is not among these
    assert protocol["fingerprint"] == "made up: 40"
    assert (protocol["split"], protocol["real_images"]) == ("test", 10)


# What goes wrong


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", r"image 7 cannot be read: ValueError: no such pixel \(opened.py, line \d+\)"),
        ("exits", r"image 7 cannot be read: SystemExit: 3 \(opened.py, line \d+\)"),
        ("float", r"image 7 is torch.float32 \(1, 8, 8\); a tensor torch.uint8 \(1, 8, 8\) was declared"),
        ("shape", r"image 7 is torch.uint8 \(1, 4, 8\); a tensor torch.uint8 \(1, 8, 8\) was declared"),
        ("label", "image 7 has the label 3; there are 3 classes"),
        ("word", "image 7 has the label 'cat'; a whole number is needed"),
        ("bare", r"image 7 is Tensor; a tuple \(image, label\) is needed"),
    ],
)
def test_an_item_that_is_wrong_is_named(
    how: str, words: str, workers: int, assembled: Callable[..., GANComponents]
) -> None:
    """Whoever reads it, the error is one line that says which image of which data it was, and what is wrong with it."""
    feed = make_feed(assembled("data=streamed", f"data.how={how}", f"workers={workers}"), CPU)
    with pytest.raises(DataError, match=rf"^data 'streamed' \(train\): {words}$"):
        batches(feed, range(4))


def test_a_length_that_was_not_declared_is_refused_before_training(opened: Registry) -> None:
    """What `open` gives has as many images as `info` says, which is checked before anything is written."""
    layer = command_line_layer([*SETTINGS, "data=streamed", "data.how=short"])
    with pytest.raises(DataError, match=r"data 'streamed' \(train\) declares 40 images, but open\(\) gives 39"):
        prepare(resolve([layer], opened), opened)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("short", DataError, r"^data 'claims' \(train\) declares 41 images, but load\(\) gives 40$"),
        ("raises", PluginError, r"^dataset 'claims' .* cannot load its train split: KeyError: 'no such split'"),
    ],
)
def test_what_is_loaded_is_what_was_declared(how: str, error: type[Exception], words: str, opened: Registry) -> None:
    """A data set that says more than it loads, or raises, is named before anything is written."""
    layer = command_line_layer([*SETTINGS, "data=claims", f"data.how={how}"])
    with pytest.raises(error, match=words):
        prepare(resolve([layer], opened), opened)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_reads_is_killed_by_force_alone(
    how: signal.Signals, assembled: Callable[..., GANComponents]
) -> None:
    """SIGKILL is an error that says what to do; signals that are meant for the training end none at once."""
    feed = make_feed(assembled("data=streamed", "workers=2"), CPU)
    assert isinstance(feed, StreamFeed)
    with closing(feed):
        feed.batch(0)
        processes = feed._processes
        victim = processes[0]
        assert victim.pid is not None
        os.kill(victim.pid, how)
        if how == signal.SIGKILL:
            with pytest.raises(TrainingError, match="killed by SIGKILL, perhaps for want of memory") as raised:
                batches(feed, range(1, 10))
            assert "--workers" in str(raised.value.fix)
        else:
            for index in range(1, 10):
                feed.batch(index)
            assert victim.is_alive()
    assert not any(process.is_alive() for process in processes)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_closing_waits_for_nobody_long(assembled: Callable[..., GANComponents]) -> None:
    """A process that hangs in an item is killed when the feed is closed."""
    slow = next(index for index in range(100, 200) if 7 in Order(40, batch_size=12, seed=0, device=CPU).images(index))
    feed = make_feed(assembled("data=streamed", "data.how=sleeps", "workers=3"), CPU)
    assert isinstance(feed, StreamFeed)
    feed.batch(slow - 1)
    processes, begun = feed._processes, time.monotonic()
    feed.close()
    assert time.monotonic() - begun < 20
    assert not any(process.is_alive() for process in processes)


def test_processes_may_start_anew(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes are not forked, all that they need is pickled: what they read is the same."""
    monkeypatch.setattr(stream, "start_method", lambda: "spawn")
    for index in range(5):
        save(tmp_path / "pictures" / f"{index}.png", index)
    settings = ("data=folder", f"data.path={tmp_path / 'pictures'}", "data.stream=yes", "batch_size=2")

    def feed(workers: int) -> Feed:
        layer = command_line_layer([*SETTINGS, *settings, f"workers={workers}"])
        return make_feed(build(resolve([layer], registry)), CPU)

    for one, two in zip(batches(feed(0), range(3)), batches(feed(1), range(3)), strict=True):
        assert torch.equal(one.images, two.images)


# The command line


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start real training on a data set that says which processes read it, and end whatever is left."""
    plugin = write_plugin(tmp_path)
    (tmp_path / "pids").mkdir()
    started: list[subprocess.Popen[str]] = []

    def run(out: Path, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "ganforge", "run", "--plugin", str(plugin), "--out", str(out)]
        for setting in SETTINGS:
            command += ["--set", setting]
        command += ["--data", "streamed", "--data.how", "pids", "--data.place", str(tmp_path / "pids"), *flags]
        command += ["--checkpoint-every", "1", "--sample-every", "1000"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def readers(tmp_path: Path, process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that read and still run, but for the training process."""
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    return [pid for pid in pids if pid != process.pid and alive(pid)]


def test_a_killed_worker_fails_the_run_which_goes_on_to_the_same_bits(
    start: Callable[..., subprocess.Popen[str]], ganforge: Callable[..., Any], opened: Registry, tmp_path: Path
) -> None:
    """`kill -9` of a process that reads: exit code 1, one line, the checkpoint kept; resumed, no bit is other."""
    killed = RunDirectory(tmp_path / "killed")
    process = start(killed.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(killed, process)
    os.kill(readers(tmp_path, process)[0], signal.SIGKILL)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begun < 20
    assert process.returncode == 1, errors
    assert "killed by SIGKILL" in errors
    assert "--workers" in errors
    assert "Traceback" not in errors
    manifest = killed.read_manifest()
    assert manifest["status"] == "failed"
    steps = manifest["summary"]["steps"] + 5
    resumed = ganforge("resume", killed.path, "--plugin", "opened.py", "--steps", steps, "--workers", "0", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    straight = runs(opened, tmp_path / "straight", "data=streamed", f"steps={steps}")
    assert digests(straight) == digests(killed)
    assert read_rows_without_times(straight.metrics) == read_rows_without_times(killed.metrics)


def test_nobody_outlives_a_killed_run(
    start: Callable[..., subprocess.Popen[str]], opened: Registry, tmp_path: Path
) -> None:
    """`kill -9` of the training process ends those that read for it, so that the run can be resumed at once."""
    run = RunDirectory(tmp_path / "run")
    process = start(run.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(run, process)
    left = readers(tmp_path, process)
    assert len(left) == 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(alive, left)), seconds=3)
    steps = checkpoints.steps(run)[0] + 3
    assert launch.go_on(run, opened, launch.Changes(steps=steps)).status == "finished"
    assert digests(run) == digests(runs(opened, tmp_path / "straight", "data=streamed", f"steps={steps}"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_is_the_training_s_to_answer(
    number: signal.Signals, code: int, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Ctrl-C and a batch system's SIGTERM reach every process; the run saves, and none is left."""
    run = RunDirectory(tmp_path / "run")
    process = start(run.path, "--steps", "100000", "--workers", "2")
    wait_for_checkpoint(run, process)
    left = readers(tmp_path, process)
    for pid in (*left, process.pid):
        os.kill(pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert run.read_manifest()["status"] == "interrupted"
    assert not any(map(alive, left))
