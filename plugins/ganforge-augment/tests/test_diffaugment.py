"""DiffAugment: what the paper and its authors' code say, as laws."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from ganforge_augment.diffaugment import DiffAugment
from torch import Tensor

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (4, 1, 1), (3, 2, 16)]


def augmented(images: Tensor, policy: object = ("color", "translation", "cutout"), seed: int = 0) -> Tensor:
    """Return augmented images."""
    made = DiffAugment(DiffAugment.Options.model_validate({"policy": policy}))
    found: Tensor = made(images, rng=torch.Generator().manual_seed(seed))
    return found


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random images in [-1, 1], the same ones each time."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_size_channels_and_type(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Shape and type stay, numbers are finite, and images do change."""
    images = noise(8, *shape).to(dtype)
    found = augmented(images)
    assert (found.shape, found.dtype) == (images.shape, dtype)
    assert found.isfinite().all()
    assert not torch.equal(found, images)


def test_brightness_is_uniform_within_a_half() -> None:
    """A flat grey image has neither colour nor contrast: it becomes another flat one, U(-½, ½) brighter."""
    shift = augmented(torch.full((4000, 1, 3, 3), 0.25, dtype=torch.float64), "color").flatten(1) - 0.25
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    counts = shift[:, 0].histc(10, -0.5, 0.5)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_contrast_is_uniform_around_1() -> None:
    """What is beyond a grey image's mean is scaled by one number, U(½, 1½)."""
    images = noise(4000, 1, 4, 4, dtype=torch.float64)
    found = augmented(images, "color")
    before, after = (given - given.mean((1, 2, 3), keepdim=True) for given in (images, found))
    gain = (after / before).flatten(1)
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain))
    counts = gain[:, 0].histc(10, 0.5, 1.5)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_saturation_is_uniform_up_to_2() -> None:
    """What is beyond grey is scaled by contrast times one more number, U(0, 2)."""
    images = noise(4000, 3, 4, 4, dtype=torch.float64)
    found = augmented(images, "color")
    greys = [given.mean(1, keepdim=True) for given in (images, found)]
    middles = [grey - grey.mean((1, 2, 3), keepdim=True) for grey in greys]
    contrast = (middles[1] / middles[0]).flatten(1)[:, 0]
    gain = ((found - greys[1]) / (images - greys[0])).flatten(1)[:, 0]
    counts = (gain / contrast).histc(10, 0, 2)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_translation_moves_by_whole_pixels_up_to_an_eighth() -> None:
    """Of 28 rows and 16 columns, a point moves by -4…4 and -2…2 (an eighth, halves rounded up); all pairs occur."""
    images = torch.zeros(3000, 1, 28, 16)
    images[:, 0, 14, 8] = 1
    places = augmented(images, "translation").nonzero()
    assert len(places) == 3000  # one point in each
    moves = {(row - 14, column - 8) for _, _, row, column in places.tolist()}
    assert moves == set(product(range(-4, 5), range(-2, 3)))


def test_translation_fills_with_0() -> None:
    """Each image is itself in a larger field of zeros, seen through a window that has moved: a plain loop agrees."""
    images = noise(40, 2, 9, 17)
    found = augmented(images, "translation")
    seen = set()
    for image, moved in zip(images, found, strict=True):
        field = torch.zeros(2, 9 + 2, 17 + 4)
        field[:, 1:10, 2:19] = image
        windows = {
            (row, column): field[:, row : row + 9, column : column + 17] for row in range(3) for column in range(5)
        }
        (match,) = [place for place, window in windows.items() if torch.equal(window, moved)]
        seen.add(match)
    assert len(seen) > 5


@pytest.mark.parametrize("size", [(28, 28), (9, 14), (1, 1), (2, 3)])
def test_cutout_is_half_of_each_side_around_any_centre(size: tuple[int, int]) -> None:
    """What is cut is a rectangle, and its sides are exactly those of half the image around each centre there is."""
    height, width = size
    found = augmented(torch.ones(3000, 2, height, width), "cutout")
    assert torch.equal(found[:, 0], found[:, 1])
    cut = found[:, 0] == 0
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for covered, side in ((rows, height), (columns, width)):
        half = int(side / 2 + 0.5)
        centres = range(side + 1 if half % 2 == 0 else side)
        intervals = [(max(0, centre - half // 2), min(side, centre - half // 2 + half)) for centre in centres]
        expected = torch.tensor([[begin <= place < end for place in range(side)] for begin, end in intervals])
        which = (covered[:, None] == expected[None]).all(2)
        assert bool(which.any(1).all())  # only these
        assert bool(which.any(0).all())  # and all of these
        lengths = torch.tensor([end - begin for begin, end in intervals], dtype=torch.float32)
        assert float(covered.sum(1).float().mean()) == pytest.approx(float(lengths.mean()), rel=0.05)


def test_cutout_leaves_the_rest_alone() -> None:
    """What is not cut stays to the bit."""
    images = noise(20, 3, 10, 10)
    found = augmented(images, "cutout")
    assert torch.equal(found, torch.where(found == 0, 0, images))


def test_real_and_fake_images_differ_only_by_what_they_are() -> None:
    """The same random numbers change any images in the same way: cutting and shifting commute with adding images."""
    one, two = noise(4, 1, 8, 8, dtype=torch.float64), noise(4, 1, 8, 8, dtype=torch.float64) ** 2
    policy = "translation,cutout"
    torch.testing.assert_close(augmented(one, policy) + augmented(two, policy), augmented(one + two, policy))


def test_a_policy_is_followed_in_its_order() -> None:
    """After a cut, colours change what was cut too; before it, they do not."""
    images = torch.ones(5, 1, 8, 8)
    assert (augmented(images, "color,cutout") == 0).any()
    assert not (augmented(images, "cutout,color") == 0).any()


def test_a_policy_is_read_from_text_and_from_a_list() -> None:
    """A command line's words, with spaces or none, and a file's list mean the same."""
    read = [
        DiffAugment.Options.model_validate({"policy": given}).policy for given in ("cutout, color", ["cutout", "color"])
    ]
    assert read == [("cutout", "color")] * 2


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("colour", "'color', 'translation' or 'cutout'"),
        ("color,,flip", "'color', 'translation' or 'cutout'"),
        ("", "at least 1 item"),
        ([], "at least 1 item"),
        ("color,color", "name each change once: color"),
        (3, "valid tuple"),
    ],
)
def test_a_policy_that_is_none_is_refused(policy: object, message: str) -> None:
    """The error says what there is."""
    with pytest.raises(ValueError, match=message):
        DiffAugment.Options.model_validate({"policy": policy})


def test_gradients_and_their_gradients_are_right() -> None:
    """Finite differences agree with the first and the second derivative, in float64."""
    images = noise(3, 3, 5, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(augmented, images)
    assert torch.autograd.gradgradcheck(lambda given: augmented(given).pow(3), images)


def test_low_precision_is_rounded_at_the_end_only() -> None:
    """bfloat16 images are computed with in float32."""
    images = noise(6, 3, 16, 16).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmented(images), augmented(images.float()).bfloat16())


def test_nothing_is_waited_for() -> None:
    """On a device without values it still runs, forwards and backwards: no number is needed on the CPU."""
    images = torch.empty(4, 3, 8, 8, device="meta", requires_grad=True)
    augmented(images).sum().backward()
    assert images.grad is not None
