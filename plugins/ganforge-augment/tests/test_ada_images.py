"""ADA as a whole: images in, images out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from augment_parts import augmented, noise, sample
from ganforge_augment.ada import Ada
from ganforge_augment.transforms import COLORS, GEOMETRIC

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (4, 1, 1), (3, 16, 7)]


def ada(*only: str, **options: Any) -> Ada:
    """Return an augmentation with some transformations, or all if none is named; p is 1 by default."""
    switches = {name: name in only for name in (*GEOMETRIC, *COLORS)} if only else {}
    return Ada(Ada.Options(**{"initial": 1.0, **switches, **options}))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_with_p_at_0_images_keep_their_bits(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """At the start of training, images are unchanged."""
    images = noise(5, *shape).to(dtype)
    assert torch.equal(augmented(ada(initial=0.0), images), images)


def test_with_all_switched_off_images_keep_their_bits() -> None:
    """Without transformations, images are unchanged at any p."""
    images = noise(5, 3, 8, 8)
    off = Ada(Ada.Options(initial=1.0, **dict.fromkeys((*GEOMETRIC, *COLORS), False)))
    assert torch.equal(augmented(off, images), images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_size_channels_and_type(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Shape and type stay, numbers are finite, and images do change."""
    images = noise(8, *shape).to(dtype)
    changed = augmented(ada(), images)
    assert (changed.shape, changed.dtype) == (images.shape, dtype)
    assert changed.isfinite().all()
    assert not torch.equal(changed, images)


def test_at_p_1_all_four_turns_and_both_flips_occur() -> None:
    """With quarter turns and flips alone, each image is one of its eight versions, to the bit, and none is missing."""
    image = noise(1, 3, 8, 8)
    changed = augmented(ada("xflip", "rotate90"), image.expand(200, -1, -1, -1))
    eight = [torch.rot90(side, turns, (2, 3)) for side in (image, image.flip(3)) for turns in range(4)]
    matches = torch.stack([(changed == version).flatten(1).all(1) for version in eight])
    assert bool((matches.sum(0) == 1).all())
    assert bool(matches.any(1).all())


def test_at_p_below_1_the_unchanged_image_is_the_most_frequent() -> None:
    """Reason why flips do not leak: at p = 0.8 an image is mirrored in 40% of cases and itself in 60%."""
    image = noise(1, 1, 4, 4)
    changed = augmented(ada("xflip", initial=0.8), image.expand(4000, -1, -1, -1))
    same = (changed == image).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.6, abs=0.04)


def test_brightness_is_a_shift_of_the_whole_image() -> None:
    """Alone it adds one number to each image, of mean 0 and standard deviation 0.2."""
    images = noise(4000, 3, 2, 2, dtype=torch.float64)
    shift = (augmented(ada("brightness"), images) - images).flatten(1)
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    assert float(shift.mean()) == pytest.approx(0, abs=0.02)
    assert float(shift[:, 0].std()) == pytest.approx(0.2, abs=0.01)


def test_equal_random_numbers_give_equal_images() -> None:
    """Random numbers come from the step's generator and from nothing else."""
    augmentation, images = ada(), noise(6, 3, 8, 8)
    torch.manual_seed(1)
    first = augmented(augmentation, images, seed=4)
    torch.manual_seed(2)
    assert torch.equal(augmented(augmentation, images, seed=4), first)
    assert not torch.equal(augmented(augmentation, images, seed=5), first)


def test_parameters_can_be_used_again() -> None:
    """Equal parameters change images equally; each image has its own, and a smaller level is moved by the same shares.

    Quarter turns and flips of an image at half the size are half-size versions of those of the image.
    """
    augmentation, images = ada("xflip", "rotate90"), noise(6, 3, 8, 8)
    parameters = sample(augmentation, images)
    changed = augmentation(images, parameters)
    assert torch.equal(augmentation(images, parameters), changed)
    assert torch.equal(augmentation(images[2:4], parameters[2:4]), changed[2:4])
    half = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(augmentation(half, parameters), torch.nn.functional.avg_pool2d(changed, 2))


def test_drawing_does_not_depend_on_p() -> None:
    """As p rises, images that were changed before are changed in the same way: p only selects them."""
    images = noise(64, 1, 8, 8)
    few, many = (augmented(ada("rotate90", initial=p), images) for p in (0.3, 0.6))
    changed = (few != images).flatten(1).any(1)
    assert changed.any()
    assert torch.equal(few[changed], many[changed])


def test_low_precision_is_rounded_at_the_end_only() -> None:
    """bfloat16 images are computed in float32, also under autocast, where matrix products would not be."""
    images = noise(6, 3, 40, 40).bfloat16()
    expected = augmented(ada(), images.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmented(ada(), images), expected.bfloat16())
        assert torch.equal(augmented(ada(), images.float()), expected)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)])
def test_first_and_second_derivatives(shape: tuple[int, ...]) -> None:
    """Finite differences agree with the first and the second derivative, in float64."""
    images = noise(3, *shape, dtype=torch.float64).requires_grad_()
    augmentation = ada()
    assert torch.autograd.gradcheck(lambda values: augmented(augmentation, values, seed=4), images)
    assert torch.autograd.gradgradcheck(lambda values: augmented(augmentation, values, seed=4).pow(3), images)


def test_a_gradient_penalty_goes_through_it() -> None:
    """For linear D = ⟨w, ·⟩, the squared gradient at augmented images depends on w, and its derivative is exact."""
    augmentation, images = ada("rotate", "xfrac"), noise(2, 1, 6, 6, dtype=torch.float64).requires_grad_()
    weights = noise(1, 1, 6, 6, dtype=torch.float64).requires_grad_()
    score = (augmented(augmentation, images, seed=3) * weights).sum()
    (gradient,) = torch.autograd.grad(score, images, create_graph=True)
    (by_weights,) = torch.autograd.grad(gradient.square().sum(), weights)
    # Quadratic in w, so by Euler's theorem ⟨w, ∇⟩ = 2 · value.
    torch.testing.assert_close((by_weights * weights).sum(), 2 * gradient.square().sum())


def test_the_device_is_never_waited_for() -> None:
    """On a device without values, sampling, forward, backward and adaptation run: the CPU needs no number."""
    augmentation = ada().to("meta")
    images = torch.empty(4, 3, 8, 8, device="meta", requires_grad=True)
    changed = augmented(augmentation, images)
    changed.sum().backward()
    augmentation.observe(torch.empty(4, device="meta"))
    assert images.grad is not None
    assert (changed.device.type, augmentation.p.device.type) == ("meta", "meta")
