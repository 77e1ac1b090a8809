"""The textbook's GANs in plain PyTorch, without ganforge.

`python examples/textbook_gan.py [mlp|dcgan]` trains on torchvision's MNIST. The networks and the training are those of
the tutorial "GAN explained" (https://dreamgonfly.github.io/blog/gan-explained/), after Goodfellow et al. 2014 and
Radford et al. 2015. docs/from-the-tutorial.md walks through this file; the tests compare ganforge's engine with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Latents = Callable[[int], Tensor]


def networks(model: str) -> tuple[nn.Module, nn.Module]:
    """Return the textbook's generator and discriminator, without the discriminator's sigmoid."""
    if model == "mlp":
        generator = nn.Sequential(
            nn.Linear(100, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 1024),
            nn.LeakyReLU(0.2),
            nn.Linear(1024, 784),
            nn.Tanh(),
            nn.Unflatten(1, (1, 28, 28)),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 1024),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(1024, 512),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(256, 1),
            nn.Flatten(0),
        )
    else:
        generator = nn.Sequential(
            nn.Unflatten(1, (100, 1, 1)),
            nn.ConvTranspose2d(100, 224, 7, 1, 0, bias=False),
            nn.BatchNorm2d(224),
            nn.ReLU(),
            nn.ConvTranspose2d(224, 112, 4, 2, 1, bias=False),
            nn.BatchNorm2d(112),
            nn.ReLU(),
            nn.ConvTranspose2d(112, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(1, 112, 4, 2, 1, bias=False),
            nn.BatchNorm2d(112),
            nn.LeakyReLU(0.2),
            nn.Conv2d(112, 224, 4, 2, 1, bias=False),
            nn.BatchNorm2d(224),
            nn.LeakyReLU(0.2),
            nn.Conv2d(224, 1, 7, bias=False),
            nn.Flatten(0),
        )
    return generator, discriminator


def bce(logits: Tensor, target: float) -> Tensor:
    """Return the textbook's loss: binary cross-entropy of the logits' sigmoid."""
    return nn.functional.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, target))


def train(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Iterable[Tensor],
    latents: Latents,
    criterion: Callable[[Tensor, float], Tensor] = bce,
) -> list[tuple[float, float]]:
    """Train both networks, one step each per batch of images in [-1, 1], and return their losses."""
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    losses = []
    for real in batches:
        optimizer_d.zero_grad()
        fake = generator(latents(len(real))).detach()
        loss_real = criterion(discriminator(real), 1.0)
        loss_fake = criterion(discriminator(fake), 0.0)
        loss_d = loss_real + loss_fake
        loss_d.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        loss_g = criterion(discriminator(generator(latents(len(real)))), 1.0)
        loss_g.backward()
        optimizer_g.step()
        losses.append((loss_d.item(), loss_g.item()))
    return losses


if __name__ == "__main__":
    from torchvision import datasets, transforms, utils

    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    data = datasets.MNIST("data", download=True, transform=scale)
    pair = networks(sys.argv[1] if len(sys.argv) > 1 else "dcgan")
    for epoch in range(100):
        loader = torch.utils.data.DataLoader(data, batch_size=60, shuffle=True)
        history = train(*pair, (images for images, _ in loader), lambda count: torch.randn(count, 100))
        print(f"epoch {epoch + 1}: loss D {history[-1][0]:.3f}, G {history[-1][1]:.3f}")
        utils.save_image(pair[0](torch.randn(64, 100)), f"epoch-{epoch + 1:03d}.png", normalize=True)
