"""ADA as a whole: images in, images out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganforge_augment.ada import Ada
from ganforge_augment.laws import COLOURS, GEOMETRIC
from torch import Tensor

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (4, 1, 1), (3, 16, 7)]


def ada(*only: str, **options: Any) -> Ada:
    """Return an augmentation with only the named transformations, or with all; p is 1 unless given."""
    switches = {name: name in only for name in (*GEOMETRIC, *COLOURS)} if only else {}
    return Ada(Ada.Options(**{"initial": 1.0, **switches, **options}))


def rng(seed: int = 0) -> torch.Generator:
    """Return a fresh random generator."""
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random images in [-1, 1], the same ones each time."""
    return torch.rand(*shape, generator=rng(1), dtype=dtype) * 2 - 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_with_p_at_0_images_stay_to_the_bit(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """As training starts, images are the ones that came in."""
    images = noise(5, *shape).to(dtype)
    assert torch.equal(ada(initial=0.0)(images, rng=rng()), images)


def test_with_all_switched_off_images_stay_to_the_bit() -> None:
    """Whatever p is."""
    images = noise(5, 3, 8, 8)
    off = Ada(Ada.Options(initial=1.0, **dict.fromkeys((*GEOMETRIC, *COLOURS), False)))
    assert torch.equal(off(images, rng=rng()), images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_size_channels_and_type(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Shape and type stay, numbers are finite, and images do change."""
    images = noise(8, *shape).to(dtype)
    found = ada()(images, rng=rng())
    assert (found.shape, found.dtype) == (images.shape, dtype)
    assert found.isfinite().all()
    assert not torch.equal(found, images)


def test_at_p_1_all_four_turns_and_both_flips_are_there() -> None:
    """With quarter turns and flips alone, each image is one of its eight versions, to the bit, and none is missing."""
    image = noise(1, 3, 8, 8)
    found = ada("xflip", "rotate90")(image.expand(200, -1, -1, -1), rng=rng())
    eight = [torch.rot90(side, turns, (2, 3)) for side in (image, image.flip(3)) for turns in range(4)]
    matches = torch.stack([(found == version).flatten(1).all(1) for version in eight])
    assert bool((matches.sum(0) == 1).all())
    assert bool(matches.any(1).all())


def test_at_p_below_1_the_unchanged_image_is_the_most_frequent() -> None:
    """Why flips do not leak: at p = 0.8 an image is mirrored in 40 % of cases and itself in 60 %."""
    image = noise(1, 1, 4, 4)
    found = ada("xflip", initial=0.8)(image.expand(4000, -1, -1, -1), rng=rng())
    same = (found == image).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.6, abs=0.04)


def test_brightness_is_a_shift_of_the_whole_image() -> None:
    """Alone it adds one number to each image, of mean 0 and standard deviation 0.2."""
    images = noise(4000, 3, 2, 2, dtype=torch.float64)
    shift = (ada("brightness")(images, rng=rng()) - images).flatten(1)
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    assert float(shift.mean()) == pytest.approx(0, abs=0.02)
    assert float(shift[:, 0].std()) == pytest.approx(0.2, abs=0.01)


def test_it_is_the_same_for_the_same_random_numbers_only() -> None:
    """It draws from `rng`, once for each call, and from nothing else."""
    made, images = ada(), noise(6, 3, 8, 8)
    torch.manual_seed(1)
    first = made(images, rng=rng(4))
    torch.manual_seed(2)
    assert torch.equal(made(images, rng=rng(4)), first)
    assert not torch.equal(made(images, rng=rng(5)), first)


def test_drawing_does_not_depend_on_p() -> None:
    """As p rises, the images that were changed already are changed in the same way: p only decides which."""
    images = noise(64, 1, 8, 8)
    few, many = (ada("rotate90", initial=p)(images, rng=rng()) for p in (0.3, 0.6))
    changed = (few != images).flatten(1).any(1)
    assert changed.any()
    assert torch.equal(few[changed], many[changed])


def test_low_precision_is_rounded_at_the_end_only() -> None:
    """bfloat16 images are computed with in float32, under autocast too, where matrix products would not be."""
    images = noise(6, 3, 40, 40).bfloat16()
    expected = ada()(images.float(), rng=rng())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ada()(images, rng=rng()), expected.bfloat16())
        assert torch.equal(ada()(images.float(), rng=rng()), expected)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)])
def test_gradients_and_their_gradients_are_right(shape: tuple[int, ...]) -> None:
    """Finite differences agree with the first and the second derivative, in float64."""
    images = noise(3, *shape, dtype=torch.float64).requires_grad_()
    made = ada()
    assert torch.autograd.gradcheck(lambda given: made(given, rng=rng(3)), images)
    assert torch.autograd.gradgradcheck(lambda given: made(given, rng=rng(3)).pow(3), images)


def test_a_gradient_penalty_goes_through_it() -> None:
    """For linear D = ⟨w, ·⟩ the squared gradient at augmented images depends on w, and its derivative is exact."""
    made, images = ada("rotate", "xfrac"), noise(2, 1, 6, 6, dtype=torch.float64).requires_grad_()
    weights = noise(1, 1, 6, 6, dtype=torch.float64).requires_grad_()
    score = (made(images, rng=rng(3)) * weights).sum()
    (slope,) = torch.autograd.grad(score, images, create_graph=True)
    (found,) = torch.autograd.grad(slope.square().sum(), weights)
    # Quadratic in w: Euler says ⟨w, ∇⟩ = 2 · value.
    torch.testing.assert_close((found * weights).sum(), 2 * slope.square().sum())


def test_nothing_is_waited_for() -> None:
    """On a device without values it still runs, forwards, backwards and adapting: no number is needed on the CPU."""
    made = ada().to("meta")
    images = torch.empty(4, 3, 8, 8, device="meta", requires_grad=True)
    found = made(images, rng=rng())
    found.sum().backward()
    made.observe(torch.empty(4, device="meta"))
    assert images.grad is not None
    assert (found.device.type, made.p.device.type) == ("meta", "meta")
