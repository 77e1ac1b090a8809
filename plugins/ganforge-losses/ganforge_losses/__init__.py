"""Losses and gradient penalties of GAN papers. Their classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

GOODFELLOW = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
MAO = "Mao et al. 2016, Least Squares Generative Adversarial Networks, arXiv:1611.04076"
LIM = "Lim & Ye 2017, Geometric GAN, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957"
ARJOVSKY = "Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875"
GULRAJANI = "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028"
HUANG = "Huang et al. 2024, The GAN is dead; long live the GAN!, arXiv:2501.05441; Jolicoeur-Martineau 2018"
MESCHEDER = "Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return six losses and three gradient penalties."""
    return [
        Component(
            kind="loss",
            name="minimax",
            target="ganforge_losses.minimax:Minimax",
            summary="The zero-sum game of the first GAN: G minimizes log(1 - σ(D)), which saturates.",
            paper=GOODFELLOW,
        ),
        Component(
            kind="loss",
            name="least-squares",
            target="ganforge_losses.least_squares:LeastSquares",
            summary="Half the squared distance of logits to 1 for real and 0 for fake images (LSGAN).",
            paper=MAO,
        ),
        Component(
            kind="loss",
            name="hinge",
            target="ganforge_losses.hinge:Hinge",
            summary="D pushes logits beyond ±1 and no further; G raises the logits of its fakes.",
            paper=LIM,
        ),
        Component(
            kind="loss",
            name="wasserstein",
            target="ganforge_losses.wasserstein:Wasserstein",
            summary="Difference of mean logits; D's weights are clipped. Recommends five critic steps and RMSprop.",
            paper=ARJOVSKY,
            tags=("critic",),
        ),
        Component(
            kind="loss",
            name="wasserstein-gp",
            target="ganforge_losses.wasserstein:WassersteinGp",
            summary="Difference of mean logits. Recommends a gradient penalty of weight 10 and five critic steps.",
            paper=GULRAJANI,
            tags=("critic",),
        ),
        Component(
            kind="loss",
            name="relativistic",
            target="ganforge_losses.relativistic:Relativistic",
            summary="Each real image's logit against that of one fake. Recommends R1 and R2, as R3GAN has them.",
            paper=HUANG,
        ),
        Component(
            kind="term",
            name="r1",
            target="ganforge_losses.gradient_penalties:R1",
            summary="Squared norm of D's gradient at real images.",
            paper=MESCHEDER,
            tags=("gradient penalty",),
        ),
        Component(
            kind="term",
            name="r2",
            target="ganforge_losses.gradient_penalties:R2",
            summary="Squared norm of D's gradient at fake images.",
            paper=MESCHEDER,
            tags=("gradient penalty",),
        ),
        Component(
            kind="term",
            name="gradient-penalty",
            target="ganforge_losses.gradient_penalties:GradientPenalty",
            summary="Squared distance of D's gradient norm to 1 between real and fake images.",
            paper=GULRAJANI,
            tags=("gradient penalty",),
        ),
    ]
