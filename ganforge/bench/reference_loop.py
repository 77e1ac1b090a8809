"""The textbook's loop as people write it: what every speed of ganforge is a ratio to. Nothing in it is spoilt.

A DataLoader shuffles torchvision's MNIST in batches of 60, with ToTensor and Normalize; float32, eager, default Adam
with the textbook's rates; sigmoid and BCELoss; real and fake images judged separately; a fresh batch of fakes for each
network, and the fakes not detached in the discriminator's step.
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
    """Train two networks on torchvision's MNIST below `root`; return the seconds of each step after the warm-up.

    generator: latents `(N, 100)` → images `(N, 1, 28, 28)`. discriminator: images → logits `(N,)`.
    """
    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    loader = DataLoader(datasets.MNIST(root, transform=scale), batch_size=batch_size, shuffle=True, drop_last=True)
    generator, discriminator = generator.to(device), discriminator.to(device)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    criterion = nn.BCELoss()
    seconds: list[float] = []
    begun = time.perf_counter()
    for _ in count():
        for images, _ in loader:
            real = images.to(device)
            ones, zeros = torch.ones(len(real), device=device), torch.zeros(len(real), device=device)

            optimizer_d.zero_grad()
            fake = generator(torch.randn(len(real), 100, device=device))
            loss_d = criterion(torch.sigmoid(discriminator(real)), ones)
            loss_d = loss_d + criterion(torch.sigmoid(discriminator(fake)), zeros)
            loss_d.backward()
            optimizer_d.step()

            optimizer_g.zero_grad()
            fake = generator(torch.randn(len(real), 100, device=device))
            loss_g = criterion(torch.sigmoid(discriminator(fake)), ones)
            loss_g.backward()
            optimizer_g.step()
            loss_d.item(), loss_g.item()  # people print their losses

            seconds.append(time.perf_counter() - begun)
            if len(seconds) == warm_up + steps:
                return seconds[warm_up:]
            begun = time.perf_counter()
    raise AssertionError("an endless loop has no end")
