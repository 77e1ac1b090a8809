"""Losses against values computed by hand and against the formulas of their papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from ganforge_losses.hinge import Hinge
from ganforge_losses.least_squares import LeastSquares
from ganforge_losses.minimax import Minimax
from ganforge_losses.relativistic import Relativistic
from ganforge_losses.wasserstein import Wasserstein, WassersteinGp
from losses_parts import Linear, train_step
from torch import Tensor

from ganforge import DiscriminatorOutput, Loss

LOG2 = math.log(2)


@dataclass(frozen=True)
class Paper:
    """Loss, its formulas as in the paper, and values by hand: (real, fake, of D, of G)."""

    loss: Loss
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    by_hand: tuple[tuple[float, float, float, float], ...]


def critic(loss: Loss) -> Paper:
    """Return a Wasserstein loss: D maximizes E[D(real)] - E[D(fake)], G minimizes it."""
    return Paper(loss, lambda r, f: -(r - f), lambda r, f: -f, ((2.0, -3.0, -5.0, 3.0), (0.0, 0.5, 0.5, -0.5)))


PAPERS = {
    "minimax": Paper(
        Minimax(Minimax.Options()),
        lambda r, f: -(r.sigmoid().log() + (1 - f.sigmoid()).log()),
        lambda r, f: (1 - f.sigmoid()).log(),
        ((0.0, 0.0, 2 * LOG2, -LOG2), (math.log(3), math.log(3), math.log(4 / 3) + math.log(4), -math.log(4))),
    ),
    "least-squares": Paper(
        LeastSquares(LeastSquares.Options()),
        lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2,
        lambda r, f: 0.5 * (f - 1) ** 2,
        ((1.0, 0.0, 0.0, 0.5), (-1.0, 3.0, 6.5, 2.0)),
    ),
    "least-squares, eq. 8": Paper(
        LeastSquares(LeastSquares.Options(fake_target=-1, real_target=1, generator_target=0)),
        lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * (f + 1) ** 2,
        lambda r, f: 0.5 * f**2,
        ((1.0, -1.0, 0.0, 0.5), (0.0, 3.0, 8.5, 4.5)),
    ),
    "hinge": Paper(
        Hinge(Hinge.Options()),
        lambda r, f: -((-1 + r).clamp(max=0) + (-1 - f).clamp(max=0)),
        lambda r, f: -f,
        ((0.0, 0.0, 2.0, 0.0), (2.0, -2.0, 0.0, 2.0), (-1.0, 3.0, 6.0, -3.0)),
    ),
    "wasserstein": critic(Wasserstein(Wasserstein.Options())),
    "wasserstein-gp": critic(WassersteinGp(WassersteinGp.Options())),
    "relativistic": Paper(
        Relativistic(Relativistic.Options()),
        lambda r, f: -(r - f).sigmoid().log(),
        lambda r, f: -(f - r).sigmoid().log(),
        ((5.0, 5.0, LOG2, LOG2), (math.log(3), 0.0, math.log(4 / 3), math.log(4))),
    ),
}

papers = pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS.keys())


def logits(*, seed: int, count: int = 64) -> tuple[Tensor, Tensor]:
    """Return real and fake logits up to about ±9, `(N,)` float64, that require gradients."""
    rng = torch.Generator().manual_seed(seed)
    real, fake = (torch.randn(count, generator=rng, dtype=torch.float64) * 3 for _ in range(2))
    return real.requires_grad_(), fake.requires_grad_()


def losses(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the discriminator's and the generator's loss of logits."""
    outputs = {"real": DiscriminatorOutput(real), "fake": DiscriminatorOutput(fake)}
    return loss.discriminator_loss(**outputs), loss.generator_loss(**outputs)


@papers
def test_values_by_hand(paper: Paper) -> None:
    """At chosen logits, both losses are the numbers of a computation by hand."""
    for real, fake, of_discriminator, of_generator in paper.by_hand:
        values = losses(paper.loss, *(torch.tensor([value], dtype=torch.float64) for value in (real, fake)))
        assert [float(value) for value in values] == pytest.approx([of_discriminator, of_generator], abs=1e-12)


@papers
def test_values_and_gradients_are_the_paper_s(paper: Paper) -> None:
    """Loss and gradient of each image are those of the paper's formula in float64."""
    real, fake = logits(seed=1)
    for ours, theirs in zip(
        losses(paper.loss, real, fake), (paper.discriminator(real, fake), paper.generator(real, fake)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
        for side in (real, fake):
            gradients = [
                torch.autograd.grad(values.sum(), side, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
                for values in (ours, theirs)
            ]
            torch.testing.assert_close(*gradients)


@papers
def test_float32_is_as_good_where_probabilities_are_not(paper: Paper) -> None:
    """At logits of ±60, where 1 - σ is 0 in float32, float32 values equal those of the same formulas in float64."""
    far = torch.tensor([60.0, -60.0, 0.25])
    for real, fake in ((far, -far), (-far, far), (far, far)):
        for low, high in zip(
            losses(paper.loss, real, fake), losses(paper.loss, real.double(), fake.double()), strict=True
        ):
            assert low.isfinite().all()
            torch.testing.assert_close(low.double(), high, rtol=1e-6, atol=1e-6)


@papers
def test_several_logits_per_image(paper: Paper) -> None:
    """Logits `(N, K)` give values `(N, K)`, each the value of its logit alone."""
    real, fake = (values.detach().view(16, 4) for values in logits(seed=4))
    alone = [losses(paper.loss, real[:, k], fake[:, k]) for k in range(4)]
    for number, values in enumerate(losses(paper.loss, real, fake)):
        torch.testing.assert_close(values, torch.stack([columns[number] for columns in alone], 1))


@pytest.mark.parametrize("name", ["minimax", "wasserstein", "wasserstein-gp"])
def test_zero_sum(name: str) -> None:
    """The sum of both losses does not depend on the fakes."""
    (real, fake), (_, others) = logits(seed=1), logits(seed=2)
    sums = [sum(losses(PAPERS[name].loss, real, values)) for values in (fake, others)]
    torch.testing.assert_close(*sums)


def test_minimax_saturates() -> None:
    """The generator's gradient is the probability σ(D(fake)): next to nothing for recognized fakes."""
    fake = torch.tensor([-12.0, 0.0, 12.0], dtype=torch.float64, requires_grad=True)
    losses(PAPERS["minimax"].loss, fake.detach(), fake)[1].sum().backward()
    torch.testing.assert_close(fake.grad, -fake.detach().sigmoid())


def test_hinge_ignores_logits_beyond_the_margin() -> None:
    """Real logits above 1 and fake ones below -1 give D no gradient; all others give the same."""
    real, fake = (torch.tensor(values, requires_grad=True) for values in ([1.5, 0.5, -9.0], [-1.5, -0.5, 9.0]))
    losses(PAPERS["hinge"].loss, real, fake)[0].sum().backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -1.0, -1.0]
    assert fake.grad.tolist() == [0.0, 1.0, 1.0]


def test_relativistic_compares_within_pairs() -> None:
    """Only differences within pairs matter; exchanging real and fake exchanges the two losses."""
    loss = PAPERS["relativistic"].loss
    real, fake = (values.detach() for values in logits(seed=3))
    of_discriminator, of_generator = losses(loss, real, fake)
    torch.testing.assert_close(losses(loss, real + 7, fake + 7)[0], of_discriminator)
    torch.testing.assert_close(losses(loss, fake, real), (of_generator, of_discriminator))
    shuffled = losses(loss, real, fake.roll(1))[0]
    assert not torch.allclose(shuffled.mean(), of_discriminator.mean())


@papers
@pytest.mark.parametrize("phase", ["disc", "gen"])
def test_forward_is_the_loss_of_the_phase(paper: Paper, phase: str) -> None:
    """In a step, a loss has the value of its phase's formula at the discriminator's logits."""
    real, fake = (torch.randn(5, 2, 3, 2, generator=torch.Generator().manual_seed(seed)).double() for seed in (1, 2))
    discriminator = Linear(1.5)
    formula = paper.discriminator if phase == "disc" else paper.generator
    expected = formula(discriminator(real).logits, discriminator(fake).logits)
    torch.testing.assert_close(paper.loss(train_step(discriminator, real, fake, phase=phase)), expected)


def test_wasserstein_clips_after_updates_of_the_discriminator() -> None:
    """`after_step` clips D's weights in place in the discriminator's phase, and in no other."""
    images = torch.zeros(2, 2, 3, 2).double()
    loss, discriminator = Wasserstein(Wasserstein.Options(clip=0.02)), Linear(3.0)
    weight = discriminator.weight
    before = weight.detach().clone()
    loss.after_step(train_step(discriminator, images, images, phase="gen"))
    assert torch.equal(weight, before)
    loss.after_step(train_step(discriminator, images, images, phase="disc"))
    assert discriminator.weight is weight
    assert torch.equal(weight, before.clamp(-0.02, 0.02))
    assert not torch.equal(weight, before)
