"""One tiny step through the whole gan, so that parts that do not fit are found before anything is written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganforge.components import Discriminator, DiscriminatorOutput, Generator
from ganforge.errors import GanforgeError, IncompatibleError
from ganforge.plugins.registry import Entry
from ganforge.plugins.sources import explain
from ganforge.training.build import GANComponents
from ganforge.utils.rng import layers_seeded, stream_rng

T = TypeVar("T")

COUNT = 2
#: Nodes of the graph that only change a tensor's shape; a sigmoid may hide behind them.
RESHAPES = (
    "Squeeze",
    "View",
    "Reshape",
    "Unsqueeze",
    "Flatten",
    "Select",
    "Slice",
    "Expand",
    "Permute",
    "Clone",
    "Alias",
)
#: How far beyond [-1, 1] an image may lie; a tanh in low precision stays well within.
SLACK = 1e-3


def preflight(gan: GANComponents, processes: int = 1) -> None:
    """Pass two images forward and backward through copies of all parts. Raises IncompatibleError.

    processes: how many share a batch.
    """
    experiment = gan.resolved.experiment
    size = gan.info.sizes["train"]
    if size < experiment.batch_size:
        raise IncompatibleError(
            f"a batch of {experiment.batch_size} needs more images than data {gan.info.name!r} has ({size})",
            fix=f"pass --batch-size {size} or less",
        )
    parts = experiment.gradient_accumulation * (1 if experiment.sync_batch_norm else processes)
    networks = (gan.generator, gan.discriminator)
    if experiment.batch_size < COUNT * parts and any(map(_has_batch_norm, networks)):
        fix = f"pass --batch-size {COUNT * parts} or more"
        raise IncompatibleError("batch norm cannot train on one image at a time", fix=fix)
    with layers_seeded(experiment.seed, "preflight"):
        _Flight(gan).fly()


def _has_batch_norm(network: nn.Module) -> bool:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return any(isinstance(part, kinds) for part in network.modules())


class _Flight:
    """Carry the copies and what passes between them."""

    def __init__(self, gan: GANComponents) -> None:
        self.gan = gan
        self.entries = {section: tuple(item.entry for item in items) for section, items in gan.resolved.chosen.items()}
        self.generator: Generator = copy.deepcopy(gan.generator).train()
        self.discriminator: Discriminator = copy.deepcopy(gan.discriminator).train()
        self.rng = stream_rng(gan.resolved.experiment.seed, "preflight")
        image = gan.info.image
        self.labels = None if image.num_classes is None else torch.arange(COUNT) % image.num_classes
        self.shape = (COUNT, image.channels, image.height, image.width)

    def fly(self) -> None:
        fake = self.images()
        real = torch.rand(self.shape, generator=self.rng) * 2 - 1
        real, fake = (self.augmented(images) for images in (real, fake))
        judged_real, judged_fake = self.judged(real), self.judged(fake)
        self.judges_singly(real.detach(), fake.detach())
        loss = self.gan.loss
        (entry,) = self.entries["loss"]
        losses = self.step(
            entry, lambda: loss.discriminator(real=judged_real, fake=judged_fake), "judgements of 2 images"
        )
        self.batch_independent(entry, losses, "its discriminator loss")
        self.backward(self.entries["disc"][0], self.discriminator, losses)
        needed = judged_real if loss.needs_real else None
        losses = self.step(entry, lambda: loss.generator(real=needed, fake=judged_fake), "judgements of 2 images")
        self.batch_independent(entry, losses, "its generator loss")
        self.backward(self.entries["gen"][0], self.generator, losses)
        self.penalties(real.detach(), fake.detach())

    def step(self, entry: Entry, call: Callable[[], T], given: str) -> T:
        """Call a component; whatever it raises is blamed on it, with what it was given."""
        try:
            return call()
        except GanforgeError:
            raise
        except (Exception, SystemExit) as error:
            raise IncompatibleError(f"{entry} fails on {given}: {explain(error)}") from error

    def images(self) -> Tensor:
        (entry,) = self.entries["gen"]
        generator = self.generator
        z = self.step(entry, lambda: generator.sample_latents(COUNT, self.rng), "a request for 2 latents")
        if not isinstance(z, Tensor) or z.shape != (COUNT, generator.latent_dim):
            raise IncompatibleError(
                f"{entry}: sample_latents gives {_shape(z)}; (N, Z) is needed, here ({COUNT}, {generator.latent_dim})"
            )
        labels = self.labels if generator.conditional else None
        fake = self.step(entry, lambda: generator(z, labels), f"latents {tuple(z.shape)}")
        if not isinstance(fake, Tensor) or tuple(fake.shape) != self.shape:
            raise IncompatibleError(
                f"{entry} makes images of shape {_shape(fake)}; data {self.gan.info.name!r} has {self.shape} "
                f"for {COUNT} images",
                fix="its layers must follow `image.channels`, `image.height` and `image.width`",
            )
        self.finite(entry, fake, "its images hold")
        low, high = float(fake.detach().min()), float(fake.detach().max())
        if low < -1 - SLACK or high > 1 + SLACK:
            raise IncompatibleError(
                f"{entry} makes images in [{low:.3g}, {high:.3g}]; real images are in [-1, 1]",
                fix="end it with a tanh",
            )
        return fake

    def augmented(self, images: Tensor) -> Tensor:
        for entry, augmentation in zip(self.entries["augment"], self.gan.augmentations.values(), strict=True):
            part, before = copy.deepcopy(augmentation), images
            images = self.step(entry, lambda: part(before, rng=self.rng), f"images {self.shape}")  # noqa: B023
            if not isinstance(images, Tensor) or tuple(images.shape) != self.shape:
                raise IncompatibleError(f"{entry} turns images of shape {self.shape} into {_shape(images)}")
            self.finite(entry, images, "its images hold")
        return images

    def judged(self, images: Tensor) -> DiscriminatorOutput:
        (entry,) = self.entries["disc"]
        labels = self.labels if self.discriminator.conditional else None
        judgement = self.step(entry, lambda: self.discriminator.judge(images, labels), f"images {self.shape}")
        logits = judgement.logits
        if not isinstance(logits, Tensor) or logits.shape != (COUNT,):
            fix = "one logit per image: end with .squeeze(1), or nn.Flatten(0)" if _squeezable(logits) else None
            raise IncompatibleError(
                f"{entry} gives logits of shape {_shape(logits)} for {COUNT} images; ({COUNT},) is needed", fix=fix
            )
        self.finite(entry, logits, "its logits hold")
        if _squashed(logits):
            raise IncompatibleError(
                f"{entry} squashes its logits into [0, 1] with a sigmoid; losses need them unbounded",
                fix="leave the sigmoid out: the loss applies it",
            )
        return judgement

    def judges_singly(self, real: Tensor, fake: Tensor) -> None:
        """Check that images judged together get the logits that they get apart, where the discriminator says so."""
        network = self.discriminator
        if not network.batch_independent:
            return
        (entry,) = self.entries["disc"]
        fix = "leave `batch_independent` at False: real and fake images are then judged apart"
        if _has_batch_norm(network):
            raise IncompatibleError(f"{entry} says that it judges each image by itself, but has batch norm", fix=fix)
        network.eval()
        with torch.no_grad():
            apart = torch.cat([self.judged(real).logits, self.judged(fake).logits])
            labels = None if self.labels is None or not network.conditional else self.labels.repeat(2)
            both = torch.cat([real, fake])
            together = self.step(entry, lambda: network.judge(both, labels).logits, "4 images")
        network.train()
        if together.shape != apart.shape or not torch.allclose(together, apart, rtol=1e-3, atol=1e-4):
            raise IncompatibleError(
                f"{entry} says that it judges each image by itself, but others in the batch change its logits", fix=fix
            )

    def batch_independent(self, entry: Entry, values: object, what: str) -> None:
        if not isinstance(values, Tensor) or values.shape != (COUNT,):
            raise IncompatibleError(
                f"{entry}: {what} has shape {_shape(values)} for {COUNT} images; ({COUNT},) is needed, not reduced"
            )
        self.finite(entry, values, f"{what} holds")

    def finite(self, entry: Entry, values: Tensor, what: str) -> None:
        if not values.is_floating_point() or not bool(values.detach().isfinite().all()):
            raise IncompatibleError(f"{entry}: {what} {values.dtype} numbers that are not all finite")

    def backward(self, entry: Entry, network: nn.Module, losses: Tensor) -> None:
        """Check that the loss reaches the network's weights, and only with finite gradients."""
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        if not weights:
            raise IncompatibleError(f"{entry} has no weights to train")
        if not losses.requires_grad:
            raise IncompatibleError(f"no gradient reaches {entry}", fix="it or the loss detaches its result")
        gradients = self.step(
            entry, lambda: torch.autograd.grad(losses.mean(), weights, retain_graph=True, allow_unused=True), "a loss"
        )
        reached = [gradient for gradient in gradients if gradient is not None]
        if not reached:
            raise IncompatibleError(f"no gradient reaches {entry}", fix="it or the loss detaches its result")
        for gradient in reached:
            self.finite(entry, gradient, "its gradients hold")

    def penalties(self, real: Tensor, fake: Tensor) -> None:
        labels = self.labels if self.discriminator.conditional else None
        for entry, penalty in zip(self.entries["penalty"], self.gan.penalties.values(), strict=True):
            values = self.step(
                entry,
                lambda: penalty.measure(self.discriminator, real=real, fake=fake, labels=labels, rng=self.rng),  # noqa: B023
                f"images {self.shape}",
            )
            self.batch_independent(entry, values, "its penalty")
            self.backward(self.entries["disc"][0], self.discriminator, values)


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _squeezable(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == COUNT


def _squashed(logits: Tensor) -> bool:
    """Whether the last operation that is no mere reshaping was a sigmoid."""
    node = logits.grad_fn
    while node is not None and any(word in node.name() for word in RESHAPES) and node.next_functions:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SigmoidBackward")
