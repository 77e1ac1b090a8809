"""Laws of the streaming loader: the bits of the in-memory loader for any number of workers, and named errors."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.data import streaming
from ganforge.data import workers as workers_module
from ganforge.data.loader import Batch, BatchLoader, EpochSampler
from ganforge.data.reader import Reader
from ganforge.data.scoring import build_scoring
from ganforge.data.streaming import StreamingLoader, make_loader
from ganforge.data.workers import describe_exit
from ganforge.errors import DataError, TrainingError
from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from tests.helpers.image_folders import save
from tests.helpers.streaming import CPU, KINDS, SETTINGS, Score, batches, opened, same, scoring

__all__ = ["opened", "scoring"]  # fixtures


# The order of the images


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_streamed_batches_equal_those_in_memory(workers: int, kind: str, scoring: Score) -> None:
    """For any number of workers, across epochs, images, conditions and extras have the bits of data in memory."""
    resident = make_loader(scoring("data=whole", f"data.kind={kind}"), CPU)
    streamed = make_loader(scoring("data=streamed", f"data.kind={kind}", f"workers={workers}"), CPU)
    assert isinstance(streamed, StreamingLoader)
    sampler = streamed.sampler
    assert (sampler.size, sampler.batch_size, sampler.batches_per_epoch) == (40, 12, 3)
    assert resident.sampler.batches_per_epoch == 3
    for one, two in zip(batches(resident, range(8)), batches(streamed, range(8)), strict=True):
        assert same(one, two)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_may_be_requested_in_any_order(workers: int, scoring: Score) -> None:
    """A batch is the same when it is repeated, after rewinding, jumping and closing."""
    requested = (0, 1, 1, 2, 0, 0, 7, 8, 3)
    expected = batches(make_loader(scoring("data=whole"), CPU), requested)
    loader = make_loader(scoring("data=streamed", f"workers={workers}"), CPU)
    for one, two in zip(expected, batches(loader, requested), strict=True):
        assert same(one, two)
    assert same(batches(loader, [8])[0], expected[-2])
    loader.close()


@pytest.mark.parametrize("kind", ["classes", "latents", "extras"])
def test_a_repeated_batch_starts_no_worker(kind: str, scoring: Score) -> None:
    """The next batch and the last one come from the running workers; a caller cannot alter the cached batch."""
    loader = make_loader(scoring("data=streamed", f"data.kind={kind}", "workers=1"), CPU)
    assert isinstance(loader, StreamingLoader)
    with closing(loader):
        first, again = loader.batch(4), loader.batch(4)
        (worker,) = loader._workers
        for values in (first.images, first.condition, *first.extras.values()):
            assert values is not None
            values.zero_()
        assert same(loader.batch(4), again)
        assert again.images.abs().sum() > 0
        loader.batch(5)
        assert loader._workers == [worker]
        loader.batch(5 - 1)
        assert loader._workers != [worker]
        assert not worker.is_alive()


@pytest.mark.parametrize("kind", ["classes", "extras", "pairs"])
def test_the_parts_of_all_ranks_are_the_batch(kind: str, scoring: Score) -> None:
    """The parts of the ranks, in order, are the batch of a single process, in memory and streamed."""
    for settings in (("data=whole",), ("data=streamed", "workers=0")):
        data = scoring(*settings, f"data.kind={kind}")
        (whole,) = batches(make_loader(data, CPU), [4])
        parts = [batches(make_loader(data, CPU, rank=rank, world_size=3), [4])[0] for rank in range(3)]
        assert all(len(part.images) == 4 for part in parts)
        conditions = [part.condition for part in parts if part.condition is not None]
        extras = {name: torch.cat([part.extras[name] for part in parts]) for name in whole.extras}
        assert same(whole, Batch(torch.cat([part.images for part in parts]), torch.cat(conditions), extras))


@pytest.mark.parametrize("data", ["whole", "streamed"])
def test_another_batch_size_cuts_the_same_permutation(data: str, scoring: Score) -> None:
    """A loader with a batch size of its own, as for the generator's update, has the same order of images."""
    settings = (f"data={data}", "data.kind=extras", "workers=0")
    small, large = make_loader(scoring(*settings), CPU, batch_size=5), make_loader(scoring(*settings), CPU)
    assert (small.sampler.batch_size, small.sampler.batches_per_epoch, large.sampler.batch_size) == (5, 8, 12)
    ids = torch.cat([batch.extras["id"] for batch in batches(small, range(8))])
    assert torch.equal(ids[:36], torch.cat([batch.extras["id"] for batch in batches(large, range(3))]))


# Data that draws random numbers


def test_random_images_are_the_same_in_every_process(scoring: Score) -> None:
    """torch, random and numpy draw the same for 0, 1 and 3 workers and from any start, and differ between batches."""
    loaders = [make_loader(scoring("data=streamed", "data.how=noise", f"workers={count}"), CPU) for count in (0, 1, 3)]
    expected, *others = [batches(loader, range(5)) for loader in loaders]
    for other in (*others, [*expected[:2], *batches(loaders[1], range(2, 5))]):
        assert all(same(one, two) for one, two in zip(expected, other, strict=True))
    still = batches(make_loader(scoring("data=streamed", "workers=0"), CPU), range(5))
    noise = [two.images - one.images / 2 for one, two in zip(still, expected, strict=True)]
    assert len({float(one.mean()) for one in noise}) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_global_generators_unchanged(workers: int, scoring: Score) -> None:
    """Neither opening, reading nor evaluating moves a global generator of the training process."""
    data = scoring("data=streamed", "data.how=noise", f"workers={workers}")

    def states() -> list[Any]:
        numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one is the one that matters
        return [torch.get_rng_state().tolist(), random.getstate(), str(numpy)]

    before = states()
    batches(make_loader(data, CPU), range(3))
    data.take("train", [1, 2], "evaluation/items")
    assert states() == before


def test_workers_share_no_open_file(scoring: Score, tmp_path: Path) -> None:
    """Items that open a file when they are first read open their own in each worker, also after a read in training."""
    expected = batches(make_loader(scoring("data=whole"), CPU), range(12))
    pixels = scoring("data=whole").images("train")
    assert pixels is not None
    (tmp_path / "pixels").write_bytes(pixels.images.numpy().tobytes())
    data = scoring("data=streamed", "data.how=handle", f"data.place={tmp_path}", "workers=3")
    assert torch.equal(data.take("train", range(40), "evaluation/items").images, pixels.images)
    for _ in range(2):
        assert all(map(same, expected, batches(make_loader(data, CPU), range(12))))


# Errors


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("kind", "how", "message"),
    [
        ("classes", "raises", r"image 7 cannot be read: ValueError: no such pixel \(opened.py, line \d+\)"),
        ("classes", "exits", r"image 7 cannot be read: SystemExit: 3 \(opened.py, line \d+\)"),
        ("classes", "float", r"image 7 is torch.float32 \(1, 8, 8\); the dataset declares torch.uint8 \(1, 8, 8\)"),
        ("classes", "shape", r"image 7 is torch.uint8 \(1, 4, 8\); the dataset declares torch.uint8 \(1, 8, 8\)"),
        ("classes", "label", "image 7 has the class 3; the dataset declares 3 classes, from 0"),
        ("classes", "word", "image 7 has the class 'cat'; an integer is required"),
        ("classes", "bare", r"image 7 is Tensor; a tuple \(image, condition\) or .* is required"),
        ("classes", "quartet", r"image 7 is tuple of 4; a tuple \(image, condition\) or .* is required"),
        ("classes", "list", "image 7 has extras of type list; a dictionary of tensors is required"),
        ("extras", "numbers", "image 7 has extras of another type: weight; a dictionary of tensors is required"),
        ("latents", "undefined", "image 7 has values that are not finite"),
        (
            "latents",
            "long",
            r"image 7: the condition is torch.float32 \(3,\); the dataset declares torch.float32 \(2,\)",
        ),
        ("latents", "word", r"image 7: the condition is str; the dataset declares torch.float32 \(2,\)"),
        ("latents", "infinite", "image 7: the condition has values that are not finite"),
        (
            "maps",
            "bytes",
            r"image 7: the condition is torch.uint8 \(2, 4\); the dataset declares torch.float32 \(2, 4\)",
        ),
        ("extras", "fewer", "image 7 has the extras mask; image 0 has id, mask, weight"),
        (
            "extras",
            "cropped",
            r"image 7: extra 'mask' is torch.uint8 \(4, 8\); that of image 0 is torch.uint8 \(8, 8\)",
        ),
        ("extras", "double", r"image 7: extra 'weight' is torch.float64 \(\); that of image 0 is torch.float32 \(\)"),
    ],
)
def test_a_wrong_item_is_named(kind: str, how: str, message: str, workers: int, scoring: Score) -> None:
    """In every process the error is one line with data, split and image, and the difference to what is declared."""
    loader = make_loader(scoring("data=streamed", f"data.kind={kind}", f"data.how={how}", f"workers={workers}"), CPU)
    with pytest.raises(DataError, match=rf"^data 'streamed' \(train\): {message}$"):
        batches(loader, range(4))


def test_an_undeclared_length_is_refused_before_training(opened: Registry) -> None:
    """`open` returns as many images as `info` declares, which is checked before anything is written."""
    layer = command_line_layer([*SETTINGS, "data=streamed", "data.how=short"])
    with pytest.raises(DataError, match=r"data 'streamed' \(train\) declares 40 images, but open\(\) returns 39"):
        prepare(resolve([layer], opened), opened)


# Processes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_only_sigkill_ends_a_worker(number: signal.Signals, scoring: Score) -> None:
    """SIGKILL is an error with a fix; signals meant for the training end no worker at once."""
    loader = make_loader(scoring("data=streamed", "workers=2"), CPU)
    assert isinstance(loader, StreamingLoader)
    with closing(loader):
        loader.batch(0)
        workers = loader._workers
        victim = workers[0]
        assert victim.pid is not None
        os.kill(victim.pid, number)
        if number == signal.SIGKILL:
            with pytest.raises(TrainingError, match="was killed by SIGKILL, perhaps for lack of memory") as raised:
                batches(loader, range(1, 10))
            assert "--workers" in str(raised.value.fix)
        else:
            for index in range(1, 10):
                loader.batch(index)
            assert victim.is_alive()
    assert not any(worker.is_alive() for worker in workers)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_ends_by_itself_is_described(code: int) -> None:
    """Exit codes are named, also that of success; a worker that is alive is not described."""
    context = multiprocessing.get_context("fork")
    ended, alive = context.Process(target=os._exit, args=(code,)), context.Process(target=time.sleep, args=(60,))
    for process in (ended, alive):
        process.start()
    assert describe_exit([alive, ended]) == (f"ended by itself with exit code {code}", workers_module.FIX)
    alive.kill()
    alive.join()


def test_a_worker_that_a_signal_ends_later_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several training processes, one may wait for a batch when the time after a signal is over.

    More memory would not help. Neither an inherited SIGALRM handler nor alarms of the dataset keep the worker alive.
    """
    monkeypatch.setattr(workers_module, "GRACE_SECONDS", 1)

    def wait() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        workers_module.initialize_worker(0)
        signal.raise_signal(signal.SIGTERM)
        signal.alarm(60)
        signal.alarm(0)
        time.sleep(20)

    process = multiprocessing.get_context("fork").Process(target=wait)
    process.start()
    process.join(30)
    assert describe_exit([process]) == ("ended 1 second after SIGTERM or SIGHUP", None)


def test_a_dataset_keeps_its_own_time_limit() -> None:
    """A handler of SIGALRM that a dataset installed once, in the training process, is called in a worker.

    It is also called after SIGTERM: the training process may need another batch.
    """

    def read() -> None:
        limits: list[int] = []
        signal.signal(signal.SIGALRM, lambda number, _: limits.append(number))
        workers_module.initialize_worker(0)
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGALRM)
        os._exit(len(limits))

    process = multiprocessing.get_context("fork").Process(target=read)
    process.start()
    process.join(30)
    assert process.exitcode == 2


def test_a_worker_that_a_time_limit_ends_is_described() -> None:
    """Without a handler, a dataset's alarm ends the worker: neither lack of memory nor another signal is named."""

    def read() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest-timeout has one
        signal.raise_signal(signal.SIGALRM)

    process = multiprocessing.get_context("fork").Process(target=read)
    process.start()
    process.join(30)
    assert describe_exit([process]) == ("was ended by SIGALRM, a time limit of the dataset", None)


@pytest.mark.parametrize(
    "error", [RuntimeError("unable to allocate shared memory"), OSError(24, "Too many open files")]
)
def test_a_batch_that_cannot_be_sent_is_an_error(
    error: Exception, scoring: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue's thread without shared memory or file descriptors drops its batch; the run must not wait for it."""

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse)  # workers are forked
    loader = make_loader(scoring("data=streamed", "workers=2"), CPU)
    assert isinstance(loader, StreamingLoader)
    with pytest.raises(TrainingError, match=f"a worker cannot send a batch: .*{error.args[-1]}") as raised:
        loader.batch(0)
    assert "--shm-size" in str(raised.value.fix)
    assert "--workers 0" in str(raised.value.fix)
    assert loader._workers == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_of_a_worker_is_named(workers: int, scoring: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is neither an item's nor a lost worker's is one line with the data, in every process."""

    def refuse(*_: Any) -> None:
        raise MemoryError("no room for a batch")

    monkeypatch.setattr(Reader, "read", refuse)
    loader = make_loader(scoring("data=streamed", f"workers={workers}"), CPU)
    with closing(loader), pytest.raises(TrainingError, match=r"'streamed' \(train\) cannot be read: .*no room"):
        loader.batch(0)


def test_closing_kills_a_worker_that_hangs(scoring: Score) -> None:
    """A worker that hangs in an item is killed when the loader is closed."""
    sampler = EpochSampler(40, batch_size=12, seed=0)
    slow = next(index for index in range(100, 200) if 7 in sampler.indices(index))
    loader = make_loader(scoring("data=streamed", "data.how=sleeps", "workers=3"), CPU)
    assert isinstance(loader, StreamingLoader)
    loader.batch(slow - 1)
    workers, start = loader._workers, time.monotonic()
    loader.close()
    assert time.monotonic() - start < 20
    assert not any(worker.is_alive() for worker in workers)


def test_workers_may_be_spawned(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fork the workers get a pickle of the items, and read the same."""
    monkeypatch.setattr(streaming, "start_method", lambda: "spawn")
    for index in range(5):
        save(tmp_path / "pictures" / f"{index}.png", index)
    settings = ("data=folder", f"data.path={tmp_path / 'pictures'}", "data.stream=yes", "batch_size=2", "data.depth=16")

    def loader(workers: int) -> BatchLoader:
        layer = command_line_layer([*SETTINGS, *settings, f"workers={workers}"])
        return make_loader(build_scoring(resolve([layer], registry)), CPU)

    assert all(map(same, batches(loader(0), range(3)), batches(loader(1), range(3))))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_limit_of_threads_is_named(workers: int, scoring: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without threads (`ulimit -u`), batches are read in the training process, and workers are one error with a fix."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    loader = make_loader(scoring("data=streamed", f"workers={workers}"), CPU)
    monkeypatch.setattr("threading.Thread.start", refuse)
    with closing(loader):
        if workers == 0:
            assert len(loader.batch(0)) == 12
            return
        with pytest.raises(TrainingError, match="cannot start: can't start new thread") as caught:
            loader.batch(0)
    assert "--workers 0" in str(caught.value.fix)
    assert multiprocessing.active_children() == []
