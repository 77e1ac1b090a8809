"""Registry of the built-in metrics; a metric's module is imported when it is used."""

from __future__ import annotations

from ganforge.components.spec import Component

KYNKAANNIEMI = "Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models"
NAEEM = "Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, arXiv:2002.09797"

METRICS = (
    Component(
        kind="metric",
        name="fid",
        target="ganforge.builtin.metrics.fid:Fid",
        summary="Fréchet distance between Gaussians fitted to features; needs more images than features.",
        paper="Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, arXiv:1706.08500",
    ),
    Component(
        kind="metric",
        name="fid-infinity",
        target="ganforge.builtin.metrics.fid:FidInfinity",
        summary="FID extrapolated to infinitely many images: a line over 1/N at 0.",
        paper="Chong & Forsyth 2020, Effectively Unbiased FID and Inception Score, arXiv:1911.07023",
    ),
    Component(
        kind="metric",
        name="kid",
        target="ganforge.builtin.metrics.kid:Kid",
        summary="Squared maximum mean discrepancy of features, unbiased, with its spread over subsets.",
        paper="Bińkowski et al. 2018, Demystifying MMD GANs, arXiv:1801.01401",
    ),
    Component(
        kind="metric",
        name="inception-score",
        target="ganforge.builtin.metrics.inception_score:InceptionScore",
        summary="Confidence and variety of a classifier's predictions for the fakes; uses no real image.",
        paper="Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498",
        tags=("classifier",),
    ),
    Component(
        kind="metric",
        name="precision",
        target="ganforge.builtin.metrics.prdc:Precision",
        summary="Share of fakes near real images.",
        paper=KYNKAANNIEMI,
    ),
    Component(
        kind="metric",
        name="recall",
        target="ganforge.builtin.metrics.prdc:Recall",
        summary="Share of real images near fakes.",
        paper=KYNKAANNIEMI,
    ),
    Component(
        kind="metric",
        name="density",
        target="ganforge.builtin.metrics.prdc:Density",
        summary="Number of real images near a fake; more robust to outliers than precision.",
        paper=NAEEM,
    ),
    Component(
        kind="metric",
        name="coverage",
        target="ganforge.builtin.metrics.prdc:Coverage",
        summary="Share of real images with a fake near them; more robust than recall.",
        paper=NAEEM,
    ),
    Component(
        kind="metric",
        name="modes",
        target="ganforge.builtin.metrics.modes:Modes",
        summary="Number of classes among the fakes, and the distance of their shares from the data's.",
        paper="Metz et al. 2016, Unrolled Generative Adversarial Networks, arXiv:1611.02163",
        tags=("classifier",),
    ),
    Component(
        kind="metric",
        name="data-copying",
        target="ganforge.builtin.metrics.data_copying:DataCopying",
        summary="Test for copies of training images, with a picture of the nearest pairs.",
        paper="Meehan et al. 2020, A Non-Parametric Test to Detect Data-Copying, arXiv:2004.05675",
        tags=("training images",),
    ),
    Component(
        kind="metric",
        name="sliced-wasserstein",
        target="ganforge.builtin.metrics.sliced_wasserstein:SlicedWasserstein",
        summary="Distance between the distributions of pixels along random directions; needs no features.",
        paper="Rabin et al. 2011, Wasserstein Barycenter and Its Application to Texture Mixing",
    ),
    Component(
        kind="metric",
        name="ppl",
        target="ganforge.builtin.metrics.ppl:PerceptualPathLength",
        summary="Perceptual path length: smoothness of the latent space, in the run's features instead of LPIPS.",
        paper="Karras et al. 2019, A Style-Based Generator Architecture for GANs, arXiv:1812.04948",
        tags=("generator",),
    ),
)
