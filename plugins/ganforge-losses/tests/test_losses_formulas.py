"""Every loss against numbers worked out by hand, and against its paper's formula on probabilities."""

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
from torch import Tensor

from ganforge import DiscriminatorOutput, Loss

LOG2 = math.log(2)


@dataclass(frozen=True)
class Paper:
    """Hold a loss, its formulas as the paper writes them, and values (real, fake, of D, of G) found by hand."""

    loss: Loss
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    by_hand: tuple[tuple[float, float, float, float], ...]


def critic(loss: Loss) -> Paper:
    """Return a Wasserstein loss: D maximises E[D(real)] - E[D(fake)], G lowers it."""
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
    """Return the discriminator's and the generator's loss as the engine asks for them."""
    judged_real, judged_fake = DiscriminatorOutput(real), DiscriminatorOutput(fake)
    needed = judged_real if loss.needs_real else None
    return (
        loss.discriminator(real=judged_real, fake=judged_fake),
        loss.generator(real=needed, fake=judged_fake),
    )


@papers
def test_values_by_hand(paper: Paper) -> None:
    """At chosen logits both losses are the numbers that one finds with pencil and paper."""
    for real, fake, of_discriminator, of_generator in paper.by_hand:
        found = losses(paper.loss, *(torch.tensor([value], dtype=torch.float64) for value in (real, fake)))
        assert [float(value) for value in found] == pytest.approx([of_discriminator, of_generator], abs=1e-12)


@papers
def test_values_and_gradients_are_the_paper_s(paper: Paper) -> None:
    """Each image's loss, and the gradient in its logits, are those of the formula in float64."""
    real, fake = logits(seed=1)
    for ours, theirs in zip(
        losses(paper.loss, real, fake), (paper.discriminator(real, fake), paper.generator(real, fake)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
        for side in (real, fake):
            slopes = [
                torch.autograd.grad(values.sum(), side, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
                for values in (ours, theirs)
            ]
            torch.testing.assert_close(*slopes)


@papers
def test_float32_is_as_good_where_probabilities_are_not(paper: Paper) -> None:
    """At logits of ±60, where 1 - σ is 0 in float32, values in float32 are those of the same formulas in float64."""
    far = torch.tensor([60.0, -60.0, 0.25])
    for real, fake in ((far, -far), (-far, far), (far, far)):
        for low, high in zip(
            losses(paper.loss, real, fake), losses(paper.loss, real.double(), fake.double()), strict=True
        ):
            assert low.isfinite().all()
            torch.testing.assert_close(low.double(), high, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "wasserstein", "wasserstein-gp"])
def test_zero_sum(name: str) -> None:
    """What G wins D loses: their losses sum to something that no fake changes."""
    (real, fake), (_, others) = logits(seed=1), logits(seed=2)
    sums = [sum(losses(PAPERS[name].loss, real, given)) for given in (fake, others)]
    torch.testing.assert_close(*sums)


def test_minimax_saturates() -> None:
    """Where D is sure of a fake, G's gradient is the probability σ(D(fake)) itself, next to nothing."""
    fake = torch.tensor([-12.0, 0.0, 12.0], dtype=torch.float64, requires_grad=True)
    PAPERS["minimax"].loss.generator(real=None, fake=DiscriminatorOutput(fake)).sum().backward()
    torch.testing.assert_close(fake.grad, -fake.detach().sigmoid())


def test_hinge_lets_go_beyond_the_margin() -> None:
    """Real logits above 1 and fake ones below -1 give D no gradient; all others give it the same."""
    real, fake = (torch.tensor(values, requires_grad=True) for values in ([1.5, 0.5, -9.0], [-1.5, -0.5, 9.0]))
    PAPERS["hinge"].loss.discriminator(real=DiscriminatorOutput(real), fake=DiscriminatorOutput(fake)).sum().backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -1.0, -1.0]
    assert fake.grad.tolist() == [0.0, 1.0, 1.0]


def test_relativistic_compares_within_pairs() -> None:
    """Only differences count, each image's own; exchanging real and fake exchanges the two losses."""
    loss = PAPERS["relativistic"].loss
    real, fake = (values.detach() for values in logits(seed=3))
    of_discriminator, of_generator = losses(loss, real, fake)
    torch.testing.assert_close(losses(loss, real + 7, fake + 7)[0], of_discriminator)
    torch.testing.assert_close(losses(loss, fake, real), (of_generator, of_discriminator))
    shuffled = losses(loss, real, fake.roll(1))[0]
    assert not torch.allclose(shuffled.mean(), of_discriminator.mean())
