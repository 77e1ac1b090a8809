"""Options and outputs that the commands of the latent space share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganforge.cli import _options as opt
from ganforge.cli._output import check_output_path, notice, print_result, writing
from ganforge.cli._printer import escape
from ganforge.cli._settings import sampling_options
from ganforge.errors import UsageError
from ganforge.runs.sources import open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ganforge.components import Space
    from ganforge.runs.latents import Latents

#: Pictures of animations are enlarged until their shorter side has as many pixels.
MIN_ANIMATION_PIXELS = 128
ANIMATIONS = frozenset({".gif", ".mp4"})

SpaceName = Annotated[
    str | None,
    typer.Option("--space", metavar="z|w", help="Latent space: z, or w behind a mapping network (w, if there is one)."),
]
OutFile = Annotated[Path | None, opt.out_option("FILE", "Picture, .png; the latents are saved next to it, as .npz.")]
Scale = Annotated[int | None, typer.Option(min=1, max=64, metavar="N", help="Enlargement of the pictures (1).")]
PointSeed = Annotated[
    int, typer.Option("--seed", min=0, metavar="N", help="Seed of points without a POINT, and of noise.")
]

Settings = Annotated[
    list[str] | None, opt.set_option("A sampling option of the generator; also --sampling.truncation 0.7.")
]
FeaturesName = Annotated[
    str | None, opt.setting_option("features", "Feature extractor that recognizes classes (the run's).")
]


class OpenedSpace:
    """Latent space of a run, opened by the options that all commands of the latent space share."""

    def __init__(
        self,
        run: opt.RunSource,
        path: OutFile = None,
        space: SpaceName = None,
        scale: Scale = None,
        condition: opt.Conditions = None,
        seed: PointSeed = 0,
        settings: Settings = None,
        ema: opt.Ema = None,
        checkpoint: opt.CheckpointName = "newest",
        device: opt.Device = "cpu",
        force: opt.Force = False,
        plugin: opt.Plugins = None,
        no_plugins: opt.NoPlugins = False,
        json: opt.Json = False,
    ) -> None:
        """Open the space, and print what its loading notices."""
        directory = open_source(run)
        choice = opt.checkpoint_choice(checkpoint)
        sampling = sampling_options(settings)
        registry = opt.open_registry(plugin, no_plugins=no_plugins)

        from ganforge.latent_space.space import LatentSpace
        from ganforge.runs.trained_run import TrainedRun

        trained = TrainedRun(directory, registry)
        self.space = LatentSpace(trained, ema=ema, checkpoint=choice, sampling=sampling, seed=seed, device=device)
        notice(*trained.notices)
        self.run, self.seed, self.scale, self.json = run, seed, scale, json
        self._path, self._space_name, self._condition, self._force = path, space, condition, force

    @property
    def chosen_space(self) -> Space:
        """The space of `--space`; the generator's own one by default. Raises UsageError for other texts."""
        if self._space_name is None:
            return self.space.own_space
        if self._space_name == "z":
            return "z"
        if self._space_name == "w":
            return "w"
        raise UsageError(f"invalid space {self._space_name!r} (available: z, w)")

    def output_paths(self, name: str, suffixes: Collection[str] = (".png",)) -> tuple[Path, Path]:
        """Return the files of the picture and of its latents. Raises UsageError for other types and existing files."""
        if self._path is None:
            default = opt.output_path(self.space.run.directory, name)
            return default, default.with_suffix(".npz")
        if self._path.suffix.lower() not in suffixes:
            raise UsageError(f"--out {self._path}: the file is {' or '.join(sorted(suffixes))}")
        paths = self._path, self._path.with_suffix(".npz")
        for file in paths:
            check_output_path(file, force=self._force)
        return paths

    def conditions(self) -> Tensor | None:
        """Return the values of `--condition`. Raises UsageError for a generator that is not conditional."""
        from ganforge.runs.conditions import read_condition

        if not self._condition:
            return None
        if not self.space.generator.conditional:
            raise UsageError("this generator takes no condition", fix="leave --condition out")
        return read_condition(self._condition, self.space.run.dataset_info())

    def points(
        self, texts: list[str] | None, space: Space, *, default: list[str], features: str | None = None
    ) -> list[Latents]:
        """Return the latents of each point of the command line in a space, or of default ones. Raises UsageError."""
        from ganforge.latent_space.points import PointReader

        points = PointReader(self.space, features=features).read(texts or default, space, self.conditions())
        self.notice_other_weights(part.checkpoint for part in points)
        return points

    def notice_other_weights(self, checkpoints: Iterable[str | None]) -> None:
        """Print a notice if latents or directions of a file belong to other weights."""
        if set(checkpoints) - {None, self.space.loaded.checkpoint}:
            notice("the latents were found with other weights; their images differ here")

    def print_result(self, paths: tuple[Path, Path], latents: Latents, **further: object) -> None:
        """Print the files, or the document of `--json` with further entries."""
        files = {"out": str(paths[0]), "latents": str(paths[1])}
        facts = {"num_images": len(latents), "space": latents.space}
        names = " and ".join(f"[bold]{escape(file)}[/]" for file in files.values())
        document = {"run": str(self.run), **files, **facts, **further}
        print_result(document, f"{len(latents)} images: {names}", json=self.json)


def with_latent_space(function: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """Return a command of typer from a function of an opened latent space and of the command's own options.

    The shared options, those of `OpenedSpace`, are added. An own option of the same name replaces the shared one's
    declaration, such as its help.

    Args:
        function: Function whose first parameter is `opened`.
        without: Shared options that the command does not have.
    """
    own = inspect.signature(function, eval_str=True).parameters
    shared = inspect.signature(OpenedSpace, eval_str=True).parameters
    merged = {"run": shared["run"], **own, **{name: item for name, item in shared.items() if name not in own}}
    for name in ("opened", *without):
        del merged[name]

    def command(**values: Any) -> None:  # noqa: ANN401 - typer has parsed them
        opened = OpenedSpace(**{name: value for name, value in values.items() if name in shared})
        function(opened, **{name: value for name, value in values.items() if name in own})

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in merged.values()]
    command.__name__, command.__doc__, command.__module__ = function.__name__, function.__doc__, function.__module__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command


def write_picture(
    picture: Tensor, arrays: Mapping[str, NDArray[Any]], paths: tuple[Path, Path], *, scale: int | None
) -> None:
    """Write a picture, `(C, H, W)` uint8, and the arrays of its latents. Raises UsageError."""
    from ganforge.utils.arrays import write_npz  # imports numpy
    from ganforge.utils.images import enlarge, save_png

    with writing(paths[0]):
        save_png(enlarge(picture, scale or 1), paths[0])
    with writing(paths[1]):
        write_npz(paths[1], arrays)


def write_animation(frames: Tensor, latents: Latents, paths: tuple[Path, Path], *, scale: int | None, fps: int) -> None:
    """Write an animation of pictures, `(N, C, H, W)` uint8, and its latents. Raises UsageError."""
    from ganforge.utils.images import enlarge, save_gif, save_mp4

    frames = enlarge(frames, scale or -(-MIN_ANIMATION_PIXELS // min(frames.shape[-2:])))
    with writing(paths[0]):
        (save_gif if paths[0].suffix.lower() == ".gif" else save_mp4)(frames, paths[0], fps=fps)
    with writing(paths[1]):
        latents.save(paths[1])
