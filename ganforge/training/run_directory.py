"""Run directory: paths, manifest and lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ganforge.errors import ConfigError, RunDirectoryError
from ganforge.plugins.local import CLASSES_FILE
from ganforge.schemas.manifest import MAX_MANIFEST_BYTES, Manifest
from ganforge.utils.files import error_reason, read_file, write_atomically
from ganforge.utils.schema import first_problem
from ganforge.utils.text import printable_json, shell_command

if TYPE_CHECKING:
    from ganforge.config import Experiment

#: Parent of runs without --out.
DEFAULT_FOLDER = Path("runs")
MAX_RUN_NUMBER = 100_000


class RunPath:
    """Path within a run directory, as an attribute of `RunDirectory`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: RunDirectory, _: type[RunDirectory]) -> Path:
        return run.path / self.name


class RunDirectory:
    """Files of one run; every path of the file format is an attribute.

    Attributes:
        is_temporary: Whether it was unpacked from a bundle and is removed when it is no longer used.
        config: run.toml, the resolved experiment.
        manifest: run.json, replaced atomically.
        classes: components.py, the plugin of the classes that were given in place of names.
        metrics: metrics.jsonl, one row per logged step.
        evaluations: evaluation.jsonl, one row per evaluation.
        report: report.html.
        samples: Folder of sample grids.
        checkpoints: Folder of checkpoints.
        evaluation_pictures: Folder of pictures from metrics.
    """

    is_temporary = False
    config = RunPath("run.toml")
    manifest = RunPath("run.json")
    classes = RunPath(CLASSES_FILE)
    metrics = RunPath("metrics.jsonl")
    evaluations = RunPath("evaluation.jsonl")
    report = RunPath("report.html")
    samples = RunPath("samples")
    checkpoints = RunPath("checkpoints")
    evaluation_pictures = RunPath("evaluation")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: Manifest | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return an existing run. Raises RunDirectoryError if the directory is not a run."""
        run = cls(path)
        if not run.config.is_file() or not run.manifest.is_file():
            if run.config.is_file():
                raise RunDirectoryError(
                    f"{path} has a run.toml but no run.json: the run never started",
                    fix=f"remove it: {shell_command('rm', '-r', path)}",
                )
            problem = "is not a run directory: it has no run.toml" if path.is_dir() else "does not exist"
            raise RunDirectoryError(f"{path} {problem}", fix="list all runs: ganforge runs")
        return run

    @classmethod
    def create(cls, path: Path | None, stem: str) -> Self:
        """Create a run directory: `path`, or runs/STEM-NUMBER by default. Raises RunDirectoryError."""
        if path is not None:
            return cls(cls._create_folders(path))
        for number in range(1, MAX_RUN_NUMBER):
            candidate = DEFAULT_FOLDER / f"{stem}-{number:03d}"
            if not candidate.exists():
                try:
                    return cls(cls._create_folders(candidate))
                except RunDirectoryError:
                    if not candidate.exists():
                        raise
        raise RunDirectoryError(f"{DEFAULT_FOLDER} has no free number for a run {stem!r}", fix="pass --out")

    @staticmethod
    def check_new(path: Path | None) -> None:
        """Raise RunDirectoryError if `create` would, before anything is written."""
        if path is not None and (path.exists() or path.is_symlink()):
            if (path / "run.toml").is_file() and (path / "run.json").is_file():
                raise RunDirectoryError(
                    f"{path} is already a run",
                    fix=f"resume it: {RunDirectory(path).command('resume', path)}; or choose another --out",
                )
            raise RunDirectoryError(f"{path} exists already", fix="choose another --out; nothing is overwritten")
        folder = DEFAULT_FOLDER if path is None else path
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise RunDirectoryError(f"{path or DEFAULT_FOLDER} cannot be created: {folder} is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RunDirectoryError(
                f"{path or DEFAULT_FOLDER} cannot be created: no permission to write in {folder.resolve()}"
            )

    @classmethod
    def _create_folders(cls, path: Path) -> Path:
        cls.check_new(path)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be created: {error_reason(error)}") from None
        cls(path).create_folders()
        return path

    def check_no_links(self) -> None:
        """Raise RunDirectoryError if a folder is a link: files there would be changed as those of this run."""
        for folder in (self.checkpoints, self.samples, self.evaluation_pictures):
            if folder.is_symlink():
                raise RunDirectoryError(
                    f"{folder} is a link, which is not followed", fix="move its folder here, or link the whole run"
                )

    def create_folders(self) -> None:
        """Create the folders of samples and checkpoints if they are missing. Raises RunDirectoryError."""
        for folder in (self.samples, self.checkpoints):
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise RunDirectoryError(f"{folder} cannot be created: {error_reason(error)}") from None

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.path.resolve().name

    def evaluation_picture_path(self, name: str, step: int) -> Path:
        """Return the path of a metric's picture at a step, and create its folder. Raises OSError."""
        self.evaluation_pictures.mkdir(exist_ok=True)
        return self.evaluation_pictures / f"{name}-{step:08d}.png"

    def pictures(self) -> Iterator[tuple[int, Path]]:
        """Yield the step and the path of each sample grid and of each picture from a metric during training."""
        for folder in (self.samples, self.evaluation_pictures):
            for path in folder.glob("*-*.png"):
                step = path.stem.rpartition("-")[2]
                if step.isdecimal():
                    yield int(step), path

    def sample_path(self, step: int) -> Path:
        """Return the path of the sample grid of a step."""
        return self.samples / f"step-{step:08d}.png"

    def checkpoint_path(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step."""
        return self.checkpoints / f"step-{step:08d}"

    def write_experiment(self, experiment: Experiment) -> None:
        """Write run.toml. Raises OSError."""
        from ganforge.config import to_document, write_document  # noqa: PLC0415 - slow; listings do not need it

        write_atomically(self.config, write_document(to_document(experiment)))

    def read_experiment(self) -> Experiment:
        """Return the experiment of run.toml. Raises ConfigError."""
        from ganforge.config import from_document, read_document  # noqa: PLC0415 - as above

        document = read_document(self.config)
        try:
            return from_document(document)
        except ConfigError as error:
            raise ConfigError(f"{self.config} is {error.message}", fix=error.fix) from None

    def read_manifest(self) -> Manifest:
        """Return run.json, with the place of components.py; it is stored without, so that a run can be moved.

        Raises RunDirectoryError, which names the first invalid value of a damaged one.
        """
        try:
            manifest = Manifest.model_validate_json(read_file(self.manifest, max_bytes=MAX_MANIFEST_BYTES))
            return self._with_classes(manifest, CLASSES_FILE, str(self.classes.resolve()))
        except OSError as error:
            raise RunDirectoryError(f"{self.manifest} cannot be read: {error_reason(error)}") from None
        except ValidationError as error:
            raise RunDirectoryError(f"{self.manifest} is damaged: {first_problem(error)}") from None

    def _with_classes(self, manifest: Manifest, before: str, after: str) -> Manifest:
        """Return the manifest with another path of components.py, if the run has that file."""
        if not any(plugin.path == before for plugin in manifest.plugins) or not self.classes.is_file():
            return manifest
        plugins = [
            plugin.model_copy(update={"path": after}) if plugin.path == before else plugin
            for plugin in manifest.plugins
        ]
        return manifest.model_copy(update={"plugins": plugins})

    def command(self, *arguments: object) -> str:
        """Return a command of ganforge for the user to paste, with the local plugins of the run."""
        plugins: list[str] = []
        with suppress(RunDirectoryError):
            plugins = self.read_manifest().plugin_arguments
        return shell_command("ganforge", *arguments, *plugins)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace run.json. Raises OSError."""
        manifest = self._with_classes(manifest, str(self.classes.resolve()), CLASSES_FILE)
        content = manifest.model_copy(update={"updated": now()}).as_dict()
        write_atomically(self.manifest, printable_json(content, indent=2) + "\n")
        self._written = manifest

    def update_manifest(self, **changes: object) -> None:
        """Replace some keys of run.json; if it is gone, of the one that this process has written last.

        Raises OSError, RunDirectoryError.
        """
        written = None if self.manifest.exists() else self._written
        self.write_manifest(Manifest.model_validate({**dict(written or self.read_manifest()), **changes}))


def now() -> str:
    """Return the current time in UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


class RunLock:
    """Exclusive lock of a run directory; the system releases it if the process dies."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.lock = FileLock(run.path / ".lock")

    def __enter__(self) -> Self:
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise RunDirectoryError(
                f"{self.run.path} is in use by another process", fix="wait for it, or stop it"
            ) from None
        except OSError as error:
            raise RunDirectoryError(f"{self.run.path}/.lock cannot be locked: {error_reason(error)}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()
