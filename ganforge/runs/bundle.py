"""Thin copy of a run: one checkpoint without what only training needs. A bundle is the copy in a zip file, to share.

A bundle may come from anyone. Reading one runs none of its code, takes memory in proportion to the file, and writes
only files of the names that a bundle has.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from ganforge.config import from_document, to_document
from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.runs.rebuild import sampling_sections
from ganforge.runs.sources import INDEX
from ganforge.runs.trained_run import TrainedRun
from ganforge.schemas.checkpoint import HealthState
from ganforge.schemas.manifest import Manifest, PluginRecord
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.checkpoint_io import parse_tensors
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import MAX_BYTES, error_reason, open_regular, write_atomically
from ganforge.utils.privacy import shorten_paths
from ganforge.utils.schema import StrictModel, excerpt, first_problem
from ganforge.utils.text import printable_json

#: Limits of the file, of its directory, and of the number of files.
MAX_BUNDLE_BYTES = (1 << 32) - 1
MAX_DIRECTORY_BYTES = 1 << 20
MAX_FILES = 1000
#: End of a zip file without a comment, and the start of what precedes it in those of more than 4 GB.
END_RECORD = struct.Struct("<4s4H2IH")
ZIP64 = b"PK\x06\x07"
LOCATOR_BYTES = 20

#: Names of the files in a bundle, none of which is outside of its folder.
NAME = r"^(run\.(toml|json)|evaluation\.jsonl|checkpoints/step-[0-9]{8,12}/[A-Za-z0-9_.-]+\.(json|safetensors))$"
FileName = Annotated[str, StringConstraints(pattern=NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class BundleIndex(StrictModel):
    """Content of bundle.json.

    Attributes:
        plugins: Distributions and local plugins whose components sampling needs.
        files: SHA-256 of every other file, by name.
    """

    format: Literal[1]
    plugins: list[PluginRecord]
    files: Annotated[dict[FileName, Sha256], Field(max_length=MAX_FILES)]


def write_thin_copy(run: TrainedRun, checkpoint: Checkpoint, weights: str, folder: Path) -> list[str]:
    """Write the thin copy of a run and its bundle.json into an empty folder, and return the names of all files.

    It has run.toml, run.json, the scores of the checkpoint and its weights for sampling. Names stand in place of
    absolute paths, and the command line is left out.

    Args:
        run: The run.
        checkpoint: The checkpoint.
        weights: Its file of the generator: `generator` or `generator_ema`.
        folder: Empty folder.

    Raises:
        GanforgeError: A component of the run is missing.
        OSError: A file cannot be written.
    """
    copy = RunDirectory(folder)
    copy.checkpoints.mkdir()
    experiment = run.experiment
    if weights == "generator":
        experiment = experiment.model_copy(update={"ema_halflife_images": None})
    copy.write_experiment(from_document(shorten_paths(to_document(experiment))))
    manifest = run.manifest
    known = {name: value for name, value in manifest.as_dict().items() if name in Manifest.model_fields}
    command = ["ganforge", "run", "--config", copy.config.name]
    content = Manifest.model_validate_json(json.dumps(shorten_paths({**known, "command": command, "resumed": []})))
    write_atomically(copy.manifest, printable_json(content.as_dict(), indent=2) + "\n")
    rows = [row for row in run.evaluations if row.step == checkpoint.step and row.protocol.weights == weights]
    if rows:
        lines = [json.dumps(shorten_paths(row.model_dump(mode="json"))) + "\n" for row in rows]
        write_atomically(copy.evaluations, "".join(lines))
    checkpoints.save(copy, _thin(checkpoint, weights=weights, alone="disc" not in sampling_sections(run)))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    index = BundleIndex(format=1, plugins=needed_plugins(run), files=files)
    write_atomically(folder / INDEX, index.model_dump_json(indent=2) + "\n")
    return [INDEX, *names]


def needed_plugins(run: TrainedRun) -> list[PluginRecord]:
    """Return the distributions and local plugins that sampling from a run needs, without the paths of local ones."""
    manifest = run.manifest
    names = {name.rpartition("/")[0] for section in sampling_sections(run) for name in manifest.qualified[section]}
    needed = [plugin for plugin in manifest.plugins if plugin.distribution in names]
    return [plugin.model_copy(update={"path": shorten_paths(plugin.path)}) for plugin in needed]


def _thin(checkpoint: Checkpoint, *, weights: str, alone: bool) -> Checkpoint:
    """Return a checkpoint without optimizers and statistics of the training.

    With `alone`, generator and latent distribution are rebuilt without other components.
    """
    left_out = {"optimizers"} if weights == "generator_ema" else {"optimizers", "generator_ema"}
    names = {weights, "latent"} if alone else checkpoint.tensors.keys() - left_out
    health = HealthState(rows=0, stats={}, streaks={}, alerts=[]).model_dump()
    state = {**checkpoint.state, "optimizers": {}, "last_stats": {}, "health": health}
    return Checkpoint({name: values for name, values in checkpoint.tensors.items() if name in names}, state)


def write_bundle(run: TrainedRun, checkpoint: Checkpoint, weights: str, path: Path) -> None:
    """Write a run's thin copy as a zip file; equal runs give equal bytes. Raises as `write_thin_copy`."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent) as folder:
        names = write_thin_copy(run, checkpoint, weights, Path(folder))
        with zipfile.ZipFile(path, "w", allowZip64=False) as archive:
            for name in names:
                member = zipfile.ZipInfo(name)  # of 1980, so that equal contents are equal bytes
                member.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(member, Path(folder, name).read_bytes())


def unpack(path: Path, folder: Path) -> RunDirectory:
    """Write the files of a bundle into an empty folder, and return it as a run.

    Raises RunDirectoryError with the reason.
    """
    with refusals(path, folder), open_regular(path, max_bytes=MAX_BUNDLE_BYTES) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOCATOR_BYTES - END_RECORD.size))
        _check_end(file.read())
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, size)
            return write_files({name: archive.read(member) for name, member in members.items()}, folder)


def write_files(contents: Mapping[str, bytes], folder: Path) -> RunDirectory:
    """Verify the files of a bundle and write them into an empty folder. Raises GanforgeError."""
    index = read_index(contents.get(INDEX))
    if contents.keys() - {INDEX} != index.files.keys():
        name = min((contents.keys() - {INDEX}) ^ index.files.keys())
        raise RunDirectoryError(f"{excerpt(name)} is not in both the file and its {INDEX}")
    for name, digest in index.files.items():
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise RunDirectoryError(f"{name} is damaged: its checksum does not match")
        if name.endswith(".safetensors"):
            parse_tensors(contents[name], Path(name))
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents[name])
    copy = RunDirectory.open(folder)
    copy.read_manifest()
    copy.read_experiment()
    return copy


def read_index(content: bytes | None) -> BundleIndex:
    """Return the content of bundle.json. Raises RunDirectoryError if it is missing or invalid."""
    if content is None:
        raise RunDirectoryError(f"it has no {INDEX}")
    try:
        return BundleIndex.model_validate_json(content)
    except ValidationError as error:
        raise RunDirectoryError(f"{INDEX} is invalid: {first_problem(error, BundleIndex)}") from None


@contextmanager
def refusals(source: object, folder: Path) -> Iterator[None]:
    """Turn all errors of reading a bundle into a RunDirectoryError that names its source."""
    try:
        yield
    except GanforgeError as error:
        reason = error.message.replace(f"{folder}{os.sep}", "")
        raise RunDirectoryError(f"{source} is not a valid bundle: {reason}") from None
    except OSError as error:
        raise RunDirectoryError(f"{source} cannot be read: {error_reason(error)}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise RunDirectoryError(f"{source} is not a valid bundle: {excerpt(str(error))}") from None


def _check_end(tail: bytes) -> None:
    """Raise RunDirectoryError unless the last bytes are the end of a zip file whose directory has a sane size."""
    if len(tail) < END_RECORD.size:
        raise RunDirectoryError("it is not a zip file")
    signature, *_, count, directory_bytes, _, comment = END_RECORD.unpack(tail[-END_RECORD.size :])
    if signature != b"PK\x05\x06" or comment:
        raise RunDirectoryError("it is not a zip file, or cut short")
    if tail.startswith(ZIP64):
        raise RunDirectoryError("it is a zip file of another program, with a ZIP64 record")
    if count > MAX_FILES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise RunDirectoryError(f"it has more than {MAX_FILES:,} files")


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip file by name. Raises RunDirectoryError for those that a bundle does not have."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = excerpt(member.filename)
        if name != INDEX and not re.fullmatch(NAME, member.filename):
            raise RunDirectoryError(f"{name} is not a file of a bundle")
        if member.filename in members:
            raise RunDirectoryError(f"{name} is in it twice")
        if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG} or member.flag_bits & 1:
            raise RunDirectoryError(f"{name} is a link, a device or encrypted")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise RunDirectoryError(f"{name} is compressed")
        if not name.endswith(".safetensors") and member.file_size > MAX_BYTES:
            raise RunDirectoryError(f"{name} is longer than {MAX_BYTES:,} bytes")
        members[member.filename] = member
    if sum(member.file_size for member in members.values()) > size:
        raise RunDirectoryError("its files are longer than itself")
    return members
