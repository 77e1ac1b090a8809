"""The metrics that come with ganforge, as components; each one's module is imported when it is used."""

from __future__ import annotations

from ganforge.components.spec import Component

KYNKAANNIEMI = "Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models"
NAEEM = "Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, arXiv:2002.09797"

METRICS = (
    Component(
        kind="metric",
        name="fid",
        target="ganforge.builtin.metrics.fid:Fid",
        summary="Fréchet distance between Gaussians fitted to features; more images than features.",
        paper="Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, arXiv:1706.08500",
    ),
    Component(
        kind="metric",
        name="fid-infinity",
        target="ganforge.builtin.metrics.fid:FidInfinity",
        summary="The FID that infinitely many images would have: a line over 1/N, continued to 0.",
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
        summary="How sure a classifier is of each fake, and how many classes it sees; looks at no real image.",
        paper="Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498",
        tags=("classifier",),
    ),
    Component(
        kind="metric",
        name="precision",
        target="ganforge.builtin.metrics.prdc:Precision",
        summary="The share of fakes that lie near real images.",
        paper=KYNKAANNIEMI,
    ),
    Component(
        kind="metric",
        name="recall",
        target="ganforge.builtin.metrics.prdc:Recall",
        summary="The share of real images that lie near fakes.",
        paper=KYNKAANNIEMI,
    ),
    Component(
        kind="metric",
        name="density",
        target="ganforge.builtin.metrics.prdc:Density",
        summary="How many real images a fake lies near; steadier than precision where there are outliers.",
        paper=NAEEM,
    ),
    Component(
        kind="metric",
        name="coverage",
        target="ganforge.builtin.metrics.prdc:Coverage",
        summary="The share of real images that have a fake near them; steadier than recall.",
        paper=NAEEM,
    ),
    Component(
        kind="metric",
        name="modes",
        target="ganforge.builtin.metrics.modes:Modes",
        summary="How many classes the fakes reach, and how far their shares are from the data's.",
        paper="Metz et al. 2016, Unrolled Generative Adversarial Networks, arXiv:1611.02163",
        tags=("classifier",),
    ),
    Component(
        kind="metric",
        name="data-copying",
        target="ganforge.builtin.metrics.data_copying:DataCopying",
        summary="Whether fakes are copies of training images, with a picture of the nearest pairs.",
        paper="Meehan et al. 2020, A Non-Parametric Test to Detect Data-Copying, arXiv:2004.05675",
        tags=("training images",),
    ),
    Component(
        kind="metric",
        name="sliced-wasserstein",
        target="ganforge.builtin.metrics.sliced_wasserstein:SlicedWasserstein",
        summary="Distance between the pixels' distributions along random directions; needs no features.",
        paper="Rabin et al. 2011, Wasserstein Barycenter and Its Application to Texture Mixing",
    ),
)
