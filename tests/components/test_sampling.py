"""Sampling: images drawn from a generator without effects on its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge.components import (
    ConditionSpec,
    Dataset,
    Generator,
    GeneratorOutput,
    ImageSpec,
    ImageTensors,
    LatentDistribution,
    Split,
)
from ganforge.components.sampling import LATENT_BLOCK, Sampler, class_rows, default_condition, draw_latents
from ganforge.data.pictures import render, to_pictures, with_condition
from ganforge.errors import ConfigError, IncompatibleError, PluginError
from ganforge.plugins.registry import Registry
from ganforge.utils.rng import derive_generator

PLAIN = ImageSpec(1, 4, 4)
CLASSES = ImageSpec(1, 4, 4, ConditionSpec.classes(3))
VECTORS = ImageSpec(1, 4, 4, ConditionSpec.vector(("smile", "age")))
PICTURES = ImageSpec(1, 4, 4, ConditionSpec.tensor((1, 4, 4)))


class Normal(LatentDistribution):
    """Normal latents that count their draws, in a buffer and in an attribute."""

    draws: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("draws", torch.zeros(()))
        self.calls = 0

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        self.draws += 1
        self.calls += 1
        return torch.randn(count, dim, generator=rng)


class Careless(Generator):
    """Generator with dropout, noise, a counting buffer and a counting attribute; it returns the condition, too."""

    class Options(Generator.Options):
        """Options."""

        latent_dim: int = 5

    class SamplingOptions(Generator.SamplingOptions):
        """Sampling options."""

        truncation: float = 1.0

    sampling: SamplingOptions
    batches: Tensor

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Dropout(0.5))
        self.register_buffer("batches", torch.zeros(()))
        self.calls = self.prepared = 0
        self.seen: list[Tensor | None] = []

    @property
    def conditional(self) -> bool:
        return self.image.condition is not None

    def forward(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
        self.calls += 1
        self.batches += 1
        self.seen.append(condition)
        images = self.layers(self.sampling.truncation * z).view(-1, *self.image.shape)
        return GeneratorOutput(images + torch.rand_like(images), {"z": z})


class Prepared(Careless):
    """Generator that changes its weights when it is prepared."""

    def prepare_sampling(self, rng: torch.Generator) -> None:
        assert not self.training
        self.prepared += 1
        with torch.no_grad():
            next(self.parameters()).copy_(torch.randn(16, 5, generator=rng))
        torch.rand(3)


def careless(image: ImageSpec = PLAIN, cls: type[Careless] = Careless) -> Careless:
    """Return a generator for images of 4×4."""
    return cls(cls.Options(), image)


def copy_of(sampler: Sampler) -> Careless:
    """Return the copy that a sampler draws with."""
    assert isinstance(sampler.generator, Careless)
    return sampler.generator


def normal() -> Normal:
    """Return a latent distribution."""
    return Normal(Normal.Options())


def latents(count: int, seed: int = 0) -> Tensor:
    """Return latents for `careless`."""
    return draw_latents(normal(), careless(), count, seed=seed)


@pytest.mark.parametrize("cls", [Careless, Prepared])
def test_sampling_leaves_generator_and_random_numbers_unchanged(cls: type[Careless]) -> None:
    """Weights, buffers, attributes, modes of all layers and torch's global generator are those of before."""
    generator = careless(cls=cls).train()
    generator.layers[1].eval()  # as a frozen submodule is
    modes = [module.training for module in generator.modules()]
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    z = latents(7)
    random_state = torch.random.get_rng_state()
    Sampler(generator, seed=1, sampling={"truncation": 0.5}).images(z)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert [module.training for module in generator.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in generator.state_dict().items())
    assert (generator.calls, generator.seen, generator.sampling.model_dump()) == (0, [], {"truncation": 1.0})
    assert generator.prepared == 0


def test_sampler_follows_the_weights_of_the_training() -> None:
    """The copy shares the weights, so it needs no memory for them and draws with what they are now."""
    generator = careless()
    sampler = Sampler(generator, seed=0)
    assert all(one is other for one, other in zip(sampler.generator.parameters(), generator.parameters(), strict=True))
    assert not any(module.training for module in sampler.generator.modules())


def test_prepare_sampling_is_called_once_with_a_stream_of_its_own() -> None:
    """The copy has its own weights; the seed alone decides what is drawn for them."""
    generator = careless(cls=Prepared)
    one, other = Sampler(generator, seed=3), Sampler(generator, seed=3)
    one.images(latents(300))
    weights, others = (
        dict(one.generator.named_parameters()),
        dict(Sampler(generator, seed=4).generator.named_parameters()),
    )
    assert copy_of(one).prepared == 1
    assert torch.equal(weights["layers.0.weight"], dict(other.generator.named_parameters())["layers.0.weight"])
    assert not torch.equal(weights["layers.0.weight"], others["layers.0.weight"])
    assert all(weights[name] is not weight for name, weight in generator.named_parameters())


def test_sampler_copies_modules_that_keep_a_graph() -> None:
    """The old `spectral_norm` keeps a weight with its graph between calls, which deepcopy refuses."""
    generator = careless()
    nn.utils.spectral_norm(generator.layers[0])
    generator.train()(torch.randn(4, 5)).images.sum().backward()
    generator(torch.randn(4, 5))
    assert Sampler(generator, seed=0).images(latents(4)).isfinite().all()


def test_sampler_seeds_noise_and_leaves_dropout_off() -> None:
    """Equal seeds give equal images, another seed other noise for the same latents."""
    z, generator = latents(6), careless()
    images = Sampler(generator, seed=1).images(z)
    assert torch.equal(images, Sampler(generator, seed=1).images(z))
    noise = images - Sampler(generator, seed=2).images(z)
    assert 0 < noise.abs().max() < 1


def test_random_numbers_drawn_between_batches_change_nothing() -> None:
    """Code between two batches neither affects the next batch nor sees its random numbers."""
    z, generator = latents(600), careless()
    state, parts = torch.random.get_rng_state(), []
    for images in Sampler(generator, seed=1).batches(z):
        assert torch.equal(torch.random.get_rng_state(), state)
        parts.append(images)
        torch.rand(5)
        state = torch.random.get_rng_state()
    assert [len(part) for part in parts] == [250, 250, 100]
    assert torch.equal(torch.cat(parts), Sampler(generator, seed=1).images(z))


@pytest.mark.parametrize(("side", "size"), [(28, 250), (64, 250), (128, 64), (256, 16), (2048, 1)])
def test_batches_of_large_images_are_smaller(side: int, size: int) -> None:
    """A batch has at most 250 images and 2^20 pixels, or one image."""
    generator = careless()
    generator.image = ImageSpec(3, side, side)
    assert Sampler(generator, seed=0).batch_size == size


def test_sampling_options_reach_the_copy() -> None:
    """Options that are given replace the generator's own; unknown and invalid ones are named, with the nearest."""
    z, generator = latents(3), careless()
    sampler = Sampler(generator, seed=0, sampling={"truncation": 0.0})
    assert sampler.generator.sampling.model_dump() == {"truncation": 0.0}
    assert torch.equal(sampler.images(z), Sampler(generator, seed=0, sampling={"truncation": "0"}).images(2 * z))
    with pytest.raises(ConfigError, match="invalid sampling option 'truncatoin'; did you mean 'truncation'"):
        Sampler(generator, seed=0, sampling={"truncatoin": 0.7})
    with pytest.raises(ConfigError, match=r"sampling\.truncation = 'much'"):
        Sampler(generator, seed=0, sampling={"truncation": "much"})


def test_latents_are_those_of_the_stream() -> None:
    """The seed and the stream alone decide; a distribution with state stays as it was."""
    distribution = normal()
    expected = torch.randn(LATENT_BLOCK, 5, generator=derive_generator(7, "samples"))[:4]
    assert torch.equal(draw_latents(distribution, careless(), 4, seed=7), expected)
    assert not torch.equal(draw_latents(distribution, careless(), 4, seed=7, stream="evaluation"), expected)
    assert (distribution.calls, float(distribution.draws)) == (0, 0.0)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_first_latents_are_the_same_for_every_count(distribution: str, registry: Registry) -> None:
    """The latents of a smaller count are the first ones of a larger count, whatever the block of numbers."""
    cls = registry.load(registry.find("latent", distribution))
    latent = cls(cls.Options())
    whole = draw_latents(latent, careless(), 200, seed=3)
    assert len(torch.unique(whole, dim=0)) == 200
    for count in (1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 199):
        assert torch.equal(draw_latents(latent, careless(), count, seed=3), whole[:count])


@pytest.mark.parametrize("draw", [torch.rand_like, torch.randn_like, "rand", "randn"])
def test_first_images_are_the_same_for_every_count_and_batch_size(draw: Any) -> None:
    """Noise of an image depends on its index alone, or its column: not on the count, nor on the batches."""

    class Noisy(Careless):
        def forward(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
            images = z[:, :1, None, None].expand(-1, 1, 4, 4)
            noise = draw(images) if callable(draw) else getattr(torch, draw)(len(z), 1, 4, 4)
            return GeneratorOutput(images + noise)

    z, generator = latents(70), careless(cls=Noisy)
    sampler = Sampler(generator, seed=1)
    whole = sampler.images(z)
    assert len(torch.unique(whole - z[:, :1, None, None], dim=0)) == 70
    for count, batch_size in [(1, 250), (17, 250), (70, 16), (64, 3)]:
        sampler = Sampler(generator, seed=1)
        sampler.batch_size = batch_size
        assert torch.equal(sampler.images(z[:count]), whole[:count])
    for columns in (5, 7):  # of a grid with a row for each class
        sampler = Sampler(generator, seed=1, noise_period=columns)
        sampler.batch_size = 16
        assert torch.equal(sampler.images(z[:columns].repeat(10, 1)), whole[:columns].repeat(10, 1, 1, 1))


def test_classes_take_turns_by_default() -> None:
    """Without a condition image i has class i mod K; a grid has a row for each of a few classes."""
    generator = careless(CLASSES)
    sampler = Sampler(generator, seed=0)
    sampler.images(latents(5))
    assert [condition.tolist() for condition in copy_of(sampler).seen if condition is not None] == [[0, 1, 2, 0, 1]]
    rows = class_rows(generator, 2)
    assert rows is not None
    assert rows.tolist() == [0, 0, 1, 1, 2, 2]
    generator.image = ImageSpec(1, 4, 4, ConditionSpec.classes(17))
    assert class_rows(generator, 2) is None
    assert default_condition(careless(), 5) is None


def test_uint8_conditions_reach_the_network_in_its_range() -> None:
    """Pictures as stored become float32 in [-1, 1]; float32 ones stay."""
    sampler = Sampler(careless(PICTURES), seed=0)
    stored = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(16).view(2, 1, 4, 4)
    as_seen = torch.tensor([-1.0, 1.0]).repeat_interleave(16).view(2, 1, 4, 4)
    for condition in (stored, as_seen):
        sampler.images(latents(2), condition)
        seen = copy_of(sampler).seen[-1]
        assert seen is not None
        assert torch.equal(seen, as_seen)


def test_conditions_may_come_in_parts() -> None:
    """Parts decide the batches; one is read at a time, and too few or too many are an error."""
    generator, condition = careless(VECTORS), torch.rand(5, 2)
    read: list[int] = []

    def parts(*sizes: int) -> Iterator[Tensor]:
        for part in torch.split(condition, list(sizes)):
            read.append(len(part))
            yield part

    batches = Sampler(generator, seed=0).batches(latents(5), parts(2, 3))
    assert (len(next(batches)), read) == (2, [2])
    assert [len(images) for images in batches] == [3]
    with pytest.raises(IncompatibleError, match="5 conditions for 6 images"):
        list(Sampler(generator, seed=0).batches(latents(6), parts(2, 3)))
    with pytest.raises(IncompatibleError, match="3 conditions for 2 images"):
        list(Sampler(generator, seed=0).batches(latents(4), parts(2, 3)))


@pytest.mark.parametrize(
    ("image", "condition", "message"),
    [
        (PLAIN, torch.tensor([1, 2]), "takes no condition"),
        (CLASSES, torch.tensor([0, 3]), "invalid class 3; there are 3 classes, 0 to 2"),
        (CLASSES, torch.tensor([0, -1]), "invalid class -1"),
        (CLASSES, torch.tensor([0.0, 1.0]), "one class .* not float32"),
        (CLASSES, torch.tensor([0]), "1 conditions for 2 images"),
        (VECTORS, torch.rand(2, 3), r"float32 of shape \(2,\) for each image, not float32 of shape \(3,\)"),
        (VECTORS, torch.tensor([[0.0, torch.nan], [0.0, 0.0]]), "not finite"),
        (VECTORS, None, r"needs a condition for each image \(float32 2\)"),
        (PICTURES, torch.zeros(2, 3, 4, 4, dtype=torch.uint8), r"uint8 of shape \(1, 4, 4\)"),
        (PICTURES, torch.zeros(2, 1, 4, 4, dtype=torch.int64), "not int64"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(image: ImageSpec, condition: Tensor | None, message: str) -> None:
    """Number, type, shape and range are checked before the network sees a condition."""
    sampler = Sampler(careless(image), seed=0)
    with pytest.raises(IncompatibleError, match=message):
        sampler.images(latents(2), condition)
    assert copy_of(sampler).seen == []


class Points(Dataset):
    """Dataset of points, which it renders, with wrong results on request."""

    class Options(Dataset.Options):
        """Options."""

        fails: str = ""

    options: Options

    def open(self, split: Split) -> ImageTensors:
        raise AssertionError(f"{split} is not opened for pictures")

    def to_pixels(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        if self.options.fails == "raises":
            raise ZeroDivisionError("by zero")
        return images if self.options.fails == "float" else torch.full((len(images), 3, 2, 2), 7, dtype=torch.uint8)

    def render(self, images: Tensor) -> Tensor:
        torch.rand(3)
        return torch.zeros(1, 8, 8) if self.options.fails == "float" else torch.zeros(1, 8, 8, dtype=torch.uint8)


def test_datasets_decide_what_pictures_show() -> None:
    """`to_pixels` and `render` are used without effects on random numbers; wrong results name their dataset."""
    points, images = Points(Points.Options()), torch.rand(5, 2, 1, 1)
    state = torch.random.get_rng_state()
    assert to_pictures(points, images).shape == (5, 3, 2, 2)
    picture = render(points, images)
    assert picture is not None
    assert picture.shape == (1, 8, 8)
    assert torch.equal(torch.random.get_rng_state(), state)
    wrong = Points(Points.Options(fails="float"))
    with pytest.raises(PluginError, match=r"Points\.to_pixels returns torch\.float32 of shape \(5, 2, 1, 1\)"):
        to_pictures(wrong, images)
    with pytest.raises(PluginError, match=r"Points\.render returns torch\.float32"):
        render(wrong, images)
    with pytest.raises(PluginError, match=r"Points\.to_pixels fails: .*by zero"):
        to_pictures(Points(Points.Options(fails="raises")), images)


def test_only_image_conditions_stand_next_to_results() -> None:
    """Classes and vectors leave the pictures as they are."""
    pictures = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    assert with_condition(pictures, torch.tensor([0, 1]), CLASSES) is pictures
    assert with_condition(pictures, None, PICTURES) is pictures
    condition = torch.full_like(pictures, 9)
    pairs = with_condition(pictures, condition, PICTURES)
    assert torch.equal(pairs, torch.cat([condition, pictures], dim=-1))
