"""One run's directory: what lies where, who may write there, and its manifest."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from filelock import FileLock, Timeout

from ganforge.errors import RunDirectoryError
from ganforge.utils.files import write_atomically

if TYPE_CHECKING:
    from ganforge.config import Experiment

Status = Literal["running", "finished", "interrupted", "diverged", "failed"]

#: Where runs go that are given no place of their own.
DEFAULT_FOLDER = Path("runs")
MOST_NUMBERS = 100_000


class RunDirectory:
    """Know the files of one run; every path of the contract is a property here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return an existing run. Raises RunDirectoryError where there is none."""
        run = cls(path)
        if not run.config.is_file() or not run.manifest.is_file():
            if run.config.is_file():
                raise RunDirectoryError(
                    f"{path} holds a run.toml but no run.json: it never began", fix=f"remove it: rm -r {path}"
                )
            missing = "is not a run directory: it has no run.toml" if path.is_dir() else "does not exist"
            raise RunDirectoryError(f"{path} {missing}", fix="ganforge runs lists the runs that there are")
        return run

    @classmethod
    def create(cls, path: Path | None, stem: str) -> Self:
        """Make a new directory: at `path`, or a fresh numbered one in runs/. Raises RunDirectoryError."""
        if path is not None:
            return cls(cls._make(path))
        for number in range(1, MOST_NUMBERS):
            candidate = DEFAULT_FOLDER / f"{stem}-{number:03d}"
            if not candidate.exists():
                try:
                    return cls(cls._make(candidate))
                except RunDirectoryError:
                    if not candidate.exists():
                        raise
        raise RunDirectoryError(f"{DEFAULT_FOLDER} is full of runs called {stem}", fix="pass --out")

    @staticmethod
    def check_new(path: Path | None) -> None:
        """Raise RunDirectoryError where `create` would, before anything is written."""
        if path is not None and (path.exists() or path.is_symlink()):
            if (path / "run.toml").is_file() and (path / "run.json").is_file():
                raise RunDirectoryError(
                    f"{path} holds a run already",
                    fix=f"go on with it: ganforge resume {path}; or choose another --out",
                )
            raise RunDirectoryError(f"{path} exists already", fix="choose another --out; nothing is overwritten")
        folder = DEFAULT_FOLDER if path is None else path
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise RunDirectoryError(f"{path or DEFAULT_FOLDER} cannot be made: {folder} is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RunDirectoryError(
                f"{path or DEFAULT_FOLDER} cannot be made: no permission to write in {folder.resolve()}"
            )

    @classmethod
    def _make(cls, path: Path) -> Path:
        cls.check_new(path)
        try:
            path.mkdir(parents=True)
            (path / "samples").mkdir()
            (path / "checkpoints").mkdir()
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be made: {error.strerror}") from None
        return path

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.path.resolve().name

    @property
    def config(self) -> Path:
        """run.toml, the resolved experiment."""
        return self.path / "run.toml"

    @property
    def manifest(self) -> Path:
        """run.json, replaced atomically."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl, a row per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """report.html, a page about the run."""
        return self.path / "report.html"

    @property
    def evaluations(self) -> Path:
        """evaluation.jsonl, a row per evaluation."""
        return self.path / "evaluation.jsonl"

    @property
    def samples(self) -> Path:
        """The folder of sample grids."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def evaluation_pictures(self) -> Path:
        """The folder of the pictures that metrics make."""
        return self.path / "evaluation"

    def evaluation_picture_path(self, name: str, step: int) -> Path:
        """Return where a metric's picture of a step goes; makes its folder. Raises OSError."""
        self.evaluation_pictures.mkdir(exist_ok=True)
        return self.evaluation_pictures / f"{name}-{step:08d}.png"

    def pictures(self) -> Iterator[tuple[int, Path]]:
        """Yield the step and the path of each sample grid, and of each picture that a metric made while training."""
        for folder in (self.samples, self.evaluation_pictures):
            for path in folder.glob("*-*.png"):
                step = path.stem.rpartition("-")[2]
                if step.isdecimal():
                    yield int(step), path

    def sample_path(self, step: int) -> Path:
        """Return where the grid of a step goes."""
        return self.samples / f"step-{step:08d}.png"

    def checkpoint_path(self, step: int) -> Path:
        """Return where the checkpoint of a step goes."""
        return self.checkpoints / f"step-{step:08d}"

    def write_experiment(self, experiment: Experiment) -> None:
        """Write run.toml. Raises OSError."""
        from ganforge.config import to_document, write_document  # noqa: PLC0415 - a list of runs needs no models

        write_atomically(self.config, write_document(to_document(experiment)))

    def read_experiment(self) -> Experiment:
        """Return the experiment of run.toml. Raises ConfigError."""
        from ganforge.config import from_document, read_document  # noqa: PLC0415 - as above

        return from_document(read_document(self.config))

    def read_manifest(self) -> dict[str, Any]:
        """Return run.json. Raises RunDirectoryError where it is damaged."""
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunDirectoryError(f"{self.manifest} cannot be read: {error}") from None
        if not isinstance(content, dict):
            raise RunDirectoryError(f"{self.manifest} is not a run's manifest")
        return content

    def write_manifest(self, content: Mapping[str, Any]) -> None:
        """Replace run.json. Raises OSError."""
        stamped = {**content, "updated": now()}
        write_atomically(self.manifest, json.dumps(stamped, indent=2, ensure_ascii=False, default=str) + "\n")

    def update_manifest(self, **changes: object) -> None:
        """Change some keys of run.json. Raises OSError, RunDirectoryError."""
        self.write_manifest({**self.read_manifest(), **changes})


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


class RunLock:
    """Keep a second process off a run directory; the system releases it when its holder dies, however it dies."""

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
            raise RunDirectoryError(f"{self.run.path} cannot be locked: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()
