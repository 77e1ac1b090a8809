"""Published trainings."""

from __future__ import annotations

from ganforge import Preset

PAPER = "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv:2501.05441"

#: A schedule is a factor: 0.25 of 2e-4 is 5e-5, 1.1 of 0.9 is 0.99, and 5,000,000 of one image is 5 million.
CIFAR10 = Preset(
    name="r3gan-cifar10",
    summary="The authors' training on CIFAR-10, without their augmentations, for a GPU.",
    paper=PAPER,
    settings="""
        batch_size = 512
        steps = 39063
        ema_halflife_images = 1
        loss = "relativistic"
        data = "cifar10"

        [gen]
        name = "r3gan"
        r3gan = {base_channels = 768, widest_size = 32, blocks = 2, group_width = 16, conditional = true}

        [disc]
        name = "r3gan"
        r3gan = {base_channels = 768, widest_size = 32, blocks = 2, group_width = 16, conditional = true}

        [term]
        r1 = {weight = 0.025}
        r2 = {weight = 0.025}

        [optimizer]
        lr = 2e-4
        betas = [0.0, 0.9]

        [schedules]
        "optimizer.lr" = {name = "cosine", cosine = {final = 0.25}}
        "optimizer.betas.1" = {name = "cosine", cosine = {final = 1.1}}
        "term.r1.weight" = {name = "cosine", cosine = {final = 0.1}}
        "term.r2.weight" = {name = "cosine", cosine = {final = 0.1}}
        ema_halflife_images = {name = "cosine", cosine = {final = 5000000.0}}
    """,
)
