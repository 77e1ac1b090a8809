"""DataCopying: ranks by hand, copies, ties, what is refused, the picture of pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganforge.builtin.metrics.data_copying import DataCopying, pairs
from ganforge.errors import DataError
from tests.helpers.metric_contexts import Sized, evaluation, normal, result, scores


def on_a_line(*places: float) -> Tensor:
    """Return one feature for each image."""
    return torch.tensor(places).unsqueeze(1)


def test_it_is_the_probability_to_be_farther_away() -> None:
    """Test images at distances 1, 2, 3, 4 of the nearest training image, fakes at 0, 2.5, 4, 9: by counting pairs.

    A fake at 2.5 is farther than two of four; one at 4 is farther than three, and tied with one.
    """
    train = on_a_line(0, 1000)
    test, fake = on_a_line(1, -2, 1003, 996), on_a_line(0, 1002.5, -4, 9)
    context = evaluation(test, fake, train)
    found = scores(DataCopying, context)
    assert found["data-copying"] == pytest.approx((0 + 2 / 4 + 3.5 / 4 + 1) / 4)
    assert found["copies"] == 1 / 4  # the fake at 0 alone is nearer than 99% of them
    assert scores(DataCopying, context, nearer_than=0.5)["copies"] == 2 / 4


def test_fakes_as_new_as_test_images() -> None:
    """For fakes of the same distribution it is 1/2, and copies 1%, within sampling error."""
    train, test, fake = normal(1500, 3, 0), normal(2000, 3, 1), normal(2000, 3, 2)
    found = scores(DataCopying, evaluation(test, fake, train))
    assert found["data-copying"] == pytest.approx(0.5, abs=0.03)
    assert found["copies"] == pytest.approx(0.01, abs=0.008)


def test_copies_are_seen_whatever_their_order() -> None:
    """Training images themselves: data-copying 0 and copies 1; hardly changed ones: nearly so; a quarter: a quarter."""
    train, test = normal(600, 8, 0), normal(500, 8, 1)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(3))[:500]
    assert scores(DataCopying, evaluation(test, train[order], train)) == {"data-copying": 0, "copies": 1}
    near = scores(DataCopying, evaluation(test, train[order] + 0.01 * normal(500, 8, 2), train))
    assert near["data-copying"] < 0.01
    assert near["copies"] > 0.99
    mixed = torch.cat([train[:125], normal(375, 8, 4)])
    assert scores(DataCopying, evaluation(test, mixed, train))["copies"] == pytest.approx(0.25, abs=0.03)


def test_test_images_in_the_place_of_fakes() -> None:
    """The same images as the reference tie with it, image by image: exactly 1/2."""
    train, test = normal(600, 8, 0), normal(500, 8, 1)
    found = scores(DataCopying, evaluation(test, test.flip(0), train))
    assert found["data-copying"] == pytest.approx(0.5, abs=1e-12)


def test_training_images_as_the_reference_are_refused() -> None:
    """Their nearest training images are themselves: every fake would look new. The fix names the split."""
    train, fake = normal(100, 4, 0), normal(50, 4, 1)
    context = evaluation(train[:50], fake, train)
    context.images["real"].copy_(context.images["train"][:50])
    with pytest.raises(DataError, match="not trained on; most of these were") as caught:
        scores(DataCopying, context)
    assert caught.value.fix is not None
    assert "--split test" in caught.value.fix


def test_features_are_needed() -> None:
    """Without an extractor the message names what is missing."""
    with pytest.raises(DataError, match="no feature extractor"):
        DataCopying(DataCopying.Options()).check(num_samples=10, extractor=None)
    DataCopying(DataCopying.Options()).check(num_samples=10, extractor=Sized(4))


def test_identical_pixels_are_counted() -> None:
    """The share of fakes that are training images, pixel by pixel, stands in the details."""
    context = evaluation(normal(40, 4, 0), normal(40, 4, 1), normal(60, 4, 2))
    context.images["fake"][:10] = context.images["train"][20:30]
    assert result(DataCopying, context).details == {"identical": 0.25}


def test_the_picture_shows_the_nearest_pairs() -> None:
    """The fake that is nearest comes first, above its own training image, and so on."""
    train, test, fake = on_a_line(0, 10, 20), on_a_line(3, 14), on_a_line(14, 20.5, 1)
    context = evaluation(test, fake, train)
    expected = pairs(context.images["fake"][[1, 2]], context.images["train"][[2, 0]])
    assert torch.equal(result(DataCopying, context, shown=2).images["data-copying"], expected)


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (3, 3), (4, 3)])
def test_pairs_stand_in_rows_of_eight(channels: int, shown: int) -> None:
    """Ten pairs of 3×2 images: two rows of 8, two pixels of white around each; each image where it belongs."""
    above = torch.arange(10 * channels * 6, dtype=torch.uint8).view(10, channels, 3, 2)
    below = 255 - above
    picture = pairs(above, below)
    assert picture.shape == (shown, 2 * (2 * 3 + 2) + 2, 8 * (2 + 2) + 2)
    assert torch.equal(picture[:, 10:13, 6:8], above[9, :shown])  # the second row, the second column
    assert torch.equal(picture[:, 13:16, 6:8], below[9, :shown])
    assert (picture[:, :2] == 255).all()
    assert (picture[:, 10:, 10:] == 255).all()  # no pair there
    assert pairs(above[:3], below[:3]).shape == (shown, 10, 14)


def test_pairs_show_two_channels_side_by_side() -> None:
    """An image of two channels is twice as wide, in gray."""
    above = torch.arange(12, dtype=torch.uint8).view(1, 2, 3, 2)
    picture = pairs(above, 255 - above)
    assert picture.shape == (1, 10, 8)
    assert torch.equal(picture[0, 2:5, 2:6], torch.cat([above[0, 0], above[0, 1]], dim=1))
