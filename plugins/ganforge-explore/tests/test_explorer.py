"""Images of scenes, compared with those of the run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganforge_explore.explorer import Explorer
from ganforge_explore.scene import Scene
from numpy.typing import NDArray
from PIL import Image

import ganforge
from ganforge.errors import DataError, UsageError
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents

pytest_plugins = "explore_fixtures"


def explorer_of(folder: Path, plugin: Path) -> Explorer:
    """Return the explorer of a run's newest checkpoint."""
    return Explorer(LatentSpace(ganforge.load(folder, plugins=[plugin])))


@pytest.fixture(scope="module")
def plain(digits: Path, plugin: Path) -> Explorer:
    """Return the explorer of a generator without conditions."""
    return explorer_of(digits, plugin)


@pytest.fixture(scope="module")
def styled(layered: Path, plugin: Path) -> Explorer:
    """Return the explorer of a generator with classes, w, fields and truncation."""
    return explorer_of(layered, plugin)


@pytest.fixture(scope="module")
def measured(vectors: Path, plugin: Path) -> Explorer:
    """Return the explorer of a generator with vectors."""
    return explorer_of(vectors, plugin)


def scene(seed: int = 7, **further: Any) -> Scene:
    """Return a scene of the newest checkpoint."""
    return Scene.model_validate({"step": 2, "start": {"seed": seed}, **further})


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a gray PNG, `(H, W)`."""
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_seed_has_the_image_of_sample(plain: Explorer) -> None:
    """The image of a seed is the first one of `ganforge sample`, for each checkpoint."""
    for step in (1, 2):
        expected = plain.space.run.sample(1, seed=7, checkpoint=step).images[0, :, :, 0]
        assert (pixels(plain.picture(scene(step=step))) == expected).all()
    assert plain.facts()["steps"] == [1, 2]


def test_sliders_add_standard_deviations(plain: Explorer) -> None:
    """The latent moves by amount · scale along each direction, and by one dimension alone for `z3`."""
    (start,) = plain.space.draw(1, seed=7).values
    directions = plain.groups[0].directions
    moved = plain.latents(scene(amounts={"pc0": 2.0, "pc1": -1.0}))[1]
    step = 2 * directions.scales[0] * directions.vectors[0] - directions.scales[1] * directions.vectors[1]
    torch.testing.assert_close(moved.values[0], start + step)
    assert moved.seeds is None
    single = plain.latents(scene(amounts={"z3": 1.0}))[1].values[0] - start
    assert single.nonzero().flatten().tolist() == [3]


def test_the_names_of_sliders_are_unique(styled: Explorer) -> None:
    """A name stands for one slider; a category is a choice instead of sliders of its field."""
    names = [name for group in styled.facts()["groups"] for name in group["names"]]
    assert len(names) == len(set(names))
    assert "code" in names
    assert styled.facts()["categories"] == {"category": 3}


def test_a_path_begins_and_ends_at_its_bases(styled: Explorer) -> None:
    """At t = 0 and 1 the images are those of the bases, and in between another one."""
    ends = [styled.picture(scene(seed)) for seed in (7, 8)]
    first, middle, last = (styled.picture(scene(end={"seed": 8}, t=t)) for t in (0.0, 0.5, 1.0))
    assert [first, last] == ends
    assert middle not in ends


@pytest.mark.parametrize("name", ["plain", "styled", "measured"])
def test_a_pinned_latent_has_the_same_image(name: str, request: pytest.FixtureRequest) -> None:
    """The values of a scene, given back as a base, draw the scene's image."""
    explorer: Explorer = request.getfixturevalue(name)
    moved = scene(amounts={"pc0": 1.5})
    base = explorer.point(moved)
    assert explorer.picture(scene(start=base)) == explorer.picture(moved)


def test_the_saved_latent_has_the_same_image(styled: Explorer, tmp_path: Path) -> None:
    """`Latents.load` reads the archive, with the class, and `sample` draws the image of the page from it."""
    moved = scene(amounts={"sefa0": 2.0}, condition=3)
    file = tmp_path / "latent.npz"
    file.write_bytes(styled.archive(moved))
    sampled = styled.space.run.sample(latents=Latents.load(file))
    assert (sampled.images[0, :, :, 0] == pixels(styled.picture(moved))).all()
    assert sampled.condition is not None
    assert sampled.condition.tolist() == [3]


def test_classes_vectors_categories_and_truncation_change_the_image(styled: Explorer, measured: Explorer) -> None:
    """Each choice draws what the run draws with the same choice."""
    run = styled.space.run
    assert (pixels(styled.picture(scene(condition=4))) == run.sample(1, 7, condition=4).images[0, :, :, 0]).all()
    truncated = run.sample(1, 7, condition=0, sampling={"truncation": 0.25}).images[0, :, :, 0]
    assert (pixels(styled.picture(scene(sampling={"truncation": 0.25}))) == truncated).all()
    vector = measured.space.run.sample(1, 7, condition=[0.9, 0.1]).images[0, :, :, 0]
    assert (pixels(measured.picture(scene(condition=[0.9, 0.1]))) == vector).all()
    images = {styled.picture(scene(categories={"category": value})) for value in range(3)}
    assert len(images) == 3
    assert styled.facts()["condition"] == {"kind": "classes", "names": [str(digit) for digit in range(10)]}
    assert measured.facts()["condition"]["names"] == ["smile", "age"]


def test_a_generator_is_explored_without_its_data(vectors: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are zero at first then, which the data would give otherwise; only the nearest images are an error."""
    monkeypatch.setenv("WITHOUT_DATA", "1")
    explorer = explorer_of(vectors, plugin)
    assert explorer.facts()["condition"]["values"] == [0.0, 0.0]
    assert explorer.picture(scene()) == explorer.picture(scene(condition=[0.0, 0.0]))
    with pytest.raises(DataError, match="the data are gone"):
        explorer.nearest(scene(), lambda _done, _total: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 3}, "no checkpoint of step 3"),
        ({"amounts": {"pc99": 1.0}}, "no slider 'pc99'"),
        ({"categories": {"z0": 1}}, "no slider 'z0'"),
        ({"categories": {"category": 3}}, "category is 0 to 2"),
        ({"start": {"values": [1.0]}}, "a latent of this generator is 8 finite numbers"),
        ({"start": {"values": [1e300] * 8}}, "a latent of this generator is 8 finite numbers"),
        ({"condition": 10}, "invalid class 10"),
        ({"condition": [0.5]}, "invalid class 0.5"),
        ({"sampling": {"psi": 1.0}}, "invalid sampling option 'psi'"),
        ({"sampling": {"truncation": "much"}}, "sampling.truncation"),
    ],
)
def test_nonsense_is_one_message(styled: Explorer, change: dict[str, Any], message: str) -> None:
    """Names, numbers and sizes that do not exist are errors that name them."""
    with pytest.raises(UsageError, match=message):
        styled.picture(scene(**change))


def test_nearest_training_images_are_sorted(plain: Explorer) -> None:
    """A training image's own distance would be the smallest; progress is reported, and the images are PNGs."""
    reported: list[tuple[int, int]] = []
    progress: Callable[[int, int], None] = lambda done, total: reported.append((done, total))  # noqa: E731
    found = plain.nearest(scene(), progress)
    distances = [distance for _, distance, _ in found]
    assert len(found) == 6
    assert distances == sorted(distances)
    assert reported[-1] == (10_000, 10_000)
    assert pixels(found[0][2]).shape == (28, 28)
