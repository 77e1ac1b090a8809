"""Runs on the Hugging Face Hub, as `ganforge publish` stores them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganforge.errors import GanforgeError, UsageError
from ganforge.runs.bundle import MAX_BUNDLE_BYTES, read_index, refusals, write_files
from ganforge.runs.sources import INDEX
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.downloads import DownloadError, probe
from ganforge.utils.files import read_file
from ganforge.utils.schema import excerpt

FIX_EXTRA = "python -m pip install 'ganforge[hub]'"


def download(name: str, folder: Path) -> RunDirectory:
    """Write a published run into an empty folder, and return it.

    Only the files that its bundle.json lists are downloaded, all of one commit, and kept in the cache of
    huggingface_hub; without a connection, or with GANFORGE_OFFLINE=1, they come from there alone. The name is
    `OWNER/NAME` or `OWNER/NAME@REVISION`.

    Raises:
        UsageError: The name is invalid, or there is no such run.
        RunDirectoryError: It is not a valid bundle.
        GanforgeError: The Hub cannot be reached.
    """
    repository, _, revision = name.partition("@")
    check_name(repository)
    with hub_errors(repository, fix="load a run directory or a bundle instead"):
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - an extra

        cached_only = unreachable_reason() is not None

        def path_of(file: str, revision: str | None) -> Path:
            return Path(hf_hub_download(repository, file, revision=revision, local_files_only=cached_only))

        index = path_of(INDEX, revision or None)
        commit = index.parent.name  # the cache's folder of a snapshot
        with refusals(f"hub:{name}", folder):
            contents = {INDEX: read_file(index)}
            for file in read_index(contents[INDEX]).files:
                contents[file] = read_file(path_of(file, commit), max_bytes=MAX_BUNDLE_BYTES)
            return write_files(contents, folder)


def check_name(name: str) -> None:
    """Raise UsageError unless a name has the form `OWNER/NAME`."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
        raise UsageError(f"invalid name {excerpt(name)!r} on the Hub", fix="write it as OWNER/NAME")


def unreachable_reason() -> str | None:
    """Return the reason why the Hub cannot be reached, within seconds, or None."""
    from huggingface_hub.constants import ENDPOINT  # noqa: PLC0415 - an extra

    if os.environ.get("GANFORGE_OFFLINE", "0") not in {"", "0"}:
        return "GANFORGE_OFFLINE is set"
    try:
        probe([ENDPOINT])
    except DownloadError as error:
        return str(error)
    return None


@contextmanager
def hub_errors(repository: str, *, fix: str) -> Iterator[None]:
    """Turn errors of huggingface_hub into one message, without tokens; `fix` is for a Hub that cannot be reached.

    Raises:
        UsageError: huggingface_hub is missing, or the repository is.
        GanforgeError: The Hub cannot be reached, or refuses the request.
    """
    try:
        import huggingface_hub  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise UsageError("the Hub needs huggingface_hub, which is not installed", fix=FIX_EXTRA) from None
    try:
        yield
    except (GanforgeError, TypeError, AttributeError):
        raise
    except Exception as error:  # noqa: BLE001 - every one becomes a message
        raise _hub_error(error, repository, fix) from None


def _hub_error(error: Exception, repository: str, fix: str) -> GanforgeError:
    """Return the error for one of huggingface_hub or of its HTTP client, whose own messages may have headers."""
    from huggingface_hub import errors  # noqa: PLC0415 - an extra

    if isinstance(error, errors.LocalEntryNotFoundError):
        reason = unreachable_reason() or "the connection failed"
        return GanforgeError(f"{repository} is not in the cache of the Hub: {reason}", fix=fix)
    if isinstance(error, errors.EntryNotFoundError):
        return UsageError(f"{repository} is not a model of ganforge: it has no {INDEX}")
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return UsageError(
            f"there is no model {repository} on the Hub, or no such revision, or you may not see it",
            fix="check the name; for a private model log in: hf auth login",
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        reason = "your token may not write there" if status in {401, 403} else f"the Hub answers with {status}"
        return GanforgeError(f"{repository}: {reason}", fix="check the name, and log in: hf auth login")
    return GanforgeError(f"{repository}: the Hub cannot be reached: {type(error).__name__}", fix=fix)
