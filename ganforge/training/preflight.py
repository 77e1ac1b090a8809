"""Preflight: one small step through copies of all components, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from ganforge.components import GeneratorOutput, Loss, LossTerm, TrainStep
from ganforge.data.loader import Batch
from ganforge.errors import GanforgeError, IncompatibleError
from ganforge.training.build import GANComponents, set_training_mode
from ganforge.training.completed_step import CompletedStep
from ganforge.training.distributed import SINGLE_PROCESS
from ganforge.training.flops import FlopCounter, Flops
from ganforge.training.optim import frozen
from ganforge.training.preflight_checks import (
    check_finite,
    check_images,
    check_latents,
    check_logits,
    check_term,
    doubtful_pairs,
    has_batch_norm,
    shape_of,
)
from ganforge.training.setup import phase_parameters
from ganforge.utils.rng import derive_generator, fork_torch_rng
from ganforge.utils.tracebacks import summarize_exception

NUM_IMAGES = 2


def preflight(gan: GANComponents, world_size: int = 1) -> dict[str, Flops]:
    """Run two images forward and backward through copies of all components; return the FLOPs by phase, per image.

    If that fails, a whole part of a batch is tried, since some components need more images, such as a discriminator of
    packs. Raises IncompatibleError, which names the responsible component.
    """
    experiment = gan.resolved.experiment
    size = gan.info.sizes["train"]
    sizes = {"--batch-size": experiment.batch_size, "--generator-batch-size": experiment.images_per_update("gen")}
    for flag, required in sizes.items():
        if size < required:
            raise IncompatibleError(
                f"a batch of {required} needs more images than data {gan.info.name!r} has ({size})",
                fix=f"pass {flag} {size} or less",
            )
    parts = experiment.gradient_accumulation * (1 if experiment.sync_batch_norm else world_size)
    if min(sizes.values()) < NUM_IMAGES * parts and any(map(has_batch_norm, (gan.generator, gan.discriminator))):
        flag = min(sizes, key=sizes.__getitem__)
        fix = f"pass {flag} {NUM_IMAGES * parts} or more"
        raise IncompatibleError("batch norm cannot train on one image at a time", fix=fix)
    part_size = experiment.batch_size // (experiment.gradient_accumulation * world_size)
    gan.resolved.notices.extend(doubtful_pairs(gan))
    try:
        return _Preflight(gan, NUM_IMAGES).run()
    except IncompatibleError:
        if part_size > NUM_IMAGES:
            with suppress(GanforgeError):
                return _Preflight(gan, part_size).run()
        raise


class _Preflight:
    """One step through copies of the components, with a number of real images."""

    def __init__(self, gan: GANComponents, count: int) -> None:
        self.gan = gan.copy()
        self.count = count
        self.seed = gan.resolved.experiment.seed
        self.modules = self.gan.modules()
        self.entries = {name: item.entry for name, item in self.gan.owners().items()}
        self.augmentations = {self.gan.augmentation_key(n): module for n, module in self.gan.augmentations.items()}
        self.shape = (count, *gan.info.image.shape)
        indices = [number % gan.info.sizes["train"] for number in range(count)]
        self.batch = Batch.of(gan.take("train", indices, "preflight"))

    def run(self) -> dict[str, Flops]:
        flops = {}
        with fork_torch_rng(self.seed, "preflight"):
            set_training_mode(self.modules)
            for name, component in self.modules.items():
                with self.blame(name, "step 0"):
                    component.stage(0)
            phases = phase_parameters(self.gan)
            z = self.latents()
            self.check_generator(z)
            if type(self.gan.loss).forward is Loss.forward:
                self.check_discriminator(self.step("disc", z))
            for phase, weights in phases.items():
                others = [weight for name in phases if name != phase for weight in phases[name].values()]
                with frozen(others):
                    flops[phase] = self.check_phase(phase, list(weights.values()), z) * (1 / self.count)
        return flops

    @contextmanager
    def blame(self, name: str, inputs: str) -> Iterator[None]:
        """Turn any error into an IncompatibleError that names the component whose code raised it."""
        try:
            yield
        except (GanforgeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            entry = self.entries[self.innermost_component(error) or name]
            raise IncompatibleError(f"{entry} fails on {inputs}: {summarize_exception(error)}") from error

    def innermost_component(self, error: BaseException) -> str | None:
        """Return the component whose method is the last one in a traceback."""
        innermost = None
        traceback = error.__traceback__
        while traceback is not None:
            owner = traceback.tb_frame.f_locals.get("self")
            innermost = next((name for name, module in self.modules.items() if module is owner), innermost)
            traceback = traceback.tb_next
        return innermost

    def step(self, phase: str, z: Tensor) -> TrainStep:
        """Return a step with the real images."""
        return TrainStep(
            phase=phase,
            step=0,
            progress=0.0,
            images_seen=0,
            real=self.batch.images,
            z=z,
            condition=self.batch.condition,
            extras=self.batch.extras,
            modules=self.modules,
            derive_rng=lambda name: derive_generator(self.seed, f"preflight/{phase}/{name}"),
            augmentations=self.gan.augmentations,
        )

    def latents(self) -> Tensor:
        rng, dim = derive_generator(self.seed, "preflight/latents"), self.gan.generator.latent_dim
        with self.blame("latent", f"a request for {self.count} latents"):
            z = self.gan.latent.sample(self.count, dim, rng)
        check_latents(self.entries["latent"], z, self.count, dim)
        return z

    def check_generator(self, z: Tensor) -> None:
        step = self.step("gen", z)
        with self.blame("generator", f"latents {tuple(z.shape)}"):
            output = step.generator_output
        bounded = self.gan.generator.bounded and self.gan.info.image.dtype == "uint8"
        images = GeneratorOutput.of(output).images
        check_images(self.entries["generator"], images, self.shape, self.gan.info.name, bounded=bounded)
        if bounded and images.min() >= 0 < images.max() and step.real.min() < 0:
            notice = (
                f"images of {self.entries['generator']} are within [{images.min():.2f}, {images.max():.2f}], but data "
                "within [-1, 1]: its last layer is usually tanh, not sigmoid"
            )
            notices = self.gan.resolved.notices
            notices.extend([notice] if notice not in notices else [])

    def check_discriminator(self, step: TrainStep) -> None:
        """Check augmentations, logits, and independence of the batch if declared."""
        for real in (True, False):
            for name, augmentation in self.augmentations.items():
                with self.blame(name, f"images {self.shape}"):
                    images = step.real if real else step.fake
                    parameters = augmentation.sample_parameters(images, step, real=real)
                    augmented: object = augmentation.augment(images, parameters)
                for level in augmented if isinstance(augmented, tuple) else (augmented,):
                    if not isinstance(level, Tensor) or len(level) != self.count:
                        raise IncompatibleError(
                            f"{self.entries[name]} turns images of shape {self.shape} into {shape_of(level)}"
                        )
                    check_finite(self.entries[name], level, "images")
        network, entry = self.gan.discriminator, self.entries["discriminator"]
        fix = "leave `batch_independent` at False: real images and fakes are then separate calls"
        if network.batch_independent and has_batch_norm(network):
            raise IncompatibleError(f"{entry} declares batch_independent, but has batch norm", fix=fix)
        with self.blame("discriminator", f"images {self.shape}"):
            outputs = (step.real_output, step.fake_output)
        for output in outputs:
            check_logits(entry, output.logits, self.count)
        if network.batch_independent and not self.is_batch_independent(step):
            raise IncompatibleError(f"{entry} declares batch_independent, but other images change its logits", fix=fix)

    def is_batch_independent(self, step: TrainStep) -> bool:
        """Return whether the discriminator has the same logits for real images and fakes in one call and in two."""
        network = self.gan.discriminator
        condition = step.condition if network.conditional else None
        real, fake = step._augmented_images(real=True)[0], step._augmented_images(real=False)[0]  # noqa: SLF001
        if not isinstance(real, Tensor) or not isinstance(fake, Tensor) or real.shape != fake.shape:
            return True
        network.eval()
        with torch.no_grad(), self.blame("discriminator", f"{2 * self.count} images"):
            separate = torch.cat([network(real, condition).logits, network(fake, condition).logits])
            conditions = None if condition is None else torch.cat([condition, condition])
            joint = network(torch.cat([real, fake]), conditions).logits
        set_training_mode(self.modules)
        return joint.shape == separate.shape and torch.allclose(joint, separate, rtol=1e-3, atol=1e-4)

    def check_phase(self, phase: str, weights: list[nn.Parameter], z: Tensor) -> Flops:
        """Check the terms of a phase, their gradients, and `after_step`; return the mean FLOPs of an update."""
        terms = {name: term for name, term in self.gan.all_terms.items() if phase in term.phases}
        if not terms:
            names = {name for name, (other, _) in self.gan.optimized_modules().items() if other == phase} or {phase}
            raise IncompatibleError(
                f"phase {phase!r} has no term: nothing trains {', '.join(sorted(names))}",
                fix=f"add a term with {phase!r} in its `phases`",
            )
        step = self.step(phase, z)
        flops = Flops()
        for name, term in terms.items():
            with FlopCounter() as counter:
                self.check_term(name, term, step, weights)
            flops += counter.flops * (1 / term.options.every)
        self.finish(step, terms)
        return flops

    def check_term(self, name: str, term: LossTerm, step: TrainStep, weights: list[nn.Parameter]) -> None:
        """Check the values of a term, as other terms reweight them, and their gradients."""
        step.use_rng(f"term/{name}")
        with self.blame(name, f"a batch of {self.count} images"):
            output: object = term(step)
        noun, elementwise = ("loss", isinstance(term, Loss)) if name == "loss" else ("term", False)
        values = check_term(self.entries[name], output, self.count, step.phase, noun=noun, elementwise=elementwise)
        values = self.reweight(name, values, step)
        if not values.requires_grad:
            raise self.no_gradient_error(name, step)
        with self.blame(name, "the backward pass of its values"):
            gradients = torch.autograd.grad(values.mean(), weights, retain_graph=True, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            raise self.no_gradient_error(name, step)
        for gradient in gradients:
            if gradient is not None:
                check_finite(self.entries[name], gradient, "gradients")

    def no_gradient_error(self, name: str, step: TrainStep) -> IncompatibleError:
        """Return the error for a term without gradient, which names the network or the term that detaches."""
        fake, output = step._raw, step._outputs.get(False)  # noqa: SLF001
        if step.phase == "gen" and fake is not None and not fake.images.requires_grad:
            return IncompatibleError(f"no gradient reaches {self.entries['generator']}", fix="it detaches its images")
        if step.phase == "disc" and output is not None and not output.logits.requires_grad:
            return IncompatibleError(
                f"no gradient reaches {self.entries['discriminator']}", fix="it detaches its logits"
            )
        return IncompatibleError(
            f"no gradient of {self.entries[name]} reaches the weights of phase {step.phase!r}",
            fix="it detaches its values, or acts in another phase",
        )

    def reweight(self, name: str, values: Tensor, step: TrainStep) -> Tensor:
        """Return the values of a term, reweighted by other terms."""
        for other_name, other in self.gan.reweighting_terms(name, step.phase).items():
            step.use_rng(f"reweight/{other_name}/{name}")
            with self.blame(other_name, f"values {tuple(values.shape)} of {name!r}"):
                factors = other.reweight(step, values)
                values = values if factors is None else values * factors.detach()
            check_finite(self.entries[other_name], values, "reweighted values")
        return values

    def finish(self, step: TrainStep, terms: dict[str, LossTerm]) -> None:
        """Call `after_step` of terms and `observe` of augmentations."""
        completed = CompletedStep([step], SINGLE_PROCESS)
        with torch.no_grad():
            for name, term in terms.items():
                completed.use_rng(f"after_step/{name}")
                with self.blame(name, "after_step"):
                    term.after_step(completed)
            if step.phase == "disc":
                for name, augmentation in self.gan.adaptive_augmentations.items():
                    with self.blame(self.gan.augmentation_key(name), "the logits of real images"):
                        augmentation.observe(completed.real_output.logits)
