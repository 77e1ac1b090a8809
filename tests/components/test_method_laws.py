"""Laws of the methods in tests/methods, on cases with known answers."""

from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge import ImageSpec, TrainStep
from ganforge.plugins.local import load_local
from tests.helpers.methods_worker import FOLDER

IMAGE = ImageSpec(1, 8, 8)


def plugin(name: str) -> ModuleType:
    """Return a method's module."""
    return load_local(FOLDER / f"{name}.py")[0]


def make(cls: Any, *image: ImageSpec, **options: Any) -> Any:
    """Return a component with some options."""
    return cls(cls.Options(**options), *image)


def step_with(generator: Any, count: int = 6, **changes: Any) -> TrainStep:
    """Return a step of the generator by hand."""
    rng = torch.Generator().manual_seed(1)
    given = {
        "phase": "gen",
        "step": 0,
        "progress": 0.0,
        "images_seen": 0,
        "real": torch.randn(count, 1, 8, 8, generator=rng),
        "z": torch.randn(count, 5, generator=rng),
        "modules": {"generator": generator},
        "derive_rng": lambda name: torch.Generator().manual_seed(7),
    }
    return TrainStep(**{**given, **changes})


def test_path_lengths_of_a_linear_generator_are_known() -> None:
    """For G(z) = W·z the path length is |Wᵀy|, and the running mean follows the batch."""
    matrix = torch.randn(64, 5, generator=torch.Generator().manual_seed(2))
    linear = SimpleNamespace(
        style=lambda z, condition: z,
        synthesis=lambda w, condition: (w @ matrix.T).view(-1, 1, 8, 8),
    )
    term = make(plugin("path_length").PathLength, decay=0.5)
    step = step_with(linear)
    values = term(step)
    noise = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(7)).flatten(1) / 8
    lengths = (noise @ matrix).norm(dim=1)
    torch.testing.assert_close(values, lengths.square())
    step.kept = {"path_length": lengths}
    term.after_step(step)
    torch.testing.assert_close(term.mean, lengths.mean() / 2)


def test_lecam_pulls_logits_towards_the_other_mean() -> None:
    """Logits beyond the other kind's running mean are penalized by the squared distance, others are not."""
    term = make(plugin("lecam").LeCam)
    term.real_mean.fill_(2.0)
    term.fake_mean.fill_(-1.0)
    outputs = SimpleNamespace(
        real_output=SimpleNamespace(logits=torch.tensor([3.0, -2.0])),
        fake_output=SimpleNamespace(logits=torch.tensor([4.0, -3.0])),
    )
    assert term(outputs).tolist() == [16.0, 25.0]


def test_top_k_keeps_the_mean_of_the_best() -> None:
    """The reweighted mean is the mean of the k smallest losses, and k falls with the progress of the training."""
    term = make(plugin("top_k").TopK)
    values = torch.tensor([4.0, 1.0, 3.0, 2.0])
    for progress, expected in ((0.0, 2.5), (0.5, 2.0), (1.0, 1.5)):
        factors = term.reweight(step_with(None, progress=progress), values)
        assert float((values * factors).mean()) == pytest.approx(expected)
    assert term.reweight(step_with(None, phase="disc"), values) is None


def test_apa_replaces_the_share_of_its_probability() -> None:
    """Overfitting raises the probability by N / images, its absence lowers it, and fakes are never replaced."""
    augmentation = make(plugin("apa").PseudoAugmentation, images=16)
    for sign, expected in ((1, 0.25), (1, 0.5), (-1, 0.25), (-1, 0.0), (-1, 0.0)):
        augmentation.observe(torch.full((4,), float(sign)))
        assert float(augmentation.probability) == expected
    augmentation.probability.fill_(0.3)
    step = step_with(lambda z, condition: torch.zeros(len(z), 1, 8, 8), 4000)
    step.modules["generator"] = nn.Module()  # type: ignore[index]
    step._raw = SimpleNamespace(images=torch.zeros(4000, 1, 8, 8))  # type: ignore[assignment]
    step._generator_output = step._raw_output
    changed = augmentation(step.real, augmentation.sample_parameters(step.real, step, real=True))
    assert float((changed == 0).all(dim=(1, 2, 3)).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert augmentation(step.real, augmentation.sample_parameters(step.real, step, real=False)) is step.real


def test_orthogonal_filters_cost_nothing() -> None:
    """The term is 0 for orthogonal filters of any length, and 2·⟨a, b⟩² for two that are not orthogonal."""
    term = make(plugin("orthogonal").Orthogonal)
    layer = nn.Linear(3, 2)
    for rows, expected in (([[3.0, 0, 0], [0, 2.0, 0]], 0.0), ([[1.0, 2.0, 0], [1.0, 0, 1.0]], 2.0)):
        layer.weight.data = torch.tensor(rows)
        assert float(term(step_with(layer)).detach()) == expected


def quadratic(optimizer: torch.optim.Optimizer, weight: nn.Parameter, *, closure: bool) -> None:
    """Take a step on f(w) = 2·w²."""

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = 2 * weight.square().sum()
        loss.backward()
        return loss

    if closure:
        optimizer.step(evaluate)  # type: ignore[arg-type]  # torch's type wants a float
    else:
        evaluate()
        optimizer.step()


def test_extragradient_steps_along_the_gradient_ahead() -> None:
    """On 2·w² a step is w - r·4·(w - r·4·w)."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    factory = make(plugin("extragradient").Extragradient, lr=0.1)
    assert factory.needs_closure
    quadratic(factory.create([("weight", weight)]), weight, closure=True)
    torch.testing.assert_close(weight.data, torch.tensor([1.0, -2.0]) * (1 - 0.4 * (1 - 0.4)))


def test_lookahead_goes_back_towards_slow_weights() -> None:
    """After k steps the weights are slow + α·(fast - slow), where Adam alone gives the fast ones."""
    begin = torch.tensor([1.0, -2.0])
    weight, fast = nn.Parameter(begin.clone()), nn.Parameter(begin.clone())
    lookahead = make(plugin("lookahead").Lookahead, lr=0.1, interval=3, share=0.25).create([("weight", weight)])
    adam = torch.optim.Adam([fast], lr=0.1, betas=(0.5, 0.999))
    for number in range(3):
        quadratic(lookahead, weight, closure=False)
        quadratic(adam, fast, closure=False)
        assert torch.equal(weight, fast) == (number < 2)
    torch.testing.assert_close(weight.data, begin.lerp(fast.data, 0.25))


def test_latents_have_their_distributions() -> None:
    """Spherical ones have length √Z, truncated ones stay within the threshold with the analytic variance."""
    latents, rng = plugin("latents"), torch.Generator().manual_seed(3)
    torch.testing.assert_close(make(latents.Spherical).sample(50, 9, rng).norm(dim=1), torch.full((50,), 3.0))
    z = make(latents.TruncatedNormal, threshold=1.0).sample(4000, 10, rng)
    density, share = math.exp(-0.5) / math.sqrt(2 * math.pi), math.erf(1 / math.sqrt(2))
    assert float(z.abs().max()) <= 1
    assert float(z.var()) == pytest.approx(1 - 2 * density / share, rel=0.02)
    codes = make(plugin("infogan").Codes)
    z = codes.sample(100, 20, rng)
    assert torch.equal(z[:, codes.fields["category"]].sum(1), torch.ones(100))
    assert float(z[:, codes.fields["code"]].abs().max()) <= 1


def test_growing_is_continuous() -> None:
    """A new layer begins with the images of the stage before, and each stage has twice the resolution."""
    generator = make(plugin("progressive").ProgressiveGenerator, IMAGE, steps_per_stage=10)
    z = torch.randn(3, generator.latent_dim)
    images = {}
    for step, level in ((0, 0), (9, 0), (10, 1), (15, 1), (20, 2), (999, 2)):
        assert generator.stage(step) == level
        images[step] = generator(z)
        blocks = images[step].unfold(2, 4 // 2**level, 4 // 2**level).unfold(3, 4 // 2**level, 4 // 2**level)
        assert torch.equal(blocks.amax((4, 5)), blocks.amin((4, 5)))
    torch.testing.assert_close(images[10], images[9])
    assert not torch.allclose(images[15], images[9])
    torch.testing.assert_close(images[20], images[15])


def test_packs_are_apart() -> None:
    """An image's logit depends on the images of its pack and on no others."""
    discriminator = make(plugin("pacgan").PackedDiscriminator, IMAGE)
    images = torch.randn(5, 1, 8, 8)
    logits = discriminator(images).logits
    changed = images.clone()
    changed[0] += 1
    assert (discriminator(changed).logits != logits).tolist() == [True, True, False, False, True]
    # The last pack is filled up with the first image.


def test_vqgan_balances_gradients() -> None:
    """At the last layer the reweighted adversarial gradient is as long as that of the reconstruction."""
    term = make(plugin("vqgan").Reconstruction, start=0)
    generator = nn.Module()
    generator.last = nn.Linear(64, 64, bias=False)
    step = step_with(generator, progress=0.5)
    images = generator.last(step.real.flatten(1)).view(-1, 1, 8, 8)
    step._raw = SimpleNamespace(images=images)  # type: ignore[assignment]
    step._generator_output = step._raw_output
    values = images.flatten(1).square().mean(1)
    ratio = term.reweight(step, values)
    weight = generator.last.weight
    (adversarial,) = torch.autograd.grad((ratio.detach() * values).mean(), weight, retain_graph=True)
    (reconstruction,) = torch.autograd.grad((step.real - images).abs().mean(), weight)
    assert float(adversarial.norm()) == pytest.approx(float(reconstruction.norm()), rel=0.01)
