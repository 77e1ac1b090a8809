"""Publication of a run: a folder with weights, settings, samples and a model card, and its upload to the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from ganforge.errors import UsageError
from ganforge.export.card import write_card
from ganforge.export.generator import ExportedGenerator
from ganforge.runs.bundle import MAX_BUNDLE_BYTES, write_files, write_thin_copy
from ganforge.runs.hub import hub_errors, unreachable_reason
from ganforge.runs.sample import Samples
from ganforge.runs.sources import INDEX, temporary_run
from ganforge.runs.trained_run import TrainedRun
from ganforge.utils.files import filling, read_file, write_atomically

CARD, SAMPLES = "README.md", "samples.png"


def write_publication(
    exported: ExportedGenerator, samples: Samples, folder: Path, name: str, *, license_id: str | None = None
) -> None:
    """Write the folder of a publication, open it, and compare its images with the run's.

    Args:
        exported: The generator.
        samples: Images for the card.
        folder: Folder to write; an earlier publication in it is replaced, and other files are kept.
        name: `OWNER/NAME` on the Hub, or the name of the folder.
        license_id: Identifier of a license, such as `mit`, or None.

    Raises:
        GanforgeError: The folder is a run directory, a component is missing, or the images differ.
        OSError: A file cannot be written.
    """
    if (folder / "run.toml").exists() and not (folder / INDEX).exists():
        raise UsageError(f"{folder} is a run directory", fix="choose another --out")
    with filling(folder) as temporary:
        names = write_thin_copy(exported.run, exported.checkpoint, exported.weights, temporary)
        contents = {file: read_file(temporary / file, max_bytes=MAX_BUNDLE_BYTES) for file in names}
        opened = TrainedRun(temporary_run(folder.name, lambda path: write_files(contents, path)), exported.run.registry)
        again = ExportedGenerator(opened, opened.checkpoint(), exported.weights)
        exported.verify(str(folder), lambda inputs: again.function(*inputs))
        samples.save_grid(temporary / SAMPLES)
        write_atomically(temporary / CARD, write_card(exported, name, license_id=license_id))
        if (folder / INDEX).exists():
            for earlier in folder.glob("checkpoints/step-*"):
                shutil.rmtree(earlier)


def check_upload() -> None:
    """Raise UsageError unless an upload is possible: huggingface_hub, a connection and a token."""
    fix = "write the folder alone: --folder-only"
    with hub_errors("publish", fix=fix):
        from huggingface_hub import get_token  # noqa: PLC0415 - an extra

        reason = unreachable_reason()
        if reason is not None:
            raise UsageError(f"the Hub cannot be reached: {reason}", fix=fix)
        if get_token() is None:
            raise UsageError("no token of the Hugging Face Hub", fix="log in: hf auth login; or set HF_TOKEN")


def upload(folder: Path, name: str, *, private: bool | None = None) -> str:
    """Upload a publication to the Hub, and return its address. Checkpoints of earlier uploads are removed.

    Args:
        folder: The folder.
        name: `OWNER/NAME`.
        private: Whether a new model is private; by default as its owner prefers.

    Raises:
        GanforgeError: The Hub cannot be reached, or refuses the upload.
    """
    with hub_errors(name, fix=f"upload {folder} later: hf upload {name} {folder}"):
        from huggingface_hub import HfApi  # noqa: PLC0415 - an extra

        api = HfApi(library_name="ganforge")
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            commit_message="Publish a generator trained with ganforge",
            delete_patterns=["checkpoints/*"],
        )
        return str(commit.repo_url)
