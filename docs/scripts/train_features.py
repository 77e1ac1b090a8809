"""Train the network behind the features `digits` or `fashion`, and write its weights.

`python docs/scripts/train_features.py OUT.safetensors --which digits|fashion --data-root DIR [--epochs 30] [--seed 0]`.
DIR holds `MNIST/raw` or `FashionMNIST/raw`, as torchvision lays them out, plain or .gz. Runs on a GPU where there is
one: 40 s on an H200. Two CPU cores need a minute or two for an epoch, and `--epochs 10` gives good features too.

5,000 of the 60,000 training images are held out: settings are chosen by the accuracy on them, which each epoch's line
shows. The test images are looked at once, at the end, with the weights as they were written and read again.

What is written is an exponential moving average over the steps, with batch norm folded into the convolutions, in
float16: half the size, and what it changes is within the noise of the last digit shown. SGD with Nesterov's momentum
and one cycle of the learning rate (Smith and Topin 2018). No label smoothing: it erases what tells the images of one
class apart (Müller et al. 2019, When Does Label Smoothing Help?), which is what features are for.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from ganforge.builtin.datasets.mnist_files import read_split
from ganforge.builtin.features.classifier import Classifier
from ganforge.components import Split
from ganforge.errors import DataError

HELD_OUT = 5_000
BATCH = 250
PEAK_LEARNING_RATE = 0.2
WEIGHT_DECAY = 5e-4
EMA_DECAY = 0.996
DROPOUT = 0.2
LIMIT_BYTES = 1_000_000


@dataclass(frozen=True)
class Task:
    """One data set, and how far its images may be changed without becoming another's class.

    shift: of its side, both ways. angle: in radians. scale: relative. flip: left and right. erase: the side, in
    pixels, of a square that is blacked out (DeVries and Taylor 2017, Cutout).
    """

    folder: str
    shift: float
    angle: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    flip: bool = False
    erase: int = 0


TASKS = {
    "digits": Task("MNIST/raw", shift=2 / 28, angle=0.2, scale=0.12, shear=0.15, erase=6),
    "fashion": Task("FashionMNIST/raw", shift=2 / 28, scale=0.06, flip=True, erase=8),
}


def main() -> None:
    """Train, write, read again, and print the accuracy on the test images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--which", choices=tuple(TASKS), required=True)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        parser.error("--epochs must be at least 1")
    task = TASKS[arguments.which]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(arguments.seed)
    begun = time.perf_counter()
    folder = arguments.data_root / task.folder
    try:
        images, labels = read(folder, "train", device)
        test_images, test_labels = read(folder, "test", device)
    except DataError as error:
        parser.error(str(error))
    network = trained(task, images, labels, epochs=arguments.epochs)
    seconds = time.perf_counter() - begun
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(weights, arguments.out)
    shipped = Classifier().to(device)
    shipped.load_state_dict(load_file(arguments.out))
    content = arguments.out.read_bytes()
    assert len(content) < LIMIT_BYTES  # noqa: S101 - the network's size is this script's own doing
    print(f"test accuracy {accuracy(shipped, test_images, test_labels):.2%}, {seconds:.0f} s on {device.type}")
    print(f"{arguments.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def read(folder: Path, split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return pixels in [0, 1], `(N, 1, 28, 28)`, and classes, `(N,)`, on the device. Raises DataError."""
    split_images = read_split(folder, split)
    assert split_images.condition is not None  # noqa: S101 - read_split returns classes
    return split_images.images.to(device).float() / 255, split_images.condition.to(device)


def trained(task: Task, images: Tensor, labels: Tensor, *, epochs: int) -> Classifier:
    """Train on all but the images that are held out, printing a line per epoch; return the folded average."""
    device = images.device
    order = torch.randperm(len(images)).to(device)
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    network = with_batch_norm(Classifier()).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.SGD(groups(network), lr=PEAK_LEARNING_RATE, momentum=0.9, nesterov=True)
    steps = len(kept) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2, cycle_momentum=False
    )
    begun, step = time.perf_counter(), 0
    for epoch in range(1, epochs + 1):
        network.train()
        total = torch.zeros((), device=device)
        for chosen in kept[torch.randperm(len(kept)).to(device)][: steps * BATCH].split(BATCH):
            features = network.layers(changed(images[chosen], task)).mean((2, 3))
            loss = functional.cross_entropy(network.head(functional.dropout(features, DROPOUT)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            move(average, network, step)
            total += loss.detach()
        right = accuracy(average, images[held], labels[held])
        spent = time.perf_counter() - begun
        mean = total.item() / steps
        print(f"epoch {epoch}: loss {mean:.4f}, held-out accuracy {right:.2%}, {spent:.0f} s", flush=True)
    return folded(average)


@torch.no_grad()
def move(average: Classifier, network: Classifier, step: int) -> None:
    """Move the average's weights and batch statistics towards the network's, fast at first."""
    share = max(1 - EMA_DECAY, 9 / (9 + step))
    pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
    averages, currents = zip(*((old, new) for old, new in pairs if old.is_floating_point()), strict=True)
    torch._foreach_lerp_(averages, currents, share)


def groups(network: nn.Module) -> list[dict[str, object]]:
    """Return the weights, which decay, and the biases and batch norm's scales, which do not."""
    decaying = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    return [{"params": decaying, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]


def with_batch_norm(network: Classifier) -> Classifier:
    """Put batch norm behind every convolution, whose bias it makes superfluous."""
    for name, layer in list(network.layers.named_children()):
        if isinstance(layer, nn.Conv2d):
            layer.register_parameter("bias", None)
            network.layers.set_submodule(name, nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels)))
    return network


def folded(network: Classifier) -> Classifier:
    """Undo `with_batch_norm`: multiply what it learned into the convolutions' weights and biases."""
    network.eval()
    for name, layer in list(network.layers.named_children()):
        if isinstance(layer, nn.Sequential):
            convolution, norm = layer
            assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - as with_batch_norm made it
            assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - likewise
            network.layers.set_submodule(name, fuse_conv_bn_eval(convolution, norm))
    return network


def changed(images: Tensor, task: Task) -> Tensor:
    """Move, turn, scale, shear, flip and partly black out every image by its own random amount."""
    count, device = len(images), images.device

    def amounts(largest: float) -> Tensor:
        return (torch.rand(count, device=device) * 2 - 1) * largest

    angle, shear = amounts(task.angle), amounts(task.shear)
    across, down = 1 + amounts(task.scale), 1 + amounts(task.scale)
    if task.flip:
        across = across * amounts(1).sign()
    cos, sin = angle.cos(), angle.sin()
    # Coordinates run from -1 to 1, so that a shift of a share of the side is twice as much.
    top = torch.stack([across * cos, shear - down * sin, amounts(2 * task.shift)], 1)
    bottom = torch.stack([across * sin, down * cos, amounts(2 * task.shift)], 1)
    grid = functional.affine_grid(torch.stack([top, bottom], 1), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    if task.erase:
        moved = moved * ~erased(count, images.shape[-1], task.erase, device)
    return moved.to(memory_format=torch.channels_last)


def erased(count: int, side: int, square: int, device: torch.device) -> Tensor:
    """Return masks, `(N, 1, side, side)`, true in a square whose middle lies anywhere, in every second one or so."""
    place = torch.arange(side, device=device)
    row, column = (torch.rand(2, count, 1, device=device) * 2 * side).unbind()
    rows, columns = ((middle - place).abs() < square / 2 for middle in (row, column))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


@torch.inference_mode()
def accuracy(network: Classifier, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose class the network names."""
    right = (network(part)[1].argmax(1).eq(truth).sum() for part, truth in parts(images, labels))
    return float(torch.stack(list(right)).sum()) / len(labels)


def parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the tensors in parts of at most 1,000 rows."""
    return zip(*(tensor.split(1000) for tensor in tensors), strict=True)


if __name__ == "__main__":
    main()
