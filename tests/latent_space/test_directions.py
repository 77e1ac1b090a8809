"""Directions: principal, closed-form and of attributes; traversals along them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganforge import TrainedRun
from ganforge.errors import UsageError
from ganforge.latent_space.attributes import Attributes, measure_attributes
from ganforge.latent_space.directions import (
    Directions,
    closed_form_directions,
    principal_components,
    principal_directions,
)
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents
from ganforge.utils.arrays import write_npz
from tests.helpers.latent_spaces import train_one_step

SINGULAR_VALUES = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])


def with_singular_values(run: TrainedRun) -> Tensor:
    """Give the loaded linear generator well separated singular values, and return its right singular vectors."""
    weight: nn.Parameter = run.load().generator.layer.weight  # type: ignore[assignment, union-attr]
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    with torch.no_grad():
        weight.copy_(left @ torch.diag(SINGULAR_VALUES) @ right)
    vectors: Tensor = right
    return vectors


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Return the absolute cosines of pairs of vectors."""
    return torch.cosine_similarity(one.flatten(1), other.flatten(1)).abs()


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_principal_components_are_those_of_the_svd(shape: tuple[int, int]) -> None:
    """For more points than dimensions and for fewer, components and coordinates are those of the centered matrix."""
    points = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    components, coordinates = principal_components(points, 5)
    left, values, right = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    torch.testing.assert_close(cosines(components, right[:5]), torch.ones(5).double())
    torch.testing.assert_close(coordinates.abs(), (left[:, :5] * values[:5]).abs())
    assert len(principal_components(points, 100)[0]) == 6 + (shape[1] == 7)


@pytest.mark.parametrize("conditional", ["false", "true"])
def test_directions_of_a_linear_generator_are_its_singular_vectors(conditional: str, tmp_path: Path) -> None:
    """SeFa gives the right singular vectors, GANSpace those up to the drawn latents' covariance.

    Layers that get the condition alone run first, and have no part in them.
    """
    run = train_one_step(tmp_path / "run", "matrix", f"gen.conditional={conditional}")
    right = with_singular_values(run)
    space = LatentSpace(run)
    exact, sampled = closed_form_directions(space, 4), principal_directions(space, 4)
    torch.testing.assert_close(cosines(exact.vectors, right[:4]), torch.ones(4))
    assert float(cosines(sampled.vectors, right[:4]).min()) > 0.99
    assert exact.names == ("sefa0", "sefa1", "sefa2", "sefa3")
    for directions in (exact, sampled):
        torch.testing.assert_close(directions.vectors.norm(dim=1), torch.ones(4))
        torch.testing.assert_close(directions.scales, torch.ones(4), atol=0.05, rtol=0)
        assert bool((directions.vectors.gather(1, directions.vectors.abs().argmax(1, keepdim=True)) > 0).all())


def test_a_layer_that_is_multiplied_without_a_call_is_found(tmp_path: Path) -> None:
    """The DCGAN multiplies by its first layer's weights without calling it; its directions are their SVD's."""
    run = train_one_step(tmp_path / "run", "dcgan", "gen.base_channels=2", "gen.latent_dim=5")
    weight: Tensor = run.load().generator.project.weight  # type: ignore[assignment, union-attr]
    _, _, right = torch.linalg.svd(weight.detach().flatten(1).T, full_matrices=False)
    torch.testing.assert_close(cosines(closed_form_directions(LatentSpace(run), 3).vectors, right[:3]), torch.ones(3))


def test_closed_form_directions_of_styles(tmp_path: Path) -> None:
    """In w they are the singular vectors of all layers that get w, the same for each layer."""
    run = train_one_step(tmp_path / "run", "layered")
    weights = run.load().generator.state_dict()
    _, _, right = torch.linalg.svd(torch.cat([weights[f"layers.{index}.weight"] for index in range(3)]))
    directions = closed_form_directions(LatentSpace(run), 5)
    assert tuple(directions.vectors.shape) == (5, 3, 5)
    torch.testing.assert_close(cosines(directions.vectors[:, 0], right), torch.ones(5), atol=1e-4, rtol=0)
    assert torch.equal(directions.vectors[:, 0], directions.vectors[:, 2])


def test_principal_directions_of_styles(tmp_path: Path) -> None:
    """In w they are the principal components of w, whose deviations are the scales, in descending order."""
    space = LatentSpace(train_one_step(tmp_path / "run", "layered"))
    directions = principal_directions(space, 3)
    w = space.to_space(space.draw(2000), "w").values.flatten(1)
    _, values, right = torch.linalg.svd(w - w.mean(0), full_matrices=False)
    torch.testing.assert_close(cosines(directions.vectors, right[:3]), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(directions.scales, values[:3] / 2000**0.5, atol=1e-4, rtol=0)


def test_layers_are_chosen_by_name(tmp_path: Path) -> None:
    """Another layer gives other directions; an unknown one is an error."""
    space = LatentSpace(train_one_step(tmp_path / "run", "mlp", "gen.hidden=[8,8]"))
    first, second = (principal_directions(space, 2, layer=name).vectors for name in ("layers.0", "layers.3"))
    assert float(cosines(first, second).min()) < 0.99
    with pytest.raises(UsageError, match=r"no layer 'layers.9'; did you mean 'layers\.\d'"):
        principal_directions(space, 2, layer="layers.9")


def test_traversals_are_straight_through_their_point() -> None:
    """Each row passes from -3 to 3 standard deviations along its direction; the middle is the point."""
    latents = Latents(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 2, 3, 4]))
    directions = Directions.of(torch.eye(4)[:2] * 7, latents, ("a", "b"))
    point = latents[[0]]
    rows = directions.traverse(point, 5).values.view(2, 5, 4)
    torch.testing.assert_close(rows[:, 2], point.values.expand(2, 4))
    torch.testing.assert_close(rows[1, -1] - rows[1, 0], torch.tensor([0, 6 * float(directions.scales[1]), 0, 0]))
    assert float(directions.scales[1]) == pytest.approx(2, abs=0.2)
    with pytest.raises(UsageError, match="directions have shape"):
        directions.traverse(Latents(torch.zeros(1, 5)), 5)


def test_moves_along_several_directions_add_up() -> None:
    """A latent moves by amount · scale along each direction at once."""
    latents = Latents(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)))
    directions = Directions.of(torch.eye(4)[:2] * 7, latents, ("a", "b"))
    amounts = torch.tensor([[2.0, -1.0], [0.0, 0.5]])
    moved = directions.moved(latents[[0]], amounts)
    offsets = torch.cat([amounts * directions.scales, torch.zeros(2, 2)], dim=1)
    torch.testing.assert_close(moved.values, latents.values[:1] + offsets)


def test_directions_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A file has vectors, scales, names and space; files without them are refused."""
    latents = Latents(torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0)), "w", checkpoint="a" * 64)
    directions = Directions.of(torch.randn(2, 2, 3), latents, ("smile", "age"))
    write_npz(tmp_path / "d.npz", latents.arrays() | directions.arrays())
    read = Directions.load(tmp_path / "d.npz")
    assert (read.names, read.space, read.checkpoint) == (("smile", "age"), "w", "a" * 64)
    assert torch.equal(read.vectors, directions.vectors)
    assert torch.equal(read.scales, directions.scales)
    latents.save(tmp_path / "l.npz")
    with pytest.raises(UsageError, match="has no directions: it lacks directions, names, scales"):
        Directions.load(tmp_path / "l.npz")


def test_attribute_directions_are_those_of_a_linear_attribute() -> None:
    """For normal latents whose class is the sign of a linear function, the direction is this function's."""
    z = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(0))
    direction = nn.functional.normalize(torch.randn(6, generator=torch.Generator().manual_seed(1)), dim=0)
    values = z @ direction
    positive = (values > 0).float()
    attributes = Attributes(Latents(z), torch.stack([positive, 1 - positive, values, 0 * values], 1), tuple("abcd"))
    directions = attributes.directions()
    assert directions.names == ("a", "b", "c")
    for index, sign in enumerate((1, -1, 1)):
        assert float(directions.vectors[index] @ direction) * sign > 0.99
    mean = attributes.mean("a").values[0]
    torch.testing.assert_close(mean, z[values > 0].mean(0), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="none of 20,000 images is of class 'd'"):
        attributes.mean("d")
    with pytest.raises(UsageError, match="no class 'e'"):
        attributes.mean("e")


def test_classes_of_images(tmp_path: Path) -> None:
    """They are those of the features' classifier; without one, those of the nearest training images."""
    space = LatentSpace(train_one_step(tmp_path / "run", "mlp", "gen.hidden=[8]"))
    for features in ("digits", "pixels"):
        attributes = measure_attributes(space, features=features, num_samples=20)
        assert attributes.names == tuple("0123456789")
        assert torch.equal(attributes.values.sum(1), torch.ones(20))
    pictures = space.pictures(attributes.latents)
    assert tuple(pictures.shape) == (20, 1, 28, 28)


def test_classes_in_w_are_conditions(tmp_path: Path) -> None:
    """The mean w of a class is the mean w, moved by the class; in z a conditional generator has no classes."""
    run = train_one_step(tmp_path / "run", "layered", "gen.conditional=true")
    space = LatentSpace(run)
    attributes = measure_attributes(space)
    means = torch.cat([attributes.mean(name).values for name in "37"])
    classes = run.load().generator.classes.weight  # type: ignore[union-attr]
    difference = classes[7] - classes[3]  # type: ignore[index]
    torch.testing.assert_close(means[1] - means[0], difference.expand(3, 5), atol=0.25, rtol=0)
    three = attributes.mean("3").condition
    assert three is not None
    assert three.tolist() == [3]
    other = LatentSpace(train_one_step(tmp_path / "z", "matrix", "gen.conditional=true"))
    with pytest.raises(UsageError, match="the classes of this generator are not in its latents"):
        measure_attributes(other)
