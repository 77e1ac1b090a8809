"""Laws of the in-memory loader, the epoch sampler, and the checks of opened splits."""

from __future__ import annotations

from unittest.mock import call, patch

import pytest
import torch

from ganforge.components import ConditionSpec, ImageSpec, ImageTensors
from ganforge.data.loader import EpochSampler, InMemoryLoader, fits
from ganforge.data.reader import Reader
from ganforge.errors import DataError, PluginError
from ganforge.utils.rng import derive_generator
from tests.helpers.mnist_files import mnist
from tests.helpers.streaming import CPU, KINDS, Score, opened, scoring

__all__ = ["opened", "scoring"]  # fixtures


# Order and bits


def test_an_epoch_has_each_image_once() -> None:
    """Within an epoch no image is repeated, and every epoch has another order."""
    sampler = EpochSampler(40, batch_size=10, seed=3)
    epochs = [torch.cat([sampler.indices(index) for index in range(start, start + 4)]) for start in (0, 4)]
    assert all(epoch.sort().values.tolist() == list(range(40)) for epoch in epochs)
    assert not torch.equal(*epochs)


def test_mnist_batches_are_the_textbook_s() -> None:
    """Batches of MNIST are a plain loop over torch.randperm, with the textbook's (x/255 - 0.5)/0.5, to the bit."""
    data = mnist(source="sample").open("train")
    loader = InMemoryLoader(data, EpochSampler(len(data), batch_size=60, seed=5), CPU)
    assert data.condition is not None
    for epoch, position in ((0, 0), (0, 165), (1, 0), (3, 7)):
        batch = loader.batch(epoch * 166 + position)
        order = torch.randperm(10_000, generator=derive_generator(5, "data", epoch))[60 * position : 60 * position + 60]
        assert torch.equal(batch.images, (data.images[order].float() / 255 - 0.5) / 0.5)
        assert batch.condition is not None
        assert torch.equal(batch.condition, data.condition[order])
        assert batch.extras == {}
    assert loader.tensors.images.data_ptr() == data.images.data_ptr(), "data in memory is not copied"


def test_float_images_and_extras_stay_as_stored() -> None:
    """float32 images and conditions keep their bits; uint8 conditions become [-1, 1]; extras keep type and bits."""
    count, rng = 20, torch.Generator().manual_seed(0)
    images = 1e4 * torch.randn(count, 2, 1, 1, generator=rng)
    pictures = torch.randint(256, (count, 3, 4, 4), generator=rng, dtype=torch.uint8)
    extras = {"mask": pictures[:, :1], "weight": torch.rand(count, generator=rng), "id": torch.arange(count)}
    sampler = EpochSampler(count, batch_size=8, seed=1)
    indices = sampler.indices(1)
    for condition in (pictures, torch.randn(count, 5, generator=rng), None):
        batch = InMemoryLoader(ImageTensors(images, condition, extras), sampler, CPU).batch(1)
        assert torch.equal(batch.images, images[indices])
        for name, values in batch.extras.items():
            assert values.dtype == extras[name].dtype
            assert torch.equal(values, extras[name][indices])
        if condition is None or batch.condition is None:
            assert condition is batch.condition
        elif condition.dtype == torch.uint8:
            assert torch.equal(batch.condition, (condition[indices].float() / 255 - 0.5) / 0.5)
        else:
            assert torch.equal(batch.condition, condition[indices])


def test_tensors_stay_on_a_device_if_they_take_half_of_it() -> None:
    """Tensors that take up to half of the free memory are kept on the device; the machine's own has no limit."""
    assert fits(50, 100)
    assert fits(50, 101)
    assert not fits(51, 101)
    assert fits(1 << 60, None)


# Opened splits


@pytest.mark.parametrize("kind", KINDS)
def test_taken_images_are_the_same_in_memory_and_streamed(kind: str, scoring: Score) -> None:
    """`take` returns images, conditions and extras in the order of the indices, with the types that are stored."""
    whole, streamed = (scoring(f"data={name}", f"data.kind={kind}") for name in ("whole", "streamed"))
    assert whole.info.image == streamed.info.image
    assert streamed.images("train") is None
    assert isinstance(streamed.open("train"), Reader)
    for indices in ([7, 3, 3, 39], [0], []):
        one, two = (data.take("train", indices, "evaluation/items") for data in (whole, streamed))
        assert len(one) == len(two) == len(indices)
        assert one.extras.keys() == two.extras.keys()
        for first, second in (
            (one.images, two.images),
            (one.condition, two.condition),
            *((one.extras[name], two.extras[name]) for name in one.extras),
        ):
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                assert first.dtype == second.dtype
                assert torch.equal(first, second)


def test_a_split_is_opened_once(scoring: Score) -> None:
    """Every caller gets the same tensors, or the same reader."""
    for name in ("whole", "streamed"):
        data = scoring(f"data={name}")
        with patch.object(data.dataset, "open", wraps=data.dataset.open) as open_split:
            for _ in range(2):
                data.take("train", [1], "evaluation/items")
                data.images("train")
                data.images("test")
        assert open_split.call_args_list == [call("train"), call("test")]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("short", DataError, r"data 'claims' \(train\) declares 41 images, but open\(\) returns 40$"),
        (
            "channels",
            DataError,
            r".*: the images are torch.uint8 \(40, 1, 8, 8\); the dataset declares .* \(3, 8, 8\) each$",
        ),
        (
            "float",
            DataError,
            r".*: the images are torch.uint8 .*; the dataset declares torch.float32 \(1, 8, 8\) each$",
        ),
        ("labels", DataError, r".* \(train\) has the class 2; the dataset declares 2 classes, from 0$"),
        (
            "vector",
            DataError,
            r".*: the condition is torch.int64 \(40,\); the dataset declares torch.float32 \(40, 3\)$",
        ),
        ("none", DataError, r".*: the images have conditions, torch.int64 \(40,\); the dataset declares none\n"),
        ("condition", DataError, r".*: the images have no conditions; the dataset declares float32 3$"),
        ("raises", PluginError, r"dataset 'claims' .* cannot open its train split: KeyError: 'no such split'"),
        ("nothing", PluginError, r"dataset 'claims' .* cannot open its train split: .* 'NoneType' has no len"),
    ],
)
def test_a_split_that_differs_from_what_is_declared_is_refused(
    how: str, error: type[Exception], message: str, scoring: Score
) -> None:
    """Sizes, shapes, types and conditions are compared with `info`, and the error names data, split and difference."""
    with pytest.raises(error, match=f"^{message}"):
        scoring("data=claims", f"data.how={how}").images("train")


def test_image_0_decides_on_the_extras_when_a_split_is_opened(scoring: Score) -> None:
    """Opening reads image 0 alone; no indices are still tensors of the right names and types."""
    nothing = scoring("data=streamed", "data.kind=extras", "data.how=raises").take("train", [], "evaluation/items")
    assert {name: values.dtype for name, values in nothing.extras.items()} == {
        "mask": torch.uint8,
        "weight": torch.float32,
        "id": torch.int64,
    }


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("classes", ImageSpec(1, 8, 8, ConditionSpec.classes(3))),
        ("points", ImageSpec(2, 1, 1)),
        ("latents", ImageSpec(3, 16, 16, ConditionSpec.vector(("smile", "age")))),
    ],
)
def test_pictures_have_the_shape_of_to_pixels(kind: str, spec: ImageSpec, scoring: Score) -> None:
    """The pictures of latents are those of the decoder, and keep the condition."""
    assert scoring("data=whole", f"data.kind={kind}").picture_spec == spec
