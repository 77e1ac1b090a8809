"""Reference loop of all speed ratios: the tutorial's training loop, as usually written.

A DataLoader shuffles torchvision's MNIST in batches of 60, with ToTensor and Normalize. Training is eager, in float32,
with default Adam at the tutorial's learning rates, sigmoid and BCELoss. Real and fake images pass the discriminator
separately; each update has new fakes, which the discriminator's update does not detach.
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def seconds_per_step(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    root: Path,
    device: torch.device,
    steps: int,
    warm_up: int,
    batch_size: int = 60,
) -> list[float]:
    """Train two networks on torchvision's MNIST, and return the time of each step after the warm-up.

    The generator maps latents `(N, 100)` to images `(N, 1, 28, 28)`, the discriminator images to `DiscriminatorOutput`.
    """
    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    loader = DataLoader(datasets.MNIST(root, transform=scale), batch_size=batch_size, shuffle=True, drop_last=True)
    generator, discriminator = generator.to(device), discriminator.to(device)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    criterion = nn.BCELoss()
    seconds: list[float] = []
    start = time.perf_counter()
    for _ in count():
        for images, _ in loader:
            real = images.to(device)
            ones, zeros = torch.ones(len(real), device=device), torch.zeros(len(real), device=device)

            optimizer_d.zero_grad()
            fake = generator(torch.randn(len(real), 100, device=device))
            loss_d = criterion(torch.sigmoid(discriminator(real).logits), ones)
            loss_d = loss_d + criterion(torch.sigmoid(discriminator(fake).logits), zeros)
            loss_d.backward()
            optimizer_d.step()

            optimizer_g.zero_grad()
            fake = generator(torch.randn(len(real), 100, device=device))
            loss_g = criterion(torch.sigmoid(discriminator(fake).logits), ones)
            loss_g.backward()
            optimizer_g.step()
            loss_d.item(), loss_g.item()  # for printing, as usual

            seconds.append(time.perf_counter() - start)
            if len(seconds) == warm_up + steps:
                return seconds[warm_up:]
            start = time.perf_counter()
    raise AssertionError("the loop is endless")
