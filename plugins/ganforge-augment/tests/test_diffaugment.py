"""DiffAugment, as the laws of the paper and of its authors' code."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from augment_parts import augmented as apply
from augment_parts import noise, sample
from ganforge_augment.diffaugment import DiffAugment
from torch import Tensor

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (4, 1, 1), (3, 2, 16)]


def diffaugment(policy: object = ("color", "translation", "cutout")) -> DiffAugment:
    """Return an augmentation with a policy."""
    return DiffAugment(DiffAugment.Options.model_validate({"policy": policy}))


def augmented(images: Tensor, policy: object = ("color", "translation", "cutout"), seed: int = 0) -> Tensor:
    """Return augmented images."""
    return apply(diffaugment(policy), images, seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_size_channels_and_type(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Shape and type stay, numbers are finite, and images do change."""
    images = noise(8, *shape).to(dtype)
    changed = augmented(images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)
    assert changed.isfinite().all()
    assert not torch.equal(changed, images)


def test_brightness_is_uniform_within_a_half() -> None:
    """A flat gray image has neither color nor contrast: it becomes another flat one, U(-½, ½) brighter."""
    shift = augmented(torch.full((4000, 1, 3, 3), 0.25, dtype=torch.float64), "color").flatten(1) - 0.25
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    counts = shift[:, 0].histc(10, -0.5, 0.5)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_contrast_is_uniform_around_1() -> None:
    """The distance of a gray image to its mean is scaled by one number, U(½, 1½)."""
    images = noise(4000, 1, 4, 4, dtype=torch.float64)
    changed = augmented(images, "color")
    before, after = (values - values.mean((1, 2, 3), keepdim=True) for values in (images, changed))
    gain = (after / before).flatten(1)
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain))
    counts = gain[:, 0].histc(10, 0.5, 1.5)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_saturation_is_uniform_up_to_2() -> None:
    """The distance to gray is scaled by contrast times one more number, U(0, 2)."""
    images = noise(4000, 3, 4, 4, dtype=torch.float64)
    changed = augmented(images, "color")
    grays = [values.mean(1, keepdim=True) for values in (images, changed)]
    middles = [gray - gray.mean((1, 2, 3), keepdim=True) for gray in grays]
    contrast = (middles[1] / middles[0]).flatten(1)[:, 0]
    gain = ((changed - grays[1]) / (images - grays[0])).flatten(1)[:, 0]
    counts = (gain / contrast).histc(10, 0, 2)
    assert counts.sum() == 4000
    assert counts.min() > 320


def test_translation_moves_by_whole_pixels_up_to_an_eighth() -> None:
    """In 28 rows and 16 columns, a point moves by -4…4 and -2…2 (an eighth, halves rounded up); all pairs occur."""
    images = torch.zeros(3000, 1, 28, 16)
    images[:, 0, 14, 8] = 1
    places = augmented(images, "translation").nonzero()
    assert len(places) == 3000  # one point in each
    moves = {(row - 14, column - 8) for _, _, row, column in places.tolist()}
    assert moves == set(product(range(-4, 5), range(-2, 3)))


def test_translation_fills_with_0() -> None:
    """Each image is a window of the image in a larger field of zeros: a plain loop agrees."""
    images = noise(40, 2, 9, 17)
    changed = augmented(images, "translation")
    seen = set()
    for image, moved in zip(images, changed, strict=True):
        field = torch.zeros(2, 9 + 2, 17 + 4)
        field[:, 1:10, 2:19] = image
        windows = {
            (row, column): field[:, row : row + 9, column : column + 17] for row in range(3) for column in range(5)
        }
        (match,) = [place for place, window in windows.items() if torch.equal(window, moved)]
        seen.add(match)
    assert len(seen) > 5


@pytest.mark.parametrize("size", [(28, 28), (9, 14), (1, 1), (2, 3)])
def test_cutout_is_half_of_each_side_around_any_center(size: tuple[int, int]) -> None:
    """Cut-outs are rectangles whose sides are exactly those of half the image around every possible center."""
    height, width = size
    changed = augmented(torch.ones(3000, 2, height, width), "cutout")
    assert torch.equal(changed[:, 0], changed[:, 1])
    cut = changed[:, 0] == 0
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for covered, side in ((rows, height), (columns, width)):
        half = int(side / 2 + 0.5)
        centers = range(side + 1 if half % 2 == 0 else side)
        intervals = [(max(0, center - half // 2), min(side, center - half // 2 + half)) for center in centers]
        expected = torch.tensor([[begin <= place < end for place in range(side)] for begin, end in intervals])
        which = (covered[:, None] == expected[None]).all(2)
        assert bool(which.any(1).all())  # only these
        assert bool(which.any(0).all())  # and all of these
        lengths = torch.tensor([end - begin for begin, end in intervals], dtype=torch.float32)
        assert float(covered.sum(1).float().mean()) == pytest.approx(float(lengths.mean()), rel=0.05)


def test_cutout_keeps_the_rest() -> None:
    """Pixels outside of the rectangle keep their bits."""
    images = noise(20, 3, 10, 10)
    changed = augmented(images, "cutout")
    assert torch.equal(changed, torch.where(changed == 0, 0, images))


def test_translation_and_cutout_are_linear() -> None:
    """Equal random numbers change all images in the same way: cutting and shifting commute with adding images."""
    one, two = noise(4, 1, 8, 8, dtype=torch.float64), noise(4, 1, 8, 8, dtype=torch.float64) ** 2
    policy = "translation,cutout"
    torch.testing.assert_close(augmented(one, policy) + augmented(two, policy), augmented(one + two, policy))


def test_a_policy_is_followed_in_its_order() -> None:
    """Colors also change a rectangle that was cut before, and not one that is cut after."""
    images = torch.ones(5, 1, 8, 8)
    assert (augmented(images, "color,cutout") == 0).any()
    assert not (augmented(images, "cutout,color") == 0).any()


def test_a_policy_is_read_from_text_and_from_a_list() -> None:
    """Words of a command line, with or without spaces, and the list of a file mean the same."""
    read = [
        DiffAugment.Options.model_validate({"policy": policy}).policy
        for policy in ("cutout, color", ["cutout", "color"])
    ]
    assert read == [("cutout", "color")] * 2


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("tint", "'color', 'translation' or 'cutout'"),
        ("color,,flip", "'color', 'translation' or 'cutout'"),
        ("", "at least 1 item"),
        ([], "at least 1 item"),
        ("color,color", "name each change once: color"),
        (3, "valid tuple"),
    ],
)
def test_an_invalid_policy_is_refused(policy: object, message: str) -> None:
    """The error lists the changes."""
    with pytest.raises(ValueError, match=message):
        DiffAugment.Options.model_validate({"policy": policy})


def test_parameters_can_be_used_again() -> None:
    """Equal parameters change images equally; each image has its own, and smaller levels move by the same shares.

    A shift of 64 columns is about twice that of 32, and so are the rectangles.
    """
    augmentation = diffaugment()
    images = noise(6, 3, 8, 8)
    parameters = sample(augmentation, images)
    changed = augmentation(images, parameters)
    assert torch.equal(augmentation(images, parameters), changed)
    assert torch.equal(augmentation(images[2:4], parameters[2:4]), changed[2:4])
    for name in ("translation", "cutout"):
        large, small = (torch.ones(500, 1, size, size) for size in (64, 32))
        parameters = sample(diffaugment(name), large)
        edges = [diffaugment(name)(ones, parameters)[:, 0].sum((1, 2)) / ones[0].numel() for ones in (large, small)]
        assert float((edges[0] - edges[1]).abs().max()) < 0.1
        assert float(torch.corrcoef(torch.stack(edges))[0, 1]) > 0.9


def test_first_and_second_derivatives() -> None:
    """Finite differences agree with the first and the second derivative, in float64."""
    images = noise(3, 3, 5, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(augmented, images)
    assert torch.autograd.gradgradcheck(lambda values: augmented(values).pow(3), images)


def test_low_precision_is_rounded_at_the_end_only() -> None:
    """bfloat16 images are computed in float32."""
    images = noise(6, 3, 16, 16).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmented(images), augmented(images.float()).bfloat16())


def test_the_device_is_never_waited_for() -> None:
    """On a device without values, forward and backward run: the CPU needs no number."""
    images = torch.empty(4, 3, 8, 8, device="meta", requires_grad=True)
    augmented(images).sum().backward()
    assert images.grad is not None
