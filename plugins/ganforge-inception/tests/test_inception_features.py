"""Laws of the extractor: it gives what torch-fidelity gives, for the images that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ganforge_inception import features
from ganforge_inception.features import Inception
from inception_parts import COLOR, LAYERS, built, noise
from torch_fidelity import FeatureExtractorInceptionV3

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError

pytest_plugins = "inception_fixtures"

Files = tuple[Path, Path]


@pytest.mark.parametrize("image", [COLOR, ImageSpec(1, 28, 28), ImageSpec(3, 320, 300)], ids=str)
def test_it_gives_what_torch_fidelity_gives(files: Files, image: ImageSpec) -> None:
    """With the same weights features and logits are those of torch-fidelity's own extractor, gray three times."""
    pickle, safetensors = files
    theirs = FeatureExtractorInceptionV3("theirs", LAYERS, feature_extractor_weights_path=str(pickle))
    images = noise(2, image)
    expected = theirs(images if image.channels == 3 else torch.cat([images] * 3, 1))
    found = built(safetensors, image)(images)
    assert torch.equal(found.features, expected[0])
    assert found.logits is not None
    assert torch.equal(found.logits, expected[1])
    assert found.features.shape == (2, Inception.size)
    assert found.logits.shape == (2, len(Inception.class_names))
    assert float(found.features.std(0).mean()) > 0.01  # the random network does distinguish images


def test_parts_make_a_whole(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images pass the network in parts that memory suffices for, and keep their order."""
    extractor, images = built(files[1]), noise(5, COLOR)
    together = extractor(images)
    monkeypatch.setattr(features, "BATCH_SIZE", 2)
    apart = extractor(images)
    torch.testing.assert_close(apart.features, together.features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(apart.logits, together.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels: int) -> None:
    """Images that are neither gray nor of three colors are refused, with an extractor that takes them."""
    with pytest.raises(IncompatibleError, match=f"the images are {channels}×32×32") as error:
        Inception.check_image(Inception.Options(), ImageSpec(channels, 32, 32))
    assert error.value.fix is not None
    assert "random-convolutions" in error.value.fix


def test_protocols_hold_the_weights(files: Files) -> None:
    """The fingerprint is of the weights, whichever file they came from, and preprocessing is one line."""
    one, two = (built(files[1]) for _ in range(2))
    assert one.fingerprint() == two.fingerprint()
    with torch.no_grad():
        two.network.fc.bias[0] += 1
    assert one.fingerprint() != two.fingerprint()
    assert all(words in Inception.preprocessing for words in ("three channels", "299×299", "TensorFlow", "128"))
